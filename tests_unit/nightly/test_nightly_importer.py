"""From records into the history: any number of times, by anybody, and whatever else lies among them."""

import json
import multiprocessing
import os
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

import attrs
import pytest
from nightrecords import OOPS, boot, night, spoilt, written

from harness.errors import LabError, UsageError
from harness.model import Measurement
from harness.nightly import db, importer, schema
from harness.report.record import to_json

CONTEXT = multiprocessing.get_context("spawn")
RECORDS = [
    night(1),
    night(2, tests={"test_boots": "passed", "test_check[release]": "failed"}, findings=(OOPS,)),
    night(3, boots=(boot(), boot(21.0)), attempts=(spoilt("test_boots"),)),
    night(4, measurements=(Measurement("card.read", 22.5, "MB/s", 20.0, "test_boots"),)),
    night(5, inventory={"modules": ("dummy", "vc4"), "devices": ("mmc0",)}),
    night(5, again=1),
    night(1, target="other"),
]


@pytest.fixture
def runs(tmp_path) -> Path:
    return written(tmp_path / "runs", *RECORDS)


@pytest.fixture
def history(tmp_path) -> Path:
    return tmp_path / "history.sqlite"


def rows(path: Path, select: str) -> list[tuple]:
    with db.reading(path) as opened:
        return opened.execute(select).fetchall()


def content(path: Path) -> dict[str, list[tuple]]:
    """All that a history says, whatever numbers its rows have."""
    spelt = {
        "run": """SELECT run.name, h.text, branch.tree, branch.name, target.name, series.config, kernel.key, started,
                  finished, verdict, git_commit, t.text, i.text, s.text, good, bad FROM run
                  JOIN series ON series.id = series_id JOIN branch ON branch.id = branch_id
                  JOIN target ON target.id = run.target_id JOIN kernel ON kernel.id = kernel_id
                  JOIN word h ON h.id = host_id JOIN word t ON t.id = toolchain_id
                  JOIN word i ON i.id = image_id JOIN word s ON s.id = setup_id""",
        "outcome": "SELECT run.name, test.name, attempt, outcome, outcome.good, blame, took_ms, headline FROM outcome",
        "attempt": "SELECT run.name, test.name, number, attempt.verdict, set_aside FROM attempt",
        "sighting": "SELECT run.name, text, times FROM sighting JOIN signature ON signature.id = signature_id",
        "boot": "SELECT run.name, number, login_ms FROM boot",
        "measurement": "SELECT run.name, word.text, value, unit, upper FROM measurement JOIN word ON word.id = name_id",
        "inventory": "SELECT run.name, kind, list FROM inventory JOIN names ON names.id = names_id",
    }
    joins = {table: f" JOIN run ON run.id = {table}.run_id" for table in spelt if table != "run"}
    joins |= {table: joins[table] + " JOIN test ON test.id = test_id" for table in ("outcome", "attempt")}
    return {table: sorted(map(repr, rows(path, select + joins.get(table, "")))) for table, select in spelt.items()}


def test_everything_in_a_record_is_in_the_history(history, runs) -> None:
    done = importer.catch_up(history, runs)
    assert (done.new, done.passed_over) == (len(RECORDS), ())
    known = content(history)
    assert all(known.values())
    assert set(schema.OF_A_RUN) - {"told"} <= set(known)  # worked out later, see told.py
    assert rows(history, "SELECT DISTINCT list FROM kernel JOIN names ON names.id = modules_id") == [("dummy\nvc4",)]


def test_importing_again_changes_nothing(history, runs) -> None:
    importer.catch_up(history, runs)
    before = content(history)
    assert importer.catch_up(history, runs) == importer.Imported()
    assert importer.catch_up(history, runs, again=True) == importer.Imported(known=len(RECORDS))
    assert content(history) == before


def test_a_history_that_was_lost_is_made_anew_from_the_records(history, runs, tmp_path) -> None:
    for record in RECORDS:  # one by one, as nights do
        importer.catch_up(history, written(tmp_path / "nights", record))
    importer.catch_up(tmp_path / "anew", runs)
    assert content(tmp_path / "anew") == content(history)


def test_a_run_that_goes_on_is_renewed_until_it_ends(history, runs) -> None:
    whole = night(9)
    written(runs, attrs.evolve(whole, verdict=None, finished="", tests=whole.tests[:1]))
    importer.catch_up(history, runs)
    select = "SELECT verdict, run.good FROM run WHERE name LIKE '2026-01-10%'"
    assert rows(history, select) == [(None, 1)]  # the build
    written(runs, whole)
    assert importer.catch_up(history, runs) == importer.Imported(renewed=1)
    assert rows(history, select) == [("PASS", 4)]
    assert importer.catch_up(history, runs) == importer.Imported()


def test_records_that_have_moved_are_the_same_runs(history, runs, tmp_path) -> None:
    importer.catch_up(history, runs)
    before = content(history)
    moved = runs.rename(tmp_path / "elsewhere")
    assert importer.catch_up(history, moved) == importer.Imported(known=len(RECORDS))
    assert importer.catch_up(history, moved) == importer.Imported()
    assert content(history) == before


def test_two_lab_hosts_may_have_runs_of_one_name(history, runs, tmp_path) -> None:
    importer.catch_up(history, runs)
    other = written(tmp_path / "other", attrs.evolve(night(1), host="attic"))
    assert importer.catch_up(history, other).new == 1


BROKEN = {
    "empty": b"",
    "cut": to_json(night(1)).encode()[:500],
    "not JSON": b"\x7fELF",
    "not UTF-8": b'{"run_id": "\xff"}',
    "another program's": b'{"version": 1}',
    "a list": b"[]",
    "of the future": b'{"schema": 99, "run_id": "x", "target": "desk"}',
    "without a time": b'{"run_id": "x", "target": "desk"}',
    "without a target": b'{"run_id": "x", "started": "2026-01-01T00:00:00Z"}',
    "nested": b'{"run_id": "x", "asked": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "host is a list": b'{"run_id": "x", "target": "desk", "started": "2026-01-01T00:00:00Z", "host": [1]}',
    "name is a number": b'{"run_id": "x", "target": {"a": 1}, "started": "2026-01-01T00:00:00Z"}',
    "seconds is text": json.dumps(
        {**json.loads(to_json(night(8))), "tests": [{"nodeid": "t", "outcome": "passed", "seconds": "long"}]}
    ).encode(),
    "value is not a number": json.dumps(
        {**json.loads(to_json(night(8))), "measurements": [{"name": "x", "value": float("nan"), "unit": "s"}]}
    ).encode(),
    "a number too large": json.dumps(
        {**json.loads(to_json(night(8))), "tests": [{"nodeid": "t", "outcome": "passed", "seconds": 1e300}]}
    ).encode(),
    "a lone surrogate": b'{"run_id": "\\ud800", "target": "desk", "started": "2026-01-01T00:00:00Z"}',
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_no_record_is_told_and_passed_over(history, runs, kind) -> None:
    folder = runs / "2026-01-01T00-00-00-broken"
    folder.mkdir()
    (folder / "run.json").write_bytes(BROKEN[kind])
    done = importer.catch_up(history, runs)
    assert done.new == len(RECORDS)
    ((where, why),) = done.passed_over
    assert where == str(folder)
    assert why
    assert len(rows(history, "SELECT name FROM run")) == len(RECORDS)


def test_what_is_no_file_at_all_does_not_hold_an_import_up(history, runs) -> None:
    for name in ("pipe", "folder", "dangling", "empty"):
        (runs / name).mkdir()
    os.mkfifo(runs / "pipe" / "run.json")
    (runs / "folder" / "run.json").mkdir()
    (runs / "dangling" / "run.json").symlink_to("nowhere")
    (runs / "latest").symlink_to(RECORDS[0].run_id)
    (runs / "notes.txt").write_text("mine")
    done = importer.catch_up(history, runs)
    assert (done.new, sorted(Path(folder).name for folder, _ in done.passed_over)) == (len(RECORDS), ["folder", "pipe"])


def test_a_record_of_a_size_that_none_has_is_not_read(history, runs, monkeypatch) -> None:
    monkeypatch.setattr(importer, "LARGEST", 100)
    done = importer.catch_up(history, runs)
    assert done.new == 0
    assert "a record has at most" in done.passed_over[0][1]


def test_a_damaged_list_of_modules_is_no_reason_to_lose_the_run(history, runs) -> None:
    for folder in runs.iterdir():
        (folder / "kernel.json").write_text('{"modules": 7}')
    assert importer.catch_up(history, runs).new == len(RECORDS)
    assert rows(history, "SELECT COUNT(*) FROM kernel WHERE modules_id IS NOT NULL") == [(0,)]


def test_no_folder_of_runs_is_a_mistake(history, tmp_path) -> None:
    with pytest.raises(UsageError, match=r"no such folder\n.*--runs"):
        importer.catch_up(history, tmp_path / "nowhere")
    assert not history.exists()


def import_all(arguments: tuple[Path, Path]) -> int:
    done = importer.catch_up(*arguments, again=True)
    return done.new


def test_several_processes_import_the_same_records_at_once(history, tmp_path) -> None:
    records = [night(number, target=f"desk{target}") for number in range(60) for target in range(4)]
    runs = written(tmp_path / "many", *records)
    with CONTEXT.Pool(4) as pool:
        new = pool.map(import_all, [(history, runs)] * 4)
    assert sum(new) == len(records)
    assert rows(history, "SELECT COUNT(*), COUNT(DISTINCT name) FROM run") == [(len(records), len(records))]
    importer.catch_up(tmp_path / "alone", runs)
    assert content(history) == content(tmp_path / "alone")
    with closing(sqlite3.connect(history)) as opened:
        assert opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def import_slowly(history: Path, runs: Path) -> None:
    importer.BATCH = 1
    importer.catch_up(history, runs)


def test_an_import_that_is_killed_goes_on_where_it_was(history, tmp_path) -> None:
    records = [night(number, target=f"desk{target}") for number in range(50) for target in range(8)]
    runs = written(tmp_path / "many", *records)
    process = CONTEXT.Process(target=import_slowly, args=(history, runs))
    process.start()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(UsageError, LabError):
            if rows(history, "SELECT COUNT(*) FROM run") != [(0,)]:
                break
    process.kill()
    process.join()
    (known,) = rows(history, "SELECT COUNT(*) FROM run")[0]
    assert 0 < known < len(records)
    assert importer.catch_up(history, runs).new == len(records) - known
    importer.catch_up(tmp_path / "alone", runs)
    assert content(history) == content(tmp_path / "alone")
