"""What was new in each run, worked out once: a page of a night asks for hundreds of them, and each costs a moment.

It stands in the history beside the run, and goes with it; when a run is imported, what was told of the later ones of
its series goes too (``store``).
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path

import cattrs
from cattrs.preconf.json import make_converter

from harness.nightly import db, evidence
from harness.nightly.compare import Comparison, Kind

_SLOWER = (Kind.SLOWER, Kind.STILL_SLOWER)
_converter = make_converter()


def compared(opened: sqlite3.Connection, runs: Iterable[int]) -> dict[int, Comparison]:
    """Return what is new in each of *runs* (their numbers): from the history, else worked out now."""
    known = _known(opened, runs)
    return {run: known.get(run) or evidence.compared(opened, run) for run in runs}


def keep(history: Path, found: Mapping[int, Comparison]) -> None:
    """Write down what of *found* is not in *history* yet, of runs that have ended; LabError when that cannot be."""
    with db.writing(history) as opened:
        known = _known(opened, found)
        ended = {
            run for (run,) in opened.execute(*_among("SELECT id FROM run WHERE verdict IS NOT NULL AND id", found))
        }
        rows = [_row(run, each) for run, each in found.items() if run in ended and run not in known]
        if rows:
            with db.transaction(opened):
                opened.executemany("INSERT OR IGNORE INTO told VALUES (?, ?, ?)", rows)


def slow_runs(opened: sqlite3.Connection, *, since: int) -> list[tuple[int, int, tuple[str, ...]]]:
    """Return series, time and stages of each run from *since* (seconds since 1970) on that was told as slower."""
    select = """SELECT series_id, started, slower FROM told CROSS JOIN run ON run.id = told.run_id
                WHERE slower IS NOT NULL AND started >= ? ORDER BY started"""
    return [(series, started, tuple(slower.split())) for series, started, slower in opened.execute(select, (since,))]


def _row(run: int, found: Comparison) -> tuple[int, str, str | None]:
    slower = " ".join(change.subject for change in found.changes if change.kind in _SLOWER)
    return run, json.dumps(_converter.unstructure(found)), slower or None


def _known(opened: sqlite3.Connection, runs: Iterable[int]) -> dict[int, Comparison]:
    found = {}
    for run, text in opened.execute(*_among("SELECT run_id, comparison FROM told WHERE run_id", runs)):
        try:
            found[run] = _converter.loads(text, Comparison)
        except (ValueError, cattrs.BaseValidationError):
            continue  # of another pi64: it is worked out anew
    return found


def _among(select: str, runs: Iterable[int]) -> tuple[str, tuple[str]]:
    """Return *select* with the numbers of *runs* behind it, and what it is to be executed with."""
    return f"{select} IN (SELECT value FROM json_each(?))", (json.dumps([*runs]),)  # noqa: S608 - our own words
