"""What good runs before had on the board: which runs these are, and what happens without any."""

from pathlib import Path

import attrs
import pytest
from nightrecords import night, written

from harness.nightly import db, importer, lastgood
from harness.nightly.compare import Kind
from harness.nightly.evidence import compared, find

DEVICES = {"devices": ("a uart", "b mmc")}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three good runs, and then a bad one."""
    records = [night(number, inventory={"devices": (f"{number}",)}) for number in (1, 2, 3)]
    bad = night(4, "KERNEL", inventory={"devices": ("4",)})
    importer.catch_up(tmp_path / db.NAME, written(tmp_path, *records, bad))
    return tmp_path


def names(runs: Path, record=None, kind: str = "devices") -> list[list[str]]:
    return [sorted(good.there) for good in lastgood.before(runs, record or night(9), kind).runs]


def test_the_newest_good_run_comes_first_and_a_bad_one_not_at_all(runs: Path) -> None:
    assert names(runs) == [["3"], ["2"], ["1"]]
    assert lastgood.before(runs, night(9), "devices").told == night(3).run_id


def test_what_came_later_is_not_before(runs: Path) -> None:
    assert names(runs, night(2)) == [["1"]]


@pytest.mark.parametrize(
    "other",
    [
        {"target": "shelf"},
        {"branch": "rpi-6.6.y"},
        {"tree": "elsewhere"},
        {"asked": {"kernel": {"config": "x"}}},
        {"image": "Debian trixie armhf"},
        {"image_digest": "1235"},
    ],
)
def test_other_boards_branches_configurations_and_systems_say_nothing(runs: Path, other: dict) -> None:
    found = lastgood.before(runs, attrs.evolve(night(9), **other), "devices")
    assert not found.runs
    assert found.told == "no good run before of this branch, board, configuration and system below has devices"


def test_new_runs_are_looked_for_where_there_is_a_history(runs: Path) -> None:
    written(runs, night(5, inventory={"devices": ("5",)}))
    assert lastgood.catch_up(runs) == ""
    assert names(runs)[0] == ["5"]


def test_without_a_history_nothing_is_compared_and_none_is_made(tmp_path: Path) -> None:
    assert lastgood.catch_up(tmp_path) == lastgood.before(tmp_path, night(1), "devices").told
    assert not (tmp_path / db.NAME).exists()


def test_a_damaged_history_stops_no_run(tmp_path: Path) -> None:
    (tmp_path / db.NAME).write_bytes(b"SQLite format 3\0" + b"\xff" * 4096)
    assert "not a history" in lastgood.catch_up(tmp_path)
    assert "not a history" in lastgood.before(tmp_path, night(1), "devices").told


def test_a_history_that_is_nobodys_to_read_stops_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / db.NAME).touch()
    monkeypatch.setattr(importer, "catch_up", denied)
    monkeypatch.setattr(db, "reading", denied)
    assert lastgood.catch_up(tmp_path) == f"{tmp_path / db.NAME}: Permission denied"
    assert lastgood.before(tmp_path, night(1), "devices").why == f"{tmp_path / db.NAME}: Permission denied"


def test_a_complaint_that_is_not_made_any_more_is_no_loss_in_a_comparison(tmp_path: Path) -> None:
    """What is new among messages the test has told, as a finding; that they went away is nobody's regression."""
    one = night(1, inventory={"messages": ("warn: a", "warn: b"), "devices": ("x",)})
    other = night(2, inventory={"messages": ("warn: c",), "devices": ()})
    importer.catch_up(tmp_path / db.NAME, written(tmp_path, one, other))
    with db.reading(tmp_path / db.NAME) as opened:
        told = compared(opened, find(opened, other.run_id)).changes
    assert [(change.kind, change.subject) for change in told] == [(Kind.MISSING_DEVICE, "x")]
