"""Which regressions of a night are bisected, and how `pi64 bisect` is asked."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from harness.errors import UsageError
from harness.nightly.bisection import state as states
from harness.nightly.night.agenda import Task
from harness.nightly.night.state import Job

KERNEL = ("--source=", "--ref=", "--branch=")
"""Words of a task that say which commit it is."""


def due(jobs: Sequence[Job], tasks: Sequence[Task], out: Collection[str]) -> Iterator[int]:
    """Yield the jobs to bisect: the first of each branch and configuration that broke, on a board that is in.

    Only git has commits between two; what broke on several boards at once is looked for on one.
    """
    seen = set()
    for number, (job, task) in enumerate(zip(jobs, tasks, strict=True)):
        between = task.pinned and job.good and job.commit and job.good != job.commit
        if job.regressions and between and job.board not in out and (job.branch, job.configuration) not in seen:
            seen.add((job.branch, job.configuration))
            yield number


def words(job: Job, task: Task, pytest: Sequence[str], *, lab: Path, runs: Path) -> list[str]:
    """Return the arguments of `pi64 bisect`."""
    return [
        f"--board={job.board}",
        f"--good={job.good}",
        f"--bad={job.commit}",
        f"--source={task.wanted.branch.source}",
        f"--lg-env={lab}",
        f"--runs={runs}",
        "--",
        *pytest,
        *(word for word in task.words if not word.startswith(KERNEL)),
    ]


def folder(runs: Path, job: Job) -> str:
    """Return the name of the bisection's folder below *runs*; empty while there is none."""
    for path in sorted((runs / states.FOLDER).glob(f"*/{states.FILE}"), reverse=True):
        if path.parent.is_symlink():
            continue
        try:
            question = states.from_json(path.read_text(), name=str(path)).question
        except (OSError, UnicodeDecodeError, UsageError):
            continue
        if (question.board, question.bad, question.goods) == (job.board, job.commit, (job.good,)):
            return path.parent.name
    return ""
