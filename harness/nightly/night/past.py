"""What earlier nights and the history say of a job: its last complete run, whether it was left, how long it takes."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TypeVar

import attrs

from harness.errors import UsageError
from harness.model import VerdictName
from harness.nightly import questions
from harness.nightly.night import state
from harness.nightly.night.state import Job, Night
from harness.nightly.questions import Where

NIGHTS = 60
"""So far back one looks."""
BUILDS = 5
"""Of the same branch and configuration: their median is what a build usually takes."""
TELLING = frozenset({VerdictName.PASS, VerdictName.KERNEL, VerdictName.DEPLOY, VerdictName.BUILD})
"""Verdicts that say something of what was tested; a job with another one is run again, changed or not."""
Label = tuple[str, str, str]
"""Branch, configuration, board."""


def label(job: Job) -> Label:
    """Return what tells *job* from others of its night."""
    return job.branch, job.configuration, job.board


@attrs.frozen
class Past:
    """The nights before this one, newest first."""

    nights: tuple[Night, ...] = ()
    _jobs: Mapping[Label, Sequence[Job]] = attrs.field(init=False, repr=False, eq=False)
    _builds: Mapping[str, Sequence[Job]] = attrs.field(init=False, repr=False, eq=False)
    """Configuration -> jobs whose kernel was built."""

    @_jobs.default
    def _by_label(self) -> Mapping[Label, Sequence[Job]]:
        return _grouped((label(job), job) for night in self.nights for job in night.jobs)

    @_builds.default
    def _by_configuration(self) -> Mapping[str, Sequence[Job]]:
        return _grouped((job.configuration, job) for night in self.nights for job in night.jobs if job.build_s)

    def last(self, wanted: Label) -> Job | None:
        """Return the job of that label that was complete last, with a verdict that says something."""
        jobs = self._jobs.get(wanted, ())
        return next((job for job in jobs if job.run and job.verdict in TELLING), None)

    def left(self, wanted: Label) -> bool:
        """Tell whether it was left over when its turn would have been last."""
        jobs = self._jobs.get(wanted, ())
        return bool(jobs) and jobs[0].state == "left"

    def build_s(self, branch: str, configuration: str) -> float | None:
        """Return how long its kernel's build usually takes; None where none was built."""
        jobs = self._builds.get(configuration, ())
        known = [job.build_s for job in jobs if job.branch == branch] or [job.build_s for job in jobs]
        return median(known[:BUILDS]) if known else None


Key = TypeVar("Key")


def _grouped(jobs: Iterable[tuple[Key, Job]]) -> dict[Key, list[Job]]:
    found: dict[Key, list[Job]] = defaultdict(list)
    for key, job in jobs:
        found[key].append(job)
    return dict(found)


def read(folder: Path, *, besides: str = "") -> Past:
    """Return the nights below *folder*, without the one that is named; what cannot be read is passed over."""
    names = sorted(path.parent.name for path in folder.glob(f"*/{state.FILE}") if not path.parent.is_symlink())
    found = []
    for name in names[::-1][:NIGHTS]:
        try:
            found.append(state.from_json((folder / name / state.FILE).read_text(), name=f"{name}/{state.FILE}"))
        except (OSError, UnicodeDecodeError, UsageError):
            continue
    return Past(tuple(night for night in found if night.name != besides))


def run_s(db: sqlite3.Connection, branch: str, board: str, config: str) -> float | None:
    """Return how long a complete run usually takes: of this branch and configuration there, else of any there."""
    for where, base in ((Where(branch, board), config), (Where(board=board), "")):
        if (known := questions.usual_seconds(db, where, config=base)) is not None:
            return known
    return None


def good_kernels(db: sqlite3.Connection, board: str) -> list[str]:
    """Return the keys of the kernels that passed on *board*, the last one first."""
    select = """SELECT kernel.key FROM run JOIN kernel ON kernel.id = run.kernel_id
                JOIN target ON target.id = run.target_id
                WHERE target.name = ? AND verdict = 'PASS' ORDER BY started DESC LIMIT 50"""
    return list(dict.fromkeys(key for (key,) in db.execute(select, (board,))))
