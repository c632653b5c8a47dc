"""A bisection as a value, and as the JSON of ``runs/bisect/<name>/bisect.json``. Pure: the caller reads and writes it.

What was asked and what each run answered is all there is to it; what is left, and what comes next, is worked out anew
from these each time, so a bisection that was killed goes on from its file as if it had never ended.
"""

import json
from typing import Literal

import attrs
import cattrs
from cattrs.preconf.json import make_converter

from harness.errors import UsageError
from harness.nightly.bisection.votes import Said, Symptom

SCHEMA = 1
FILE = "bisect.json"
FOLDER = "bisect"
"""Below ``runs/``; each bisection has a folder there."""

Role = Literal[
    "good",  # said to be good: verified
    "bad",  # said to be bad: verified
    "base",  # where the two parted: must be good
    "try",
    "revert",  # bad without the culprit
]


@attrs.frozen
class Question:
    """What is asked; equal questions have equal answers."""

    board: str
    goods: tuple[str, ...]
    """Full SHAs."""
    bad: str
    symptom: Symptom = Symptom()
    boots: int = 1
    """Runs that a commit must pass to be good; one that shows the symptom makes it bad."""
    source: str = ""
    """Where it is asked for elsewhere than at the target's own git repository; without a password."""
    args: tuple[str, ...] = ()
    """What pytest is given: tests, then options."""


@attrs.frozen
class Answer:
    """What one run said about one commit."""

    number: int
    """1-based; of all answers of the bisection."""
    sha: str
    role: Role
    vote: Said
    reason: str
    evidence: tuple[str, ...] = ()
    bench: bool = False
    """Whether it says nothing because of the bench."""
    verdict: str = ""
    run: str = ""
    """Name of the run's folder below ``runs/`` of the bisection; empty when none was begun."""
    seconds: float = 0.0
    build_seconds: float = 0.0
    """0 when the kernel was in the cache, or was not built."""
    boots: int = 0
    key: str = ""
    """Of the kernel's build."""
    first_line: int = 0
    """Where the symptom stands in the run's console.log, 1-based; 0 for nowhere."""
    last_line: int = 0
    end_line: int = 0
    """Where the boot that it is of ends; 0 for the log's end."""
    symptoms: tuple[str, ...] = ()
    """All that the kernel did wrong: tests that failed, signatures."""
    marks: tuple[str, ...] = ()
    """What its symptom is known by."""


@attrs.frozen
class Revert:
    """Bad without the culprit."""

    culprit: str
    sha: str = ""
    """The commit that was made; empty when the culprit does not revert."""
    why: str = ""
    """Why it does not."""
    merge: bool = False
    """Whether all that a merge had brought was taken back."""


@attrs.frozen
class State:
    """All of one bisection."""

    name: str
    """Of its folder."""
    started: str
    """ISO 8601, UTC."""
    question: Question
    asked: tuple[str, ...] = ()
    """The words for good, and for bad, as they were said."""
    tree: str = ""
    """The git repository, without a password."""
    bases: tuple[str, ...] = ()
    """Where good and bad parted, when good is not behind bad."""
    answers: tuple[Answer, ...] = ()
    forgiven: int = 0
    """Answers that said nothing before somebody had the board seen to: they do not count any more."""
    revert: Revert | None = None
    finished: str = ""
    """ISO 8601, UTC; empty while it goes on, or after it was ended."""
    first_bad: tuple[str, ...] = ()
    """The answer: one commit, or those between which only skipped ones are left; empty before."""
    confirmed: bool | None = None
    """Whether bad became good without the culprit; None when that is not known."""
    stopped: str = ""
    """Why it stopped before its end, for people."""


_converter = make_converter()


def to_json(state: State) -> str:
    """Return *state* as indented JSON with a newline at its end."""
    return json.dumps({"schema": SCHEMA, **_converter.unstructure(state)}, indent=1) + "\n"


def from_json(text: str, *, name: str = FILE) -> State:
    """Return the bisection in *text*; UsageError when it is none, or one of a newer pi64."""
    try:
        data = json.loads(text)
        schema = data.pop("schema", SCHEMA)
        if schema > SCHEMA:
            raise UsageError(f"{name}: schema {schema}, this program reads {SCHEMA}", hint="update pi64")
        return _converter.structure(data, State)
    except (ValueError, TypeError, AttributeError, RecursionError, cattrs.BaseValidationError) as error:
        raise UsageError(f"{name}: not the state of a bisection", hint="move its folder away and ask again") from error
