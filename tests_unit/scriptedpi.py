"""A scripted Pi on a pty: a boot log, a login prompt and a real bash, behind a serial port that labgrid's driver opens.

Two ptys back to back: the Pi's side has the tty (echo, line discipline) that a getty would have, the lab's side is the
serial port. A thread carries the bytes between them, and may damage them or put kernel lines in between.
"""

import os
import pty
import select
import subprocess
import sys
import tempfile
import threading
import tty
from collections.abc import Callable
from pathlib import Path

BOOT_LOG = """\
MESS:00:00:01.204431:0: brfs: File read: /mfs/sd/config.txt
[    0.000000] Booting Linux on physical CPU 0x0000000000 [0x410fd034]
[    0.000000] Linux version 6.12.41-v8-test (pi64@pi64) #1 SMP PREEMPT
[    1.404000] VFS: Mounted root (ext4 filesystem) readonly on device 179:2.
[    1.502000] Run /sbin/init as init process
[    2.104000] systemd[1]: Hostname set to <raspberrypi>.
"""

GETTY = """
import os, sys
log, user, password, path = sys.argv[1:]
sys.stdout.write(log)
while True:
    sys.stdout.write("\\r\\nraspberrypi login: "); sys.stdout.flush()
    name = sys.stdin.readline().strip()
    if not name:
        continue
    os.system("stty -echo"); sys.stdout.write("Password: "); sys.stdout.flush()
    given = sys.stdin.readline().strip(); os.system("stty echo"); sys.stdout.write("\\n")
    if (name, given) == (user, password):
        break
    sys.stdout.write("\\nLogin incorrect\\n")
sys.stdout.write("Last login: Sun Nov 22 08:00:00 UTC 2026 on ttyAMA0\\n"); sys.stdout.flush()
os.environ.update(PS1="pi@raspberrypi:~$ ", HOME="/tmp", PI_PID=str(os.getpid()), PATH=path)
os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
"""


# Instead of the host's: a test must not reboot the machine it runs on.
SUDO = """#!/bin/sh
case "$*" in
*reboot) echo "reboot: Restarting system" >/dev/tty; kill -KILL "$PI_PID" ;;
*) exec "$@" ;;
esac
"""


class ScriptedPi:
    """``port`` is the serial port; ``power_on`` starts the script; *to_lab* may change what the Pi sends.

    ``sudo ... reboot`` typed on it ends the script, and it starts again.
    """

    def __init__(self, *, log: str = BOOT_LOG, user: str = "pi", password: str = "raspberry") -> None:
        self.log, self.user, self.password = log, user, password
        self.to_lab: Callable[[bytes], bytes] = bytes
        self.to_pi: Callable[[bytes], bytes] = bytes
        self._lab, lab_slave = pty.openpty()
        self.port = os.ttyname(lab_slave)
        tty.setraw(lab_slave)
        self._lab_slave = lab_slave  # kept open: a port without anybody on it would read as hung up
        self._pi: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._programs = tempfile.TemporaryDirectory(prefix="scriptedpi-")
        sudo = Path(self._programs.name, "sudo")
        sudo.write_text(SUDO)
        sudo.chmod(0o755)
        self.powered = False
        self._stop, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def power_on(self) -> None:
        self.powered = True
        self._start()
        os.write(self._wake, b"+")

    def _start(self) -> None:
        self._pi, slave = pty.openpty()
        path = f"{self._programs.name}:{os.environ['PATH']}"
        argv = [sys.executable, "-c", GETTY, self.log, self.user, self.password, path]
        self._process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)

    def power_off(self) -> None:
        self.powered = False
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def say(self, text: str) -> None:
        """Print on the line as the kernel would: beside whatever the shell is doing."""
        os.write(self._lab, text.replace("\n", "\r\n").encode())

    def close(self) -> None:
        self.power_off()
        os.write(self._wake, b"x")
        self._thread.join()
        for handle in (self._lab, self._lab_slave, self._stop, self._wake):
            os.close(handle)
        self._programs.cleanup()

    def _carry(self) -> None:
        while True:
            ends = [end for end in (self._lab, self._pi, self._stop) if end is not None]
            ready, _, _ = select.select(ends, [], [])
            if self._stop in ready and os.read(self._stop, 1) == b"x":
                return
            if self._pi in ready:
                try:
                    os.write(self._lab, self.to_lab(os.read(self._pi, 4096)))
                except OSError:  # the script ended
                    os.close(self._pi)
                    self._pi = None
                    if self.powered:
                        self._start()
            if self._lab in ready:
                data = self.to_pi(os.read(self._lab, 4096))
                if self._pi is not None:
                    os.write(self._pi, data)


def serial_driver(folder: Path, pi: ScriptedPi):  # type: ignore[no-untyped-def]
    """Return labgrid's own SerialDriver, active, on the scripted Pi's port."""
    from labgrid import Target
    from labgrid.driver import SerialDriver
    from labgrid.resource import RawSerialPort

    target = Target("scripted")
    RawSerialPort(target, name=None, port=pi.port)
    driver = SerialDriver(target, name=None)
    target.activate(driver)
    return driver
