"""Far ends to log in to: a getty with the manners of agetty and login, and any program, on a tty with job control.

Two ptys back to back, as in ``scriptedpi``; here the tty is the controlling one, so that Ctrl-C is a signal, and a
program that ends is followed by a getty, as init would do.
"""

import json
import os
import pty
import select
import subprocess
import sys
import termios
import threading
import tty
from collections.abc import Callable, Sequence
from contextlib import suppress

GETTY = r"""
import json, os, signal, sys, termios, tty
how = json.loads(sys.argv[1])
say = lambda text: os.write(1, text.encode())
prompt = how.get("prompt", "raspberrypi login: ")
settings = termios.tcgetattr(0)

def name():
    # As agetty: no signals, Ctrl-C is dropped, Ctrl-U and Enter work, each character is echoed.
    tty.setraw(0, termios.TCSANOW)
    given = ""
    while True:
        key = os.read(0, 1).decode()
        if key in "\r\n":
            say("\r\n")
            termios.tcsetattr(0, termios.TCSADRAIN, settings)
            return given
        elif key == "\x15":
            say("\b \b" * len(given)); given = ""
        elif key >= " ":
            say(key); given += key

def password():
    # As login: Ctrl-C ends it, what was typed ahead is flushed.
    quiet = termios.tcgetattr(0); quiet[3] &= ~termios.ECHO
    termios.tcsetattr(0, termios.TCSAFLUSH, quiet)
    say("Password: ")
    given = sys.stdin.readline().strip()
    termios.tcsetattr(0, termios.TCSADRAIN, settings)
    say("\r\n")
    return given

signal.signal(signal.SIGINT, signal.SIG_DFL)
say(how.get("banner", "\r\nDebian GNU/Linux 12 raspberrypi ttyAMA0\r\n\r\n"))
say(prompt)
given = how.get("typed", "")
while True:
    given = given or name()
    if given:
        if [given, password()] != [how.get("user", "pi"), how.get("password", "raspberry")]:
            say(how.get("refused", "\r\nLogin incorrect\r\n"))
        else:
            say(how.get("accepted", "Last login: Sun Nov 22 08:00:00 UTC 2026 on ttyAMA0\r\n"))
            if not how.get("out"):
                break
            if how["out"] == "change":
                say("Changing password for pi.\r\nCurrent password: ")
                sys.stdin.readline()
    given = ""
    say(prompt)
os.environ.update(PS1=how.get("ps1", "pi@raspberrypi:~ $ "), HOME="/tmp", TERM="vt220")
os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
"""


def getty(**how: object) -> list[str]:
    """Return the command of a getty: ``user``, ``password``, what it says, and how it fails."""
    return [sys.executable, "-ISu", "-c", GETTY, json.dumps(how)]


def bash(then: str = "", *, ps1: str = "pi@raspberrypi:~ $ ", readline: bool = True) -> list[str]:
    """Return the command of a shell that somebody is logged in to, and that runs *then* first."""
    shell = f"bash --norc --noprofile {'' if readline else '--noediting'} -i"
    return ["env", f"PS1={ps1}", "HOME=/tmp", "TERM=vt220", "sh", "-c", f"trap : INT\n{then}\nexec {shell}"]


class ScriptedLogin:
    """``port`` is the serial port; *program* is on the line, then, whenever that has ended, *after*."""

    def __init__(self, program: Sequence[str], after: Sequence[str] = ()) -> None:
        self.to_lab: Callable[[bytes], bytes] = bytes
        self.typed = b""
        """All that the lab has typed."""
        self._program, self._after = program, after or (program if GETTY in program else getty())
        self._lab, self._port = pty.openpty()
        tty.setraw(self._port)
        self.port = os.ttyname(self._port)
        self._pi, self._process = -1, None
        self._stop, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._carry, daemon=True)

    def start(self) -> None:
        self._start(self._program)
        self._thread.start()

    def type(self, keys: bytes) -> None:
        """Type what somebody typed before the lab came."""
        os.write(self._pi, keys)

    def say(self, text: bytes) -> None:
        """Print on the line as the kernel would."""
        os.write(self._lab, text)

    def close(self) -> None:
        os.write(self._wake, b"x")
        self._thread.join()
        self._end()
        for handle in (self._lab, self._port, self._stop, self._wake):
            os.close(handle)

    def _start(self, program: Sequence[str]) -> None:
        self._pi, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, 80))
        argv = ["setsid", "--ctty", "--wait", *program]
        self._process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)

    def _end(self) -> None:
        os.close(self._pi)  # hangs up whatever is there
        self._process.kill()
        self._process.wait()

    def _carry(self) -> None:
        while True:
            ready, _, _ = select.select([self._lab, self._pi, self._stop], [], [])
            if self._stop in ready:
                return
            if self._lab in ready:
                data = os.read(self._lab, 4096)
                self.typed += data
                with suppress(OSError):  # nobody is there just now
                    os.write(self._pi, data)
            if self._pi in ready:
                try:
                    os.write(self._lab, self.to_lab(os.read(self._pi, 4096)))
                except OSError:
                    self._end()
                    self._start(self._after)
