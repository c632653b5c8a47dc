"""What people ask of the history: which runs there are, the last good ones, where a signature comes from."""

import sqlite3
from collections.abc import Sequence
from statistics import median
from typing import Any

import attrs

from harness.nightly.views import Ref


@attrs.frozen
class Where:
    """Which runs are asked about; what is empty leaves nothing out."""

    branch: str = ""
    """Name of a branch, or the tree as it was asked for."""
    board: str = ""
    """A target."""
    since: int = 0
    """Seconds since 1970."""


@attrs.frozen
class Series:
    """What runs have in common that are compared with each other."""

    branch: str
    """Empty outside git."""
    tree: str
    board: str
    model: str
    config: str
    """Base and fragments, for people."""

    @property
    def label(self) -> str:
        """What people call it: the branch, or the tree where there is none."""
        return self.branch or self.tree


@attrs.frozen
class LastGood:
    """How one branch does on one board, in one configuration."""

    series: Series
    good: Ref | None
    """The last run that was a PASS."""
    newest: Ref
    """The last run that has a verdict."""
    since: int
    """How many runs with a verdict came after *good*; all of them if there is none."""


@attrs.frozen
class Sighted:
    """A signature on one branch, board and configuration."""

    signature: str
    kind: str
    severity: str
    series: Series
    first: Ref
    last: Ref
    runs: int


SERIES = "branch.name, branch.tree, target.name, target.model, series.config, series.fragments"
"""Columns from which `series_of` makes a Series."""
JOINED = "JOIN branch ON branch.id = series.branch_id JOIN target ON target.id = series.target_id"
WHERE = ":branch IN ('', branch.name, branch.tree) AND :board IN ('', target.name)"
_REF = "run.name, run.started, run.verdict, run.git_commit, kernel.version"


def last_good(db: sqlite3.Connection, where: Where) -> list[LastGood]:
    """Return how each branch does on each board, by branch and board; without those that have no verdict at all."""
    newest = "SELECT id FROM run WHERE series_id = series.id AND verdict IS NOT NULL AND started >= :since"
    order = "ORDER BY started DESC LIMIT 1"
    select = f"""
    SELECT series.id, {SERIES}, ({newest} AND verdict = 'PASS' {order}), ({newest} {order})
    FROM series {JOINED} WHERE {WHERE} ORDER BY 2, 3, 4, 6, 7"""  # noqa: S608 - our own words
    count = "SELECT COUNT(*) FROM run WHERE series_id = ? AND verdict IS NOT NULL AND started > ?"
    found = []
    for series, *named, good, last in db.execute(select, attrs.asdict(where)).fetchall():
        if last:
            ref = ref_of(db, good) if good else None
            after = db.execute(count, (series, ref.started if ref else where.since - 1)).fetchone()[0]
            found.append(LastGood(series_of(named), ref, ref_of(db, last), after))
    return found


def signatures(db: sqlite3.Connection, text: str, where: Where, *, severities: Sequence[str] = ()) -> list[Sighted]:
    """Return where signatures that hold *text* were seen, first and last, the newest first.

    *severities*: only those, if any are given.
    """
    matching = """SELECT id FROM signature WHERE instr(lower(text), lower(:text))
                  AND (:severities = '' OR instr(:severities, ' ' || severity || ' '))"""
    select = f"""
    SELECT signature.text, signature.kind, signature.severity, first, last, times, signature_id, series_id, {SERIES}
    FROM (SELECT signature_id, series_id, MIN(started) AS first, MAX(started) AS last, COUNT(*) AS times
          FROM sighting WHERE signature_id IN ({matching}) GROUP BY signature_id, series_id)
    JOIN signature ON signature.id = signature_id JOIN series ON series.id = series_id {JOINED}
    WHERE {WHERE} AND first >= :since ORDER BY first DESC, signature.text"""  # noqa: S608 - our own words
    wanted = f" {' '.join(severities)} " if severities else ""
    found = []
    for text_, kind, severity, first, last, times, number, series, *named in db.execute(
        select, {**attrs.asdict(where), "text": text, "severities": wanted}
    ).fetchall():
        ends = [_sighting(db, number, series, at) for at in (first, last)]
        found.append(Sighted(text_, kind, severity, series_of(named), ends[0], ends[1], times))
    return found


def _sighting(db: sqlite3.Connection, signature: int, series: int, started: int) -> Ref:
    select = "SELECT run_id FROM sighting WHERE signature_id = ? AND series_id = ? AND started = ? LIMIT 1"
    return ref_of(db, db.execute(select, (signature, series, started)).fetchone()[0])


# --- runs ------------------------------------------------------------------------------------------------------------
def runs(db: sqlite3.Connection, where: Where, *, limit: int = 20) -> list[tuple[Series, Ref]]:
    """Return the newest runs."""
    select = f"""
    SELECT run.id, {SERIES} FROM run JOIN series ON series.id = run.series_id {JOINED}
    WHERE {WHERE} AND run.started >= :since ORDER BY run.started DESC LIMIT :limit"""  # noqa: S608 - our own words
    rows = db.execute(select, {**attrs.asdict(where), "limit": limit}).fetchall()
    return [(series_of(named), ref_of(db, run)) for run, *named in rows]


def usual_seconds(db: sqlite3.Connection, where: Where, *, config: str = "") -> float | None:
    """Return how long a complete run usually takes: the median of the last ten; None when there was none.

    *config* is a base configuration as it was asked for; empty: all.
    """
    select = f"""
    SELECT finished - started FROM run WHERE series_id IN (
      SELECT series.id FROM series {JOINED} WHERE {WHERE} AND :config IN ('', series.config))
    AND started >= :since AND finished IS NOT NULL AND verdict IN ('PASS', 'KERNEL')
    ORDER BY +started DESC LIMIT 10"""  # noqa: S608 - ours
    known = [seconds for (seconds,) in db.execute(select, {**attrs.asdict(where), "config": config})]
    return float(median(known)) if known else None


def series_of(named: Sequence[Any]) -> Series:
    """Return the series that the columns `SERIES` tell."""
    branch, tree, board, model, config, fragments = named
    return Series(branch, tree, board, model, " +".join(filter(None, [config or "default", *fragments.split()])))


def ref_of(db: sqlite3.Connection, run: int) -> Ref:
    """Return the run with number *run*, as people name it."""
    select = f"SELECT {_REF} FROM run LEFT JOIN kernel ON kernel.id = run.kernel_id WHERE run.id = ?"  # noqa: S608 - ours
    name, started, verdict, commit, release = db.execute(select, (run,)).fetchone()
    return Ref(name, started, verdict or "", commit, release or "")
