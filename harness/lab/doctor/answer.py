"""What the doctor says about one part of a bench: ok, fault or not applicable, the fact, and the remedy."""

from collections.abc import Sequence
from typing import Any, Literal

import attrs

from harness.report.redact import printable, without_credentials

SCHEMA = 1
"""Of the JSON; raised when a key changes its meaning, new keys do not raise it."""

State = Literal["ok", "fault", "n/a"]


@attrs.frozen
class Answer:
    """One line of the doctor's."""

    state: State
    subject: str
    """What was looked at, e.g. ``/dev/ttyUSB0``."""
    fact: str
    """What was seen, with its number."""
    remedy: str = ""
    """The next step; empty where there is nothing to do."""
    part: str = ""
    """The part of the bench: the name of its file."""


def ok(subject: str, fact: str) -> Answer:
    """Say that *subject* is as it must be."""
    return Answer("ok", subject, fact)


def fault(subject: str, fact: str, remedy: str) -> Answer:
    """Say that *subject* is broken, and what to do about it."""
    return Answer("fault", subject, fact, remedy)


def absent(subject: str, fact: str, remedy: str = "") -> Answer:
    """Say that *subject* could not be looked at, or that this bench has none."""
    return Answer("n/a", subject, fact, remedy)


def clean(answer: Answer) -> Answer:
    """Return *answer* fit for a terminal: what devices, servers and file names say of themselves is not ours."""
    return attrs.evolve(
        answer, subject=one_line(answer.subject), fact=one_line(answer.fact), remedy=one_line(answer.remedy)
    )


def lines(answer: Answer) -> list[str]:
    """Return *answer* for people: one line, and one more with the remedy."""
    head = f"{answer.state:<5}  {answer.part:<11} {answer.subject}: {answer.fact}"
    return [head, *([f"{'':<19}-> {answer.remedy}"] if answer.remedy else [])]


def summary(answers: Sequence[Answer]) -> str:
    """Return how many of each state there are."""
    count = {state: sum(answer.state == state for answer in answers) for state in ("ok", "fault", "n/a")}
    faults = f"{count['fault']} fault{'' if count['fault'] == 1 else 's'}"
    return f"{count['ok']} ok, {faults}, {count['n/a']} not applicable"


def to_json(answers: Sequence[Answer], *, board: str, model: str) -> dict[str, Any]:
    """Return all answers as one JSON object; ``ok`` is whether none of them is a fault."""
    return {
        "schema": SCHEMA,
        "board": board,
        "model": model,
        "ok": all(answer.state != "fault" for answer in answers),
        "answers": [attrs.asdict(answer) for answer in answers],
    }


def one_line(text: str) -> str:
    """Return *text* on one line, without what a terminal would obey, and without the credentials of URLs."""
    return printable(without_credentials(" ".join(text.split())))
