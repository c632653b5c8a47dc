"""Two consoles side by side: the last good commit's, and the first bad one's, each where the symptom stands."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from harness.nightly.bisection.state import Answer, State
from harness.report.redact import redact
from harness.verdict.lines import clean, payload

BEFORE, AFTER = 8, 6
"""Lines around the symptom."""
MOST = 24
"""Lines of a symptom itself."""
ALIKE = 200
"""Characters by which two lines are told to say the same."""
LOG = 8 << 20
"""Bytes of a console that are read."""
_NUMBERS = re.compile(r"[0-9a-f]*\d[0-9a-f]*")


@attrs.frozen
class Line:
    """One line of a console."""

    number: int
    text: str
    marked: bool = False
    """Whether it belongs to the symptom."""


@attrs.frozen
class Excerpt:
    """A piece of a run's console."""

    sha: str
    run: str
    vote: str
    lines: tuple[Line, ...]


def pair(state: State, runs: Path, *, hide: Iterable[str] = ()) -> tuple[Excerpt | None, Excerpt | None]:
    """Return the pieces of the good and the bad run; None for one that there is none of. *hide* are secret words."""
    bad = next((answer for answer in reversed(state.answers) if _tells_bad(answer, state)), None)
    good = next(
        (answer for answer in reversed(state.answers) if answer.vote == "good" and answer.role != "revert"), None
    )
    said = _read(runs, bad, hide) if bad else []
    before = _read(runs, good, hide) if good else []
    shown = _around(said, bad) if bad and bad.first_line else _tail(said)
    matched = _alike(before, said[: bad.first_line - 1] if bad and bad.first_line else said)
    return (
        Excerpt(good.sha, good.run, good.vote, matched) if good else None,
        Excerpt(bad.sha, bad.run, bad.vote, shown) if bad else None,
    )


def _tells_bad(answer: Answer, state: State) -> bool:
    return (
        answer.vote == "bad" and answer.role != "revert" and answer.sha in (*state.first_bad[-1:], state.question.bad)
    )


def _read(runs: Path, answer: Answer, hide: Iterable[str]) -> list[str]:
    """Return the lines of a run's console; none when it is gone."""
    try:
        with (runs / answer.run / "console.log").open("rb") as file:
            text = file.read(LOG).decode(errors="replace")
    except OSError:
        return []
    # As findings count them: a carriage return or a form feed begins no new line.
    return [clean(line) for line in redact(text, hide).removesuffix("\n").split("\n")]


def _around(lines: Sequence[str], bad: Answer) -> tuple[Line, ...]:
    first, end = bad.first_line, bad.end_line or len(lines)
    last = min(max(first, bad.last_line), first + MOST - 1)
    shown = range(max(first - BEFORE, 1), min(last + AFTER, end, len(lines)) + 1)
    return tuple(Line(number, lines[number - 1], first <= number <= last) for number in shown)


def _tail(lines: Sequence[str]) -> tuple[Line, ...]:
    first = max(len(lines) - BEFORE - AFTER, 0)
    return tuple(Line(number, line) for number, line in enumerate(lines[first:], start=first + 1))


def _alike(lines: Sequence[str], before: Sequence[str]) -> tuple[Line, ...]:
    """Return what *lines* say behind the last of the lines *before* that both have; their end when they have none."""
    places = {_plain(line): number for number, line in reversed(list(enumerate(lines, start=1)))}
    for line in reversed(before[-60:]):
        place = places.get(_plain(line), 0)
        if place and len(_plain(line)) > 12:
            return tuple(
                Line(number, lines[number - 1])
                for number in range(max(place - BEFORE + 1, 1), min(place + 2 * AFTER, len(lines)) + 1)
            )
    return _tail(lines)


def _plain(line: str) -> str:
    """Return what a line says, without its time and numbers."""
    return _NUMBERS.sub("#", payload(line)[1][:ALIKE]).strip()
