"""A night as a value, and as the JSON of ``runs/nightly/<night>/night.json``. Pure: the caller reads and writes it."""

import json
from collections.abc import Mapping
from typing import Literal

import attrs
import cattrs
from cattrs.preconf.json import make_converter

from harness.errors import UsageError
from harness.report import moment

SCHEMA = 1
FILE = "night.json"
FOLDER = "nightly"
"""Below ``runs/``; each night has a folder there, named after when it began, ``latest`` links to the newest."""

JobState = Literal[
    "waiting",  # for its kernel or its board
    "building",
    "running",
    "done",  # it has a run with a verdict
    "unchanged",  # its last complete run was of the same inputs: not run again
    "left",  # the budget was used up, or the night was stopped, before its turn
    "out",  # its board was taken out: the known-good kernel does not boot on it either
    "broken",  # no run came of it: reason tells
]


@attrs.frozen
class Job:
    """One branch in one configuration on one board."""

    branch: str
    """Its name in the plan."""
    board: str
    """Target of lab.yaml."""
    configuration: str
    """Its name in the plan."""
    state: JobState = "waiting"
    reason: str = ""
    """Why it is unchanged, left, out or broken."""
    commit: str = ""
    build: str = ""
    """Key of its kernel's build; jobs that share one have the same."""
    run: str = ""
    """Name of its run's folder below ``runs/``; known from when it is running."""
    verdict: str = ""
    """Of that run; empty until it has ended."""
    usual_s: float | None = None
    """How long such a run usually takes; None where the history does not know."""
    started: str = ""
    """ISO 8601, UTC: when it began to build or run."""
    seconds: float = 0.0
    """From then to its end."""
    bisection: str = ""
    """Name of the folder below ``runs/bisect/`` when its regression was, or is being, bisected."""
    inputs: str = ""
    """Digest of all that decides what comes of it; two runs of equal inputs are runs of the same."""
    build_s: float = 0.0
    """What its kernel's build took this night; 0 where it came from the cache."""
    tries: int = 0
    """How many runs were begun for it this night."""
    regressions: tuple[str, ...] = ()
    """What broke in its run that was good before, a line each."""
    good: str = ""
    """Commit of the run against which it was compared, when something broke."""
    told: str = ""
    """Name of its last run of which an earlier night has told; what broke since then is new."""

    @property
    def label(self) -> str:
        """What people call it."""
        return f"{self.branch}/{self.configuration} on {self.board}"

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do for it."""
        return self.state not in {"waiting", "building", "running", "left"}


@attrs.frozen
class Night:
    """All of one night."""

    name: str
    """Of its folder."""
    started: str
    """ISO 8601, UTC."""
    finished: str = ""
    """Empty while it goes on, or after it was killed."""
    stopped: str = ""
    """What stopped it before its end, e.g. ``SIGTERM``; the next start goes on with it."""
    host: str = ""
    pid: int = 0
    budget_s: float | None = None
    jobs: tuple[Job, ...] = ()
    boards_out: Mapping[str, str] = attrs.field(factory=dict)
    """Board -> why it was taken out."""


_converter = make_converter()


def to_json(night: Night) -> str:
    """Return *night* as indented JSON with a newline at its end."""
    return json.dumps({"schema": SCHEMA, **_converter.unstructure(night)}, indent=1) + "\n"


def from_json(text: str, *, name: str = FILE) -> Night:
    """Return the night in *text*; UsageError when it is none, or one of a newer pi64."""
    damaged = UsageError(f"{name}: not the state of a night", hint="move it away; a new night begins afresh")
    try:
        data = json.loads(text)
        schema = data.pop("schema", SCHEMA)
        if schema > SCHEMA:
            raise UsageError(f"{name}: schema {schema}, this program reads {SCHEMA}", hint="update pi64")
        night = _converter.structure(data, Night)
    except (ValueError, TypeError, AttributeError, RecursionError, cattrs.BaseValidationError) as error:
        raise damaged from error
    if moment.seconds(night.started) is None:
        raise damaged
    return night
