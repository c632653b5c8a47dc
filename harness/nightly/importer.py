"""From the records of runs into the history: any number of times, by any number of processes, with the same outcome.

A record that is damaged, or no record at all, is told and passed over; it never stands in the way of another.
"""

import hashlib
import json
import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import attrs

from harness import host
from harness.errors import UsageError
from harness.nightly import db
from harness.nightly.store import KNOWN, NEW, RENEWED, Paper, Store
from harness.report import record as records

RECORD = "run.json"
LARGEST = 64 << 20  # bytes; a record of 20,000 tests has ten million
BATCH = 100  # records in one transaction: well below a second, for others want to write too
NO_RECORD = (
    TypeError, ValueError, KeyError, AttributeError, OverflowError, RecursionError,
    sqlite3.InterfaceError, sqlite3.ProgrammingError, sqlite3.IntegrityError, sqlite3.DataError,
)  # fmt: skip
"""What a record brings about that has the right keys and the wrong things in them."""


@attrs.frozen
class Imported:
    """What came of an import."""

    new: int = 0
    renewed: int = 0
    """Known before, but not all of it: they were still running, or were written again."""
    known: int = 0
    passed_over: tuple[tuple[str, str], ...] = ()
    """Folder, and why."""


def catch_up(history: Path, runs: Path, *, again: bool = False, progress: host.Progress = host.silent) -> Imported:
    """Import what is new below *runs*; *again* reads every record once more.

    Which runs have ended is known, and their records are not opened again. UsageError when there is no such folder.
    """
    if not runs.is_dir():
        raise UsageError(f"{runs}: no such folder", hint="--runs DIR: where records of runs go")
    with db.writing(history) as opened:
        return take(opened, _unknown(opened, runs, again=again), progress=progress)


def take(opened: sqlite3.Connection, folders: Iterable[Path], *, progress: host.Progress = host.silent) -> Imported:
    """Import the records in *folders* into an open history."""
    store, counts, passed_over, number = Store(opened), {NEW: 0, RENEWED: 0, KNOWN: 0}, [], 0
    waiting = iter(folders)
    while batch := list(islice(waiting, BATCH)):
        papers = []
        for folder in batch:
            try:
                papers.append((folder, read(folder)))
            except UsageError as error:
                passed_over.append((str(folder), error.message))
        with db.transaction(opened):
            for folder, paper in papers:
                outcome = _one(opened, store, paper)
                if outcome in counts:
                    counts[outcome] += 1
                else:
                    passed_over.append((str(folder), outcome))
        number += len(batch)
        if number > BATCH:
            progress(f"history: {number} records read")
    return Imported(counts[NEW], counts[RENEWED], counts[KNOWN], tuple(passed_over))


def read(folder: Path) -> Paper:
    """Return the record in *folder*; UsageError when there is none that can be read."""
    content = _bytes(folder / RECORD)
    try:
        record = records.from_json(content.decode(), name=RECORD)
    except UnicodeDecodeError as error:
        raise UsageError(f"{RECORD}: not UTF-8: byte {error.start}") from error
    except RecursionError as error:
        raise UsageError(f"{RECORD}: nested too deeply") from error
    if not record.target:
        raise UsageError(f"{RECORD}: does not say on which target it ran")
    digest = hashlib.sha256(content).digest()[:16]
    return Paper(record, digest, str(folder.absolute()), partial(_modules, folder))


def _one(opened: sqlite3.Connection, store: Store, paper: Paper) -> str:
    """Write one record; return what `Store.take` does, or why it cannot be taken."""
    opened.execute("SAVEPOINT record")
    try:
        outcome = store.take(paper)
    except (UsageError, *NO_RECORD) as error:
        opened.execute("ROLLBACK TO record")
        store.forget()
        outcome = error.message if isinstance(error, UsageError) else f"{RECORD}: damaged record: {error}"
    opened.execute("RELEASE record")
    return outcome


# --- files -----------------------------------------------------------------------------------------------------------
def _bytes(path: Path) -> bytes:
    """Return the content of a file that somebody may have put there who wishes us no good."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123 - of a pipe too
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise UsageError(f"{path.name}: no file")
            if state.st_size > LARGEST:
                raise UsageError(f"{path.name}: {state.st_size >> 20} MiB; a record has at most {LARGEST >> 20}")
            return file.read(LARGEST)
    except OSError as error:
        raise UsageError(f"{path.name}: {error.strerror}") from error


def _modules(folder: Path) -> tuple[str, ...]:
    """Return the modules that were built, as kernel.json tells; a record without it is one all the same."""
    try:
        told = json.loads(_bytes(folder / "kernel.json")).get("modules")
    except (UsageError, ValueError, AttributeError, RecursionError):
        return ()
    return tuple(map(str, told)) if isinstance(told, Sequence) and not isinstance(told, str) else ()


def _unknown(opened: sqlite3.Connection, runs: Path, *, again: bool) -> Iterator[Path]:
    """Yield the folders below *runs* of which not all is known, oldest first: their names begin with the time."""
    done = set() if again else _finished(opened, runs)
    with os.scandir(runs) as entries:
        names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False) and entry.name not in done]
    for name in sorted(names):
        if (runs / name / RECORD).exists():
            yield runs / name


def _finished(opened: sqlite3.Connection, runs: Path) -> set[str]:
    """Return the names of the folders below *runs* whose run has ended and is known."""
    above = f"{runs.absolute()}{os.sep}"
    select = "SELECT folder FROM run WHERE finished IS NOT NULL AND substr(folder, 1, ?) = ?"
    return {folder[len(above) :] for (folder,) in opened.execute(select, (len(above), above))}
