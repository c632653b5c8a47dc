"""What the doctor knows about a fault of the bench in a run: the parts that may be the reason are looked at, no more.

Nothing is switched, opened or waited for: a run that has failed shall not end later for it, nor otherwise.
"""

import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from harness.deadline import within
from harness.errors import LabError
from harness.lab import doctor
from harness.lab.doctor.answer import Answer
from harness.lab.doctor.bench import Bench

if TYPE_CHECKING:
    from harness.strategy import RaspberryPiStrategy

CONSULT_S = 5.0  # in all, however many faults a run has
LINES = 3  # of evidence for one fault
MUTE = "not one byte on the serial line, or is the power gone"
"""What to ask about a board that has not said a word."""

# fmt: off
ASKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    # words of an error -> the parts that may know why
    (r"coordinator|exporter|\bplace\b|NoResourceFound|not all resources", ("coordinator", "target", "usb")),
    (r"serial line|console|\btty|adapter|hung up|recorded", ("usb", "serial")),
    (r"\bpower\b|relay|switch", ("usb", "power")),
    (r"\bmux\b|medium|partition|\bcard\b", ("usb", "mux", "card")),
    (r"\bssh\b|tftp|\bnfs\b|network|unreachable|refused", ("network",)),
    (r"no space|\bfull\b|MiB free|read-only file|cannot be (?:written|recorded)", ("disk",)),
    (r"is not on this host", ("host",)),
)
# fmt: on


def parts_for(words: str) -> tuple[str, ...]:
    """Return the names of the parts that may know why *words* were said."""
    named = [part for pattern, parts in ASKS if re.search(pattern, words, re.IGNORECASE) for part in parts]
    return tuple(dict.fromkeys(named))


Look = Callable[[Bench, Sequence[str], float], Sequence[Answer]]


class Consultation:
    """The doctor beside one run: asked once about each fault, and what was said kept for the verdict."""

    def __init__(self, runs: Path, look: Look | None = None) -> None:
        """*runs* is where the run writes; *look* stands in for the doctor in tests."""
        self._runs = runs
        self._look = look or _look
        self._left_s = CONSULT_S
        self._told: dict[str, tuple[str, ...]] = {}

    def ask(self, words: str, strategy: "RaspberryPiStrategy | None") -> None:
        """Ask about the fault that *words* tell of, unless that was done before, or the time is up; never raises."""
        if words in self._told or self._left_s <= 0:
            return
        began = time.monotonic()
        answers = self._look(Bench.of_run(strategy, runs=self._runs), parts_for(words), self._left_s)
        self._told[words] = tuple(told(answers))
        self._left_s -= time.monotonic() - began

    @property
    def lines(self) -> tuple[str, ...]:
        """What is known, each line once."""
        return tuple(dict.fromkeys(line for lines in self._told.values() for line in lines))


def told(answers: Sequence[Answer]) -> list[str]:
    """Return what is worth telling: the faults, or that what was looked at is as it must be."""
    faults = [answer for answer in answers if answer.state == "fault"]
    good = [answer for answer in answers if answer.state == "ok"]
    return [f"doctor: {one.part}: {one.subject}: {one.fact}" for one in (faults or good)[:LINES]]


def _look(bench: Bench, names: Sequence[str], seconds: float) -> Sequence[Answer]:
    """Return what the parts *names* answer within *seconds*; of one that is late, what it had answered by then."""
    answers: list[Answer] = []
    if not names:
        return answers

    def ask() -> None:
        answers.extend(doctor.examine(bench, prove=False, only=names))

    with suppress(LabError):  # late
        within(seconds, ask, "the doctor")
    return tuple(answers)
