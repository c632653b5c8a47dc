"""Whether a switch that answers also switches: a board that was never off goes on where it was."""

import bisect
import re
from collections.abc import Callable, Iterator
from typing import Protocol

from harness.model import BootRecord, Finding
from harness.verdict.coldstart import SETTLED_S, not_cut, outlived, spoken_while_off

LATELY_S = 2.0  # a board that boots says something every few tenths of a second
ANSWER_S = 1.0  # a getty or a shell answers Enter within milliseconds
PROMPT = re.compile(rb"login: ?$|[$#] ?$")


class Recording(Protocol):
    """The part of a console's recording that is looked at here."""

    @property
    def position(self) -> int:
        """Bytes received so far."""

    @property
    def now(self) -> float:
        """Seconds since the recording started."""

    def time_at(self, position: int) -> float:
        """Return the seconds at which the byte at *position* came."""

    def line_number(self, position: int) -> int:
        """Return the 1-based line in which the byte at *position* stands."""

    def read(self, position: int, *, timeout: float, limit: int = ...) -> bytes:
        """Return what came at *position* and after."""


def heard_while_off(recording: Recording, *, position: int, since: float) -> Finding | None:
    """Return the finding ``power-not-cut`` if a board talks that was switched off at *since*; it waits for nothing.

    To be asked just before power-on; *position* is where the recording stood when it was switched off. A switch that
    opens late does open: what counts came lately, and cannot have waited in the adapter since the board was on.
    """
    lately, end = max(since + SETTLED_S, recording.now - LATELY_S), recording.position
    position = bisect.bisect_left(range(end), lately, lo=position, key=recording.time_at)
    data = recording.read(position, timeout=0, limit=end - position) if position < end else b""
    return spoken_while_off(data, first_line=recording.line_number(position))


def proof_of_power(
    boot: BootRecord, recording: Recording, *, position: int, started: float, write: Callable[[bytes], object]
) -> Finding | None:
    """Return the finding ``power-not-cut`` if what came since *position* is no boot, but the system from before.

    *started* is the power-on on the recording's clock. A healthy boot costs nothing here; a board that has not said a
    word gets an Enter through *write*, and ANSWER_S to answer it.
    """
    if not boot.stages.keys().isdisjoint({"firmware", "kernel"}):
        return None
    first = recording.line_number(position)
    if found := outlived(_timed(recording, position, started), first_line=first):
        return found
    said = boot.reached or boot.findings or any(line.strip() for line in boot.tail)
    return None if said else _awake(recording, write)


def _timed(recording: Recording, position: int, started: float) -> Iterator[tuple[float, str]]:
    """Yield the lines from *position* on, each with the seconds from *started* to its first byte."""
    size = recording.position - position
    text = recording.read(position, timeout=0, limit=size) if size else b""
    for line in text.split(b"\n"):
        yield recording.time_at(position) - started, line.decode(errors="replace")
        position += len(line) + 1


def _awake(recording: Recording, write: Callable[[bytes], object]) -> Finding | None:
    """Press Enter: a system that sat idle at its prompt answers, one that has just been started prompts unasked."""
    position, deadline, answer = recording.position, recording.now + ANSWER_S, b""
    write(b"\r")
    while recording.now < deadline and not PROMPT.search(answer):
        answer += recording.read(position + len(answer), timeout=deadline - recording.now)
    if not PROMPT.search(answer):
        return None
    shown = answer.decode(errors="replace").strip()
    return not_cut("a prompt answers, and no system had started", shown, recording.line_number(position))
