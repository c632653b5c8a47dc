"""A serial line with bash behind it, in a process of its own: paced like a UART, and with a kernel that talks.

``python bench/_serial.py BAUD LINE``: prints the port's name, then carries bytes until its standard input ends. BAUD 0
is as fast as the machine. LINE, if not empty, is put in front of the end of each answer (``|7>``), between output and
prompt.
"""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
import tty
from collections.abc import Iterator

END = re.compile(rb"\|\d+>\n")
GRAIN = 8  # bytes that travel at once on a paced line, as with a UART's FIFO
PROMPT = "root@pi:~# "


class Direction:
    """Carries bytes from one end to the other, at most *rate* of them a second; 0: all at once."""

    def __init__(self, source: int, sink: int, rate: float, line: bytes = b"") -> None:
        self.source, self._sink, self._rate, self._line = source, sink, rate, line
        self._waiting, self._due = b"", 0.0
        self.count = 0

    def take(self) -> None:
        """Read what has come."""
        data = os.read(self.source, 4096)
        if self._line:
            data = END.sub(lambda end: self._line + end[0], data)
        self._waiting += data
        self._due = max(self._due, time.monotonic())

    @property
    def delay(self) -> float | None:
        """Seconds until more may be written; None when there is nothing."""
        return max(0.0, self._due - time.monotonic()) if self._waiting else None

    def give(self) -> None:
        """Write what the line's speed allows by now."""
        while self._waiting and self._due <= time.monotonic():
            grain = self._waiting[: GRAIN if self._rate else None]
            if self._rate:
                self._due += len(grain) / self._rate
                if self._due > time.monotonic():
                    time.sleep(max(self._due - time.monotonic(), 0.0))  # the last bit arrives only now
            os.write(self._sink, grain)
            self.count += len(grain)
            self._waiting = self._waiting[len(grain) :]


def carry(baud: int, line: bytes) -> None:
    """Print the port's name and be the line until standard input ends."""
    lab, port = pty.openpty()
    tty.setraw(port)
    pi, terminal = pty.openpty()
    # A dumb terminal: bracketed paste between marker and prompt breaks ShellDriver (labgrid #969).
    environment = {"PATH": os.environ["PATH"], "PS1": PROMPT, "HOME": "/tmp", "TERM": "dumb"}
    bash = subprocess.Popen(
        ["bash", "--norc", "--noprofile", "-i"],
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True, env=environment,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - there are no threads here
    )  # fmt: skip
    print(os.ttyname(port), flush=True)
    down, up = Direction(lab, pi, baud / 10), Direction(pi, lab, baud / 10, line)
    try:
        while True:
            delays = [delay for way in (down, up) if (delay := way.delay) is not None]
            ready = select.select([lab, pi, 0], [], [], min(delays, default=None))[0]
            if 0 in ready:
                os.read(0, 1)
                print(down.count, up.count, flush=True)
                down.count = up.count = 0
                if select.select([0], [], [], 0)[0] and not os.read(0, 1):
                    return
            for way in (down, up):
                if way.source in ready:
                    way.take()
                way.give()
    finally:
        bash.kill()
        bash.wait()


class Line:
    """The process above, from the other side."""

    def __init__(self, baud: int, line: str = "") -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(baud), line], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        self.port = self._process.stdout.readline().strip()

    def counts(self) -> tuple[int, int]:
        """Return the bytes carried to the Pi and to the lab since the last call."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("?")
        self._process.stdin.flush()
        down, up = self._process.stdout.readline().split()
        return int(down), int(up)


@contextlib.contextmanager
def line(baud: int, kernel: str = "") -> Iterator[Line]:
    """Yield a Line for the block."""
    made = Line(baud, kernel)
    try:
        yield made
    finally:
        made._process.send_signal(signal.SIGTERM)  # noqa: SLF001
        made._process.wait()  # noqa: SLF001


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    carry(int(sys.argv[1]), sys.argv[2].replace("\\n", "\r\n").encode())
