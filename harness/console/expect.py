"""pexpect over a recorded console: what is read has been recorded, what is typed goes through labgrid's driver."""

from typing import Any

import pexpect
from pexpect.spawnbase import SpawnBase

from harness.console.recorder import Recorder
from harness.errors import LabError

WINDOW = 8192  # bytes searched back for a pattern, longer than any prompt or frame header: long output stays linear


class ConsoleExpect(SpawnBase):  # type: ignore[type-arg]  # generic in its stubs only
    """A pexpect session that starts at the present end of the recording; ``expect`` and friends as pexpect has them.

    A line that is lost is a LabError out of any read.
    """

    def __init__(self, recorder: Recorder, driver: Any, *, position: int | None = None) -> None:
        super().__init__(timeout=30, maxread=65536, searchwindowsize=WINDOW)
        self.delayafterread = None  # pexpect sleeps here for pty children; there is none
        self.recorder = recorder
        self.position = recorder.position if position is None else position
        self._driver = driver

    def read_nonblocking(self, size: int = 1, timeout: float | None = -1) -> bytes:
        """Return up to *size* bytes of the recording as soon as there are any; pexpect.TIMEOUT after *timeout* s."""
        seconds = self.timeout if timeout == -1 else timeout
        data = self.recorder.read(self.position, timeout=1e9 if seconds is None else seconds, limit=size)
        if not data:
            raise pexpect.TIMEOUT(f"nothing within {seconds} s")
        self.position += len(data)
        return data

    def send(self, data: bytes) -> None:
        """Type *data*; LabError when the line does not take it."""
        try:
            self._driver.write(data)
        except OSError as error:
            raise LabError(f"{self.recorder.name}: the serial line is lost: {error}") from error

    def sendline(self, line: bytes = b"") -> None:
        """Type *line* and Enter."""
        self.send(line + b"\r")

    def forget(self) -> None:
        """Drop what was read and not matched."""
        self.position = self.recorder.position
        self.buffer = b""
