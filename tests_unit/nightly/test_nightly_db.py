"""The history's file: nobody else's is touched, an old one is brought up to date, a broken one is told."""

import multiprocessing
import os
import sqlite3
from contextlib import closing

import pytest

from harness.errors import LabError, UsageError
from harness.nightly import db, schema

CONTEXT = multiprocessing.get_context("spawn")


def columns(path, table: str) -> list[str]:
    with closing(sqlite3.connect(path)) as opened:
        return [row[1] for row in opened.execute(f"PRAGMA table_info({table})")]


def make(path) -> None:
    with db.writing(path):
        pass


def half_of_it(opened: sqlite3.Connection) -> None:
    with db.transaction(opened):
        opened.execute("INSERT INTO word (text) VALUES ('x')")
        opened.execute("INSERT INTO nowhere VALUES (1)")


def test_a_new_history_is_of_the_newest_version(tmp_path) -> None:
    with db.writing(tmp_path / "runs" / "h") as opened:
        assert opened.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)
        assert opened.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_an_old_history_is_migrated_and_keeps_what_it_knew(tmp_path, monkeypatch) -> None:
    path = tmp_path / "h"
    with db.writing(path) as opened:
        opened.execute("INSERT INTO word (text) VALUES ('bench')")
    monkeypatch.setattr(
        schema, "MIGRATIONS", (*schema.MIGRATIONS, "ALTER TABLE target ADD COLUMN room TEXT; CREATE TABLE more (id)")
    )
    with db.reading(path) as opened:
        assert opened.execute("SELECT text FROM word").fetchall() == [("bench",)]
    assert "room" in columns(path, "target")
    assert columns(path, "more") == ["id"]


def test_a_migration_that_fails_leaves_the_old_history(tmp_path, monkeypatch) -> None:
    path = tmp_path / "h"
    make(path)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "CREATE TABLE more (id); ALTER TABLE nowhere ADD x"))
    with pytest.raises(LabError, match="no such table: nowhere"):
        make(path)
    assert columns(path, "more") == []
    monkeypatch.undo()
    make(path)


def test_a_history_from_the_future_is_left_alone(tmp_path) -> None:
    path = tmp_path / "h"
    make(path)
    with closing(sqlite3.connect(path)) as opened:
        opened.execute("PRAGMA user_version = 99")
    for way in (db.writing, db.reading):
        with pytest.raises(UsageError, match=r"version 99, this program knows \d+\n.*update pi64"), way(path):
            pass


def test_another_programs_database_is_left_alone(tmp_path) -> None:
    path = tmp_path / "places.sqlite"
    with closing(sqlite3.connect(path)) as opened:
        opened.execute("CREATE TABLE bookmarks (id)")
        opened.commit()
    before = path.read_bytes()
    for way in (db.writing, db.reading):
        with pytest.raises(UsageError, match="not a history of pi64"), way(path):
            pass
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"no database at all " * 100, None])
def test_a_damaged_history_is_told_with_the_way_out(tmp_path, content) -> None:
    path = tmp_path / "h"
    make(path)
    damaged = content or path.read_bytes()[:8192] + b"\xff" * 8192
    path.write_bytes(damaged)
    for left in tmp_path.glob("h-*"):
        left.unlink()
    with pytest.raises(UsageError, match=r"damaged: .*\n.*move it away"), db.reading(path) as opened:
        opened.execute("SELECT * FROM run, outcome, boot").fetchall()


@pytest.mark.parametrize("make_it", ["nothing", "empty", "folder"])
def test_what_is_no_history_yet_is_told(tmp_path, make_it) -> None:
    path = tmp_path / "h"
    if make_it == "empty":
        path.touch()
    elif make_it == "folder":
        path.mkdir()
    with pytest.raises(UsageError, match=r"no history here|a folder, not a history"), db.reading(path):
        pass


def test_questions_cannot_change_the_history(tmp_path) -> None:
    path = tmp_path / "h"
    make(path)
    with pytest.raises(LabError, match="readonly"), db.reading(path) as opened:
        opened.execute("DELETE FROM run")


def test_what_the_one_who_asks_runs_into_is_not_the_historys_fault(tmp_path) -> None:
    path = tmp_path / "h"
    make(path)
    with pytest.raises(BrokenPipeError), db.reading(path):
        raise BrokenPipeError


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_history_that_one_may_only_read_is_read(tmp_path) -> None:
    path = tmp_path / "shared" / "h"
    make(path)
    path.parent.chmod(0o555)
    try:
        with db.reading(path) as opened:
            assert opened.execute("SELECT COUNT(*) FROM run").fetchone() == (0,)
    finally:
        path.parent.chmod(0o755)


def test_a_writer_that_never_ends_is_told_after_a_while(tmp_path, monkeypatch) -> None:
    path = tmp_path / "h"
    make(path)
    monkeypatch.setattr(db, "BUSY_S", 0.1)
    with (
        db.writing(path) as other,
        db.transaction(other),
        pytest.raises(LabError, match=r"another process has been writing for 0 s\n.*fuser"),
        db.writing(path) as opened,
        db.transaction(opened),
    ):
        pass


def test_a_transaction_that_fails_leaves_nothing(tmp_path) -> None:
    with db.writing(tmp_path / "h") as opened:
        with pytest.raises(LabError, match="no such table"), db.told(tmp_path):
            half_of_it(opened)
        assert opened.execute("SELECT COUNT(*) FROM word").fetchone() == (0,)


def test_processes_that_make_the_same_history_at_once_all_succeed(tmp_path) -> None:
    with CONTEXT.Pool(4) as pool:
        pool.map(make, [tmp_path / "h"] * 8)
    assert "verdict" in columns(tmp_path / "h", "run")


def test_an_old_history_where_nobody_can_write_is_told(tmp_path, monkeypatch) -> None:
    path = tmp_path / "h"
    with monkeypatch.context() as old:
        old.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        make(path)
    lock = tmp_path / ".h.lock"
    lock.unlink()
    lock.mkdir()
    with pytest.raises(LabError, match=r"Is a directory\n.*permissions"), db.reading(path):
        pass
