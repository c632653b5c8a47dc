"""Every byte of the serial line, with its time: read by a thread from before power-on, kept in two files.

``console.log`` holds the raw bytes as received, ``console.jsonl`` one object a chunk: ``{"t": seconds, "data": text}``
with the seconds since the recorder started, on the lab host's monotonic clock, and bytes decoded as latin-1 so that
nothing is lost. What is typed is not recorded: a password would be among it.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import attrs
from labgrid.step import StepEvent, steps
from pexpect import TIMEOUT

from harness.errors import LabError

POLL_S = 0.1  # how long one read may block, and thereby how long stop() takes
GATHER_S = 0.05  # a UART hands over 8 to 62 bytes at a time: a thousand wake-ups a second, each dearer than its bytes
GATHER_LIMIT = 1024  # bytes in one chunk: the line is faster than any UART, and a tty holds 4,095 before it is full
CHUNK = 65536
SOURCE = (__file__, Path(__file__).name, 1)  # as labgrid notes where a step comes from: path, name, line


@attrs.frozen
class Spoken:
    """A command with the part of the recording during which it ran: what the kernel said there, it said during it."""

    command: str
    begin: int
    """Byte of the recording; so is *end*."""
    end: int


class Recorder:
    """Reads a labgrid console driver and hands on what comes; ``with`` starts and stops it."""

    def __init__(self, driver: Any, folder: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.name: str = driver.target.name
        self.log = folder / "console.log"
        self.spoken: list[Spoken] = []
        """Every command that was run over this line, oldest first."""
        self._driver = driver
        self._folder = folder
        self._clock = clock
        self._started = clock()
        self._lock = threading.Condition()
        self._data = bytearray()  # received since the start of the recording
        self._times: list[tuple[int, float]] = []  # (bytes before this chunk, seconds)
        self._lost: LabError | None = None
        self._gather = False
        self._incomplete = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to listen; OSError when the files cannot be made."""
        self._folder.mkdir(parents=True, exist_ok=True)
        # Unbuffered: what could not be written to a full disk must not be tried again, and fail, when it is closed.
        raw = self.log.open("ab", buffering=0)
        stamped = (self._folder / "console.jsonl").open("ab", buffering=0)
        self._thread = threading.Thread(
            target=self._listen, args=(raw, stamped), name=f"console-{self.name}", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and close the files."""
        self._stop.set()
        if self._thread:
            self._thread.join()

    def revive(self) -> None:
        """Listen again after the line was lost, once whoever owns it has opened it again.

        Not after the disk was full: then the files lack what was received, and each read goes on to say so.
        """
        if self._thread and self._lost and not (self._stop.is_set() or self._incomplete):
            self._thread.join()
            self._lost = None
            self.start()

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Take what comes at most every GATHER_S: saves most of the work where nobody waits for an answer.

        Times are late by as much. A shell would be slowed down by it, a boot is not.
        """
        self._gather = True
        try:
            yield
        finally:
            self._gather = False

    @property
    def position(self) -> int:
        """Bytes received so far; a place to read on from."""
        with self._lock:
            return len(self._data)

    @property
    def now(self) -> float:
        """Seconds since the recording started."""
        return self._clock() - self._started

    def time_at(self, position: int) -> float:
        """Return the seconds at which the byte at *position* came."""
        with self._lock:
            times = self._times
        low, high = 0, len(times)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if times[middle][0] <= position else (low, middle)
        return times[low - 1][1] if low else 0.0

    def line_number(self, position: int) -> int:
        """Return the 1-based line of ``console.log`` in which the byte at *position* stands."""
        with self._lock:
            return self._data.count(b"\n", 0, position) + 1

    def note(self, command: str, begin: int) -> None:
        """Remember that *command* has run from the byte at *begin* until now."""
        self.spoken.append(Spoken(command, begin, self.position))

    def during(self, line: int, *, since: int) -> str:
        """Return the command during which line number *line* came; empty if none did that began after byte *since*."""
        for spoken in reversed(self.spoken):
            if spoken.begin < since:
                break
            if self.line_number(spoken.begin) <= line <= self.line_number(spoken.end):
                return spoken.command
        return ""

    def read(self, position: int, *, timeout: float, limit: int = CHUNK) -> bytes:
        """Return what came at *position* and after, waiting for it up to *timeout* s; b"" when nothing came.

        Raises LabError when the line is lost and all that came before has been read.
        """
        with self._lock:
            self._lock.wait_for(lambda: len(self._data) > position or self._lost, timeout=max(timeout, 0))
            if len(self._data) > position:
                return bytes(self._data[position : position + limit])
            if self._lost:
                raise self._lost
            return b""

    def _listen(self, raw: FileIO, stamped: FileIO) -> None:
        try:
            with raw, stamped:
                while not self._stop.is_set():
                    self._take(raw, stamped)
        except Exception as error:  # noqa: BLE001 - whatever a driver raises: the line is lost, and the readers must know
            with self._lock:
                self._lost = error if isinstance(error, LabError) else self._broken(error)
                self._lock.notify_all()

    def _take(self, raw: FileIO, stamped: FileIO) -> None:
        try:
            # The driver's public read() would push a step onto labgrid's stack, which belongs to the main thread.
            data: bytes = self._driver._read(size=1, timeout=POLL_S, max_size=CHUNK)  # noqa: SLF001
        except TIMEOUT:
            return
        seconds, late = self.now, None
        if len(data) == 1:  # pyserial counts what waits at a raw TCP port as one byte, however much it is
            rest, late = self._rest()
            data += rest
        entry = {"t": round(seconds, 6), "data": data.decode("latin-1")}
        try:
            _write(raw, data)
            _write(stamped, json.dumps(entry).encode() + b"\n")
        except OSError as error:
            self._incomplete = True
            raise self._unwritten(error) from error
        finally:  # recorded or not, it was received: whoever reads gets it before the error
            self._hand_on(data, seconds)
        if late:
            raise late
        if self._gather and len(data) < GATHER_LIMIT:
            self._stop.wait(GATHER_S)

    def _rest(self) -> tuple[bytes, Exception | None]:
        """Return what waits to be read, or how the line was lost right after its last byte."""
        try:
            return self._driver._read(size=CHUNK, timeout=0.0, max_size=CHUNK), None  # noqa: SLF001
        except TIMEOUT:
            return b"", None
        except Exception as error:  # noqa: BLE001 - whatever a driver raises: what came before it is recorded first
            return b"", error

    def _hand_on(self, data: bytes, seconds: float) -> None:
        with self._lock:
            self._times.append((len(self._data), seconds))
            self._data += data
            self._lock.notify_all()
        self._tell_labgrid(data)

    def _broken(self, error: Exception) -> LabError:
        return LabError(f"{self.name}: the serial line is lost: {error}", hint="is the adapter still plugged in?")

    def _unwritten(self, error: OSError) -> LabError:
        return LabError(
            f"{self.name}: the console cannot be recorded: {self.log}: {error.strerror or error}",
            hint="free some space; a run without its whole record proves nothing, so it ends here",
        )

    def _tell_labgrid(self, data: bytes) -> None:
        """Let labgrid's own reporters (``--lg-log``, ``-vvv``) see the bytes as if its driver had been read."""
        step = SimpleNamespace(
            title="read", tag="console", source=self._driver, sourceinfo=SOURCE, result=data, level=1, args=None
        )
        steps.notify(StepEvent(step, {"state": "stop", "result": data}, resource=None))


def _write(file: FileIO, data: bytes) -> None:
    """Write all of *data*; a disk that fills up takes a part of it first, and says so at the next try."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
