"""pexpect over a recorded console: what is read has been recorded, what is typed goes through labgrid's driver."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any, NoReturn

import pexpect
from pexpect.spawnbase import SpawnBase

from harness.console.deathwatch import DeathWatch, hear_out
from harness.console.recorder import Recorder
from harness.errors import CheckFailed, LabError
from harness.model import Finding
from harness.verdict import garbage

FIFO = 8  # bytes; the PL011 takes 16
FIFO_S = 0.005  # a kernel that prints with interrupts off does not look at the FIFO for a line's time
WINDOW = 8192  # bytes searched back for a pattern, longer than any prompt or frame header: long output stays linear


class ConsoleExpect(SpawnBase):  # type: ignore[type-arg]  # generic in its stubs only
    """A pexpect session that starts at the present end of the recording; ``expect`` and friends as pexpect has them.

    A line that is lost is a LabError out of any read, a kernel that dies a CheckFailed; ``expecting`` lifts the latter.
    """

    def __init__(self, recorder: Recorder, driver: Any, *, position: int | None = None) -> None:
        super().__init__(timeout=30, maxread=65536, searchwindowsize=WINDOW)
        self.delayafterread = None  # pexpect sleeps here for pty children; there is none
        self.recorder = recorder
        self.position = recorder.position if position is None else position
        self._driver = driver
        self._watch = DeathWatch(first_line=recorder.line_number(self.position))

    def read_nonblocking(self, size: int = 1, timeout: float | None = -1) -> bytes:
        """Return up to *size* bytes of the recording as soon as there are any; pexpect.TIMEOUT after *timeout* s.

        CheckFailed when the kernel dies or restarts: whatever was waited for will not come any more.
        """
        seconds = self.timeout if timeout == -1 else timeout
        data = self._read(1e9 if seconds is None else seconds, size)
        if not data:
            raise pexpect.TIMEOUT(f"nothing within {seconds} s")
        if self._watch.deaths:
            hear_out(lambda seconds: self._read(seconds, size), over=lambda: self._watch.told_whole)
            self._raise(self._watch.close())
        return data

    def _raise(self, deaths: Sequence[Finding]) -> NoReturn:
        name, first = self.recorder.name, deaths[0]
        if first.kind == "console-garbage":
            raise LabError(f"{name}: {first.message}", evidence=first.text, hint=garbage.REMEDY)
        raise CheckFailed(name, "died", deaths, hint=f"full console log: {self.recorder.log}")

    @contextmanager
    def expecting(self, *kinds: str) -> Iterator[None]:
        """Take findings of *kinds* (``panic``, ``restart``) for what they are meant to be: provoked on purpose."""
        before = self._watch.expected
        self._watch.expected = before | set(kinds)
        try:
            yield
        finally:
            self._watch.expected = before

    def _read(self, seconds: float, size: int) -> bytes:
        data = self.recorder.read(self.position, timeout=seconds, limit=size)
        self.position += len(data)
        self._watch.feed(data)
        return data

    def send(self, data: bytes) -> None:
        """Type *data*; LabError when the line does not take it."""
        try:
            self._driver.write(data)
        except OSError as error:
            raise LabError(f"{self.recorder.name}: the serial line is lost: {error}") from error

    def send_secret(self, data: bytes) -> None:
        """Type *data* past labgrid's step logger, which would print it at ``-vvv``."""
        chunk = max(self._driver.txchunk, 1) if self._driver.txdelay else len(data)
        for start in range(0, len(data), max(chunk, 1)):
            time.sleep(self._driver.txdelay or 0)
            self._driver._write(data[start : start + chunk])  # noqa: SLF001

    def send_slowly(self, data: bytes) -> None:
        """Type *data* in pieces no longer than a mini-UART's FIFO, with time to take them between."""
        for start in range(0, len(data), FIFO):
            self.send(data[start : start + FIFO])
            time.sleep(FIFO_S)

    def sendline(self, line: bytes = b"") -> None:
        """Type *line* and Enter."""
        self.send(line + b"\r")

    def forget(self) -> None:
        """Drop what was read and not matched; the death watch has read it all the same."""
        while self.position < self.recorder.position:
            self.read_nonblocking(self.maxread, timeout=0)
        self.buffer = b""
        self._before = BytesIO()  # pexpect puts it back into the buffer after a timeout
