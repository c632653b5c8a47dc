"""Whether a switch that answers also switches: a board that was never off goes on where it was."""

import re
from collections.abc import Callable, Iterator
from typing import Protocol

from harness.model import BootRecord, Finding
from harness.verdict.coldstart import not_cut, outlived

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
