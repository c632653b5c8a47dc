"""What the good runs before this one had on the same board, so that a test can compare while the board is there.

The runs are those of the same branch, board and configuration, as in ``compare``, and with the same system below the
kernel: another one loads other modules, and brings other firmware.
"""

import sqlite3
from pathlib import Path

import attrs

from harness.errors import Pi64Error
from harness.nightly import db, facts, importer
from harness.report.record import RunRecord

RUNS = 10  # good ones: what the kernel says differs a little from boot to boot


@attrs.frozen
class Good:
    """One good run, and what was there of one kind."""

    name: str
    there: frozenset[str]


@attrs.frozen
class Before:
    """The good runs before, newest first; *why* there are none."""

    runs: tuple[Good, ...] = ()
    why: str = ""

    @property
    def told(self) -> str:
        """For the record: with what something was compared, or why with nothing."""
        return self.why or self.runs[0].name


def catch_up(runs: Path) -> str:
    """Bring the history below *runs* up to date, if there is one; return why that was not possible.

    It is asked as it is then: no test fails because a history is locked, damaged, or of a newer pi64.
    """
    history = runs / db.NAME
    if not history.exists():
        return "no history: `pi64 history` makes one"
    try:
        importer.catch_up(history, runs)
    except Pi64Error as error:
        return error.message
    except OSError as error:
        return f"{history}: {error.strerror}"
    return ""


def before(runs: Path, record: RunRecord, kind: str) -> Before:
    """Return what good runs like *record* had of *kind*."""
    history = runs / db.NAME
    if not history.exists():
        return Before(why="no history: `pi64 history` makes one")
    try:
        with db.reading(history) as opened:
            found = _good(opened, record, kind)
    except Pi64Error as error:
        return Before(why=error.message)
    except OSError as error:
        return Before(why=f"{history}: {error.strerror}")
    why = f"no good run before of this branch, board, configuration and system below has {kind}"
    return Before(found, "" if found else why)


def _good(opened: sqlite3.Connection, record: RunRecord, kind: str) -> tuple[Good, ...]:
    config, fragments = facts.configuration(record)
    like = {
        "target": record.target, "tree": record.tree or record.source, "branch": record.branch,
        "config": config, "fragments": " ".join(fragments), "kind": kind, "name": record.run_id,
        "started": facts.started(record), "image": facts.image(record), "limit": RUNS,
    }  # fmt: skip
    select = """
    SELECT run.name, names.list FROM run
    JOIN series ON series.id = run.series_id JOIN branch ON branch.id = series.branch_id
    JOIN target ON target.id = series.target_id JOIN word AS image ON image.id = run.image_id AND image.text = :image
    JOIN inventory ON inventory.run_id = run.id AND inventory.kind = :kind JOIN names ON names.id = inventory.names_id
    WHERE target.name = :target AND branch.tree = :tree AND branch.name = :branch
      AND series.config = :config AND series.fragments = :fragments
      AND run.verdict = 'PASS' AND run.control_failed IS NULL AND run.name != :name AND run.started <= :started
    ORDER BY run.started DESC, run.id DESC LIMIT :limit"""
    return tuple(Good(name, frozenset(text.splitlines())) for name, text in opened.execute(select, like))
