"""A night's state on the disk: written whole at every change, one night at a time, found again after a kill."""

import contextlib
import datetime
import os
import platform
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from harness import host
from harness.errors import LabError, UsageError
from harness.lab import folder
from harness.nightly.night import state
from harness.nightly.night.past import Label, label
from harness.nightly.night.state import Job, Night
from harness.report import moment

LOCK = ".lock"
ENDING_S = 240.0
"""How long what a killed night has left running may take: its boards go off, its records are written."""
STALE_S = 86_400.0
"""A night without a budget that began longer ago is not gone on with."""


class Book:
    """Keeps ``night.json`` true."""

    def __init__(self, path: Path, night: Night, tell: Callable[[str], object]) -> None:
        """*path* is the night's folder."""
        self.path, self.night, self._tell = path, night, tell
        self._full = ""
        self.save()

    def know(self, **facts: Any) -> None:
        """Take what is new of the night."""
        self.night = attrs.evolve(self.night, **facts)
        self.save()

    def job(self, number: int, **facts: Any) -> Job:
        """Take what is new of job *number*; return the job."""
        return self.jobs({number: facts})[number]

    def jobs(self, facts: dict[int, dict[str, Any]]) -> tuple[Job, ...]:
        """Take what is new of several jobs at once; return all jobs."""
        if facts:
            jobs = [attrs.evolve(job, **facts.get(number, {})) for number, job in enumerate(self.night.jobs)]
            self.know(jobs=tuple(jobs))
        return self.night.jobs

    def all(self, numbers: Iterable[int], **facts: Any) -> None:
        """Take what is new of the jobs *numbers*, the same of each."""
        self.jobs(dict.fromkeys(numbers, facts))

    def save(self) -> None:
        """Write it; a full disk is told of, and the night goes on: the next change is written if there is room."""
        try:
            host.write_atomic(self.path / state.FILE, state.to_json(self.night).encode())
            self._full = ""
        except OSError as error:
            if not self._full:
                self._tell(f"{self.path / state.FILE} cannot be written: {error.strerror}; the night goes on")
            self._full = str(error.strerror)


def begin(nights: Path, jobs: Sequence[Job], *, budget_s: float | None, tell: Callable[[str], object]) -> Book:
    """Begin a new night below *nights*; ``latest`` there points to it."""
    path = folder.make(nights, "")
    night = Night(path.name, now(), host=platform.node(), pid=os.getpid(), budget_s=budget_s, jobs=tuple(jobs))
    return Book(path, night, tell)


def go_on(
    nights: Path, night: Night, jobs: Sequence[Job], *, budget_s: float | None, tell: Callable[[str], object]
) -> Book:
    """Go on with *night*, whose *jobs* are as they were left; its budget counts from when it began."""
    again = attrs.evolve(night, finished="", stopped="", jobs=tuple(jobs), budget_s=budget_s)
    again = attrs.evolve(again, pid=os.getpid(), host=platform.node())
    return Book(nights / night.name, again, tell)


# --- one night at a time ---------------------------------------------------------------------------------------------
@contextlib.contextmanager
def locked(nights: Path, tell: Callable[[str], object]) -> Iterator[int]:
    """Have *nights* alone; yield the lock's file descriptor, for the children to hold on to.

    LabError naming the process when another night is on. What is left of one that was killed is waited for.
    """
    try:
        nights.mkdir(parents=True, exist_ok=True)
        opened = (nights / LOCK).open("a+")
    except OSError as error:
        raise UsageError(f"{nights}: {error.strerror}", hint="--runs DIR: where records of runs go") from error
    with opened as lock:
        deadline, told = time.monotonic() + ENDING_S, False
        while True:
            try:
                host.take(lock, f"{nights}", hint="one night at a time; `pi64 watch` shows it")
                break
            except LabError:
                if _alive(nights / LOCK) or time.monotonic() > deadline:
                    raise
                if not told:
                    tell("waiting for what a killed night has left running")
                told = True
                time.sleep(0.2)
        yield lock.fileno()


def _alive(lock: Path) -> bool:
    """Tell whether the process lives that has written its number into *lock*."""
    number = re.search(r"\d+", lock.read_text())
    return number is not None and Path(f"/proc/{number[0]}").exists()


# --- where it was ----------------------------------------------------------------------------------------------------
def unfinished(nights: Path, labels: Sequence[Label], *, budget_s: float | None) -> Night | None:
    """Return the newest night if it was killed or stopped, has time left, and is of just these jobs, in this order.

    What its children have left behind goes by the number of the job.
    """
    link = nights / "latest"
    try:
        night = state.from_json((link / state.FILE).read_text(), name=str(link))
    except (OSError, UnicodeDecodeError, UsageError):
        return None
    ended = night.finished and not night.stopped
    same = [*map(label, night.jobs)] == [*labels]
    return night if same and not ended and age_s(night) < (budget_s or STALE_S) else None


def close(nights: Path, why: str) -> None:
    """Say of a newest night that is not gone on with that it has ended."""
    link = nights / "latest"
    try:
        night = state.from_json((link / state.FILE).read_text(), name=str(link))
    except (OSError, UnicodeDecodeError, UsageError):
        return
    if night.finished:
        return
    jobs = tuple(job if job.complete else attrs.evolve(job, state="left", reason=why) for job in night.jobs)
    with contextlib.suppress(OSError):
        text = state.to_json(attrs.evolve(night, jobs=jobs, finished=now()))
        host.write_atomic(link.resolve() / state.FILE, text.encode())


def taken_up(job: Job, *, again: bool) -> Job:
    """Return *job* of a night that is gone on with as it is to be treated now; one that ran is looked at later."""
    if job.state in {"building", "left"} or (again and job.state == "unchanged"):
        return attrs.evolve(job, state="waiting", reason="", run="", verdict="")
    return job


def age_s(night: Night) -> float:
    """Return how long ago *night* began."""
    return time.time() - (moment.seconds(night.started) or 0)


def now() -> str:
    """Return the present moment, ISO 8601, UTC."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
