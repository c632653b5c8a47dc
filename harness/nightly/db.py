"""The history's file: opened for writing by several at once, brought up to date, or opened for questions only.

SQLite with a write-ahead log: who asks never waits for who writes. All of them must run on one computer, for SQLite's
log does not work over NFS; records of another lab host are imported from a copy of its ``runs/``.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from harness import host
from harness.errors import LabError, UsageError
from harness.nightly import schema

NAME = "history.sqlite"
"""Below the folder of runs, unless somebody says otherwise."""
BUSY_S = 60.0
"""How long one writer waits for another: a batch of records takes less than a second."""
BETWEEN_S = 0.01
CACHE_KIB = 65536
BUSY = "SQLITE_BUSY"


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """Open *path* for writing, made if missing, migrated if old; UsageError if it is no history or from the future."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", hint="name another file with --history") from error
    with told(path), closing(_connect(f"file:{quote(str(path))}", path)) as db:
        _identify(db, path)
        if _version(db) != len(schema.MIGRATIONS):
            _bring_up_to_date(db, path)
        db.execute("PRAGMA synchronous = NORMAL")  # a crash of the host may lose the last records: import again
        yield db


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open *path* for questions; UsageError when there is no history, or one that this program does not know."""
    nothing = UsageError(f"{path}: no history here", hint="`pi64 history import` makes it from runs/")
    if not path.exists():
        raise nothing
    with told(path):
        with closing(_connect_reading(path)) as db:
            version = _version(_identify(db, path))
        if version == 0:
            raise nothing
        if version < len(schema.MIGRATIONS):
            with writing(path):
                pass
        with closing(_connect_reading(path)) as db:
            yield db


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of the block, or nothing of it; another writer is waited for before the first statement, not amid them."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if db.in_transaction:  # a full disk rolls back by itself
            db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn SQLite's own errors into ones that name the file and the next step."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname.startswith(BUSY):
            hint = "see who has it open (`fuser -v FILE`), or try again"
            raise LabError(f"{path}: another process has been writing for {BUSY_S:.0f} s", hint=hint) from error
        raise LabError(f"{path}: {error} ({error.sqlite_errorname})", hint="disk, quota, permissions?") from error
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorname", "") not in {"SQLITE_NOTADB", "SQLITE_CORRUPT"}:
            raise
        hint = "move it away; `pi64 history import` makes a new one from runs/"
        raise UsageError(f"{path}: not a history, or damaged: {error}", hint=hint) from error


# --- opening ---------------------------------------------------------------------------------------------------------
def _connect(uri: str, path: Path) -> sqlite3.Connection:
    if path.is_dir():
        raise UsageError(f"{path}: a folder, not a history", hint=f"name the file, e.g. {path / NAME}")
    db = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
    db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    db.execute("PRAGMA temp_store = MEMORY")
    return db


def _connect_reading(path: Path) -> sqlite3.Connection:
    """Open read-only; where nobody can write beside the file, and nobody does, without looking for a log."""
    log = path.with_name(f"{path.name}-wal")
    alone = not os.access(path.parent, os.W_OK) and not log.exists()
    return _connect(f"file:{quote(str(path))}?mode=ro{'&immutable=1' if alone else ''}", path)


def _identify(db: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    """Return *db*; UsageError for another program's file, and for one of a newer pi64."""
    db.execute("BEGIN")  # both at one moment: another process may be making them
    owner = db.execute("PRAGMA application_id").fetchone()[0]
    tables = db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
    db.execute("COMMIT")
    if owner != schema.APPLICATION and (owner or tables):
        raise UsageError(f"{path}: a database, but not a history of pi64", hint="name another file with --history")
    version, known = _version(db), len(schema.MIGRATIONS)
    if version > known:
        raise UsageError(f"{path}: history of version {version}, this program knows {known}", hint="update pi64")
    return db


def _version(db: sqlite3.Connection) -> int:
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version


def _bring_up_to_date(db: sqlite3.Connection, path: Path) -> None:
    """Migrate; of several processes that find an old file at once, one does it. LabError where nobody can write."""
    with ExitStack() as stack:
        try:
            stack.enter_context(host.locked(path.with_name(f".{path.name}.lock")))
        except OSError as error:
            raise LabError(f"{path}: {error.strerror}", hint="disk, quota, permissions?") from error
        _keep_log(db)
        with transaction(db):
            for number in range(_version(db), len(schema.MIGRATIONS)):
                for statement in schema.MIGRATIONS[number].split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {number + 1}")
            db.execute(f"PRAGMA application_id = {schema.APPLICATION}")


def _keep_log(db: sqlite3.Connection) -> None:
    """Change to a write-ahead log; SQLite does not wait here for another process that looks into the file."""
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith(BUSY) or time.monotonic() > deadline:
                raise
            time.sleep(BETWEEN_S)
