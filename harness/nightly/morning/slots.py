"""Which run counts for which branch and board: what the night's jobs say, or the history where there was no night."""

import re
import sqlite3
from collections.abc import Iterator, Mapping

import attrs

from harness.nightly.morning.values import DAY_S, Cell, Line
from harness.nightly.night.state import Job, Night
from harness.nightly.questions import JOINED, SERIES, series_of

KEEP_DAYS = 30
"""A branch that did not run on a board for so long is not in the matrix any more."""


@attrs.frozen
class Slot:
    """One place of the matrix."""

    line: Line
    board: str
    series: int | None = None
    """Its number in the history; None where it has never run."""
    run: int | None = None
    """The run of this night, if it made one."""
    job: Job | None = None
    lent: bool = False
    """Whether *series* is another board's: there a kernel did not build, and that was told for all boards."""


def of_history(opened: sqlite3.Connection) -> list[Slot]:
    """Return a slot for each series that ran lately; a run of the last day before the newest one is of this night."""
    newest = opened.execute("SELECT MAX(started) FROM run WHERE verdict IS NOT NULL").fetchone()[0] or 0
    last = (
        "SELECT id, started FROM run WHERE series_id = series.id AND verdict IS NOT NULL ORDER BY started DESC LIMIT 1"
    )
    select = f"""
    SELECT series.id, {SERIES}, last.id, last.started FROM series {JOINED}
    JOIN run AS last ON last.id = (SELECT id FROM ({last})) WHERE last.started > ? ORDER BY 2, 3, 6, 7, 4"""  # noqa: S608
    found = []
    for number, *named, run, started in opened.execute(select, (newest - KEEP_DAYS * DAY_S,)):
        series = series_of(named)
        line = Line(series.label, series.config)
        found.append(Slot(line, series.board, number, run if started > newest - DAY_S else None))
    if len({slot.line.configuration for slot in found}) == 1:  # then there is nothing to tell apart
        found = [attrs.evolve(slot, line=Line(slot.line.branch, "")) for slot in found]
    return sorted(found, key=lambda slot: (_natural(slot.line.label), _natural(slot.board)))


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key by which ``rpi2`` comes before ``rpi10``."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def of_night(opened: sqlite3.Connection, night: Night) -> list[Slot]:
    """Return a slot for each job of *night*, in the order of its plan."""
    runs = _runs(opened, [job.run for job in night.jobs if job.run])
    every = _every_series(opened)
    known = {(job.branch, job.configuration): every[runs[job.run][1]][1:] for job in night.jobs if job.run in runs}
    found = []
    for job in night.jobs:
        run, series = runs.get(job.run, (None, None))
        if series is None:
            series = _series(every, job, known.get((job.branch, job.configuration)))
        made = run if job.state == "done" else None
        lent = series is not None and every[series][0] != job.board
        found.append(Slot(Line(job.branch, _shown(job)), job.board, series, made, job, lent))
    return found


def _shown(job: Job) -> str:
    return "" if job.configuration == "default" else job.configuration


_Series = tuple[str, str, str, str, str]
"""Board, branch, tree, configuration, fragments."""


def _every_series(opened: sqlite3.Connection) -> dict[int, _Series]:
    select = f"SELECT series.id, target.name, branch.name, branch.tree, config, fragments FROM series {JOINED}"  # noqa: S608
    return {number: tuple(rest) for number, *rest in opened.execute(select)}


def _runs(opened: sqlite3.Connection, names: list[str]) -> dict[str, tuple[int, int]]:
    """Return the number and series of each run that the history knows."""
    found: dict[str, tuple[int, int]] = {}
    for name in names:
        row = opened.execute(
            "SELECT id, series_id FROM run WHERE name = ? ORDER BY id DESC LIMIT 1", (name,)
        ).fetchone()
        if row:
            found[name] = row
    return found


def _series(every: Mapping[int, _Series], job: Job, like: tuple[str, ...] | None) -> int | None:
    """Return the series of a job without a run: *like* that of the same line on other boards, else the only one."""
    here = [number for number, series in every.items() if series[0] == job.board and job.branch in series[1:3]]
    if like is not None:
        here = [number for number, series in every.items() if series[0] == job.board and series[1:] == like]
    return here[0] if len(here) == 1 else None


def cells(opened: sqlite3.Connection, slots: list[Slot]) -> Iterator[Cell]:
    """Yield how each slot does."""
    for slot in slots:
        job, cell = slot.job, _last(opened, slot)
        if job:
            cell = attrs.evolve(cell, state=job.state, reason=job.reason, bisection=job.bisection)
        yield cell


_NEWEST = """
SELECT run.id, run.name, run.started, run.verdict, run.git_commit, kernel.version FROM run
LEFT JOIN kernel ON kernel.id = run.kernel_id WHERE {} ORDER BY run.started DESC LIMIT 1"""
_PAST = """
SELECT started, verdict FROM run WHERE series_id = ? AND verdict IS NOT NULL AND started <= ? ORDER BY started DESC"""


def _last(opened: sqlite3.Connection, slot: Slot) -> Cell:
    if slot.run is not None:
        row = opened.execute(_NEWEST.format("run.id = ?"), (slot.run,)).fetchone()
    else:
        where = "run.series_id = ? AND run.verdict IS NOT NULL"
        row = opened.execute(_NEWEST.format(where), (slot.series,)).fetchone()
    if not row:
        return Cell(slot.line, slot.board, tonight=False)
    number, name, started, verdict, commit, release = row
    kernel = commit[:12] or release or ""
    since, runs, before = _streak(opened, slot.series, started, verdict)
    tonight = number == slot.run
    return Cell(
        slot.line, slot.board, verdict or "", name, kernel=kernel, started=started, since=since, runs=runs,
        before=before, tonight=tonight,
    )  # fmt: skip


def _streak(opened: sqlite3.Connection, series: int | None, started: int, verdict: str) -> tuple[int, int, str]:
    """Return since when it is so, for how many runs, and what it was before; LAB tells nothing in between."""
    since, runs = started, 0
    for at, other in opened.execute(_PAST, (series, started)):
        if other == verdict:
            since, runs = at, runs + 1
        elif other != "LAB":
            return since, runs, other
    return since, runs, ""
