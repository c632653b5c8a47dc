"""What a run left is read whatever of it is there, and its page is written without harm to the run."""

from pathlib import Path

import attrs
import pytest

from harness.errors import UsageError
from harness.lab import leavings
from harness.lab.run import Run
from harness.report import record as records
from harness.report.record import RunRecord

RECORD = RunRecord("1", "rpi3", "2026-07-01T12:00:00Z")


@pytest.fixture
def folder(tmp_path) -> Path:
    made = tmp_path / "runs" / "1"
    made.mkdir(parents=True)
    (made / "run.json").write_text(records.to_json(RECORD))
    return made


def test_a_run_is_found_by_its_folder_its_record_or_its_name(folder) -> None:
    runs = folder.parent
    for name in (str(folder), str(folder / "run.json"), "1"):
        assert leavings.find(name, runs=runs).samefile(folder)


def test_a_run_that_is_not_there_is_named_with_those_that_are(folder) -> None:
    (folder.parent / "latest").symlink_to("1")
    with pytest.raises(UsageError, match=r"^2: no such run") as caught:
        leavings.find("2", runs=folder.parent)
    assert "\n  | 1\n" in str(caught.value)


def test_only_the_record_must_be_there(folder) -> None:
    assert leavings.read(folder).record == RECORD
    (folder / "run.json").write_text("{")
    with pytest.raises(UsageError, match="not JSON"):
        leavings.read(folder)


@pytest.mark.parametrize(
    "damage",
    ['"seconds": "x"', '"attempt": null', '"nodeid": 3', '"seconds": [1]', '"message": {}'],
)
def test_a_record_with_a_value_of_another_kind_is_refused_not_shown_in_parts(folder, damage) -> None:
    case = f'{{"nodeid": "a", "outcome": "passed", "seconds": 1, {damage}}}'
    (folder / "run.json").write_text(f'{{"run_id": "1", "tests": [{case}]}}')
    with pytest.raises(UsageError, match="damaged record"):
        leavings.read(folder)


def test_of_a_log_without_end_the_ends_are_read_and_line_numbers_stay(folder, monkeypatch) -> None:
    monkeypatch.setattr(leavings, "CONSOLE", 100)
    monkeypatch.setattr(leavings, "BLOCK", 7)
    log = b"".join(b"%04d\n" % number for number in range(1, 201))
    (folder / "console.log").write_bytes(log)
    left = leavings.read(folder)
    lines = left.console.split(b"\n")
    assert (lines[0], lines[9], lines[10], lines[189], lines[190], lines[199]) == (
        *(b"0001", b"0010", b"", b"", b"0191", b"0200"),
    )
    assert left.omitted == 900
    assert "more, left out here in the middle" in leavings.publish(folder, RECORD).read_text()


def test_a_page_has_no_secret_that_came_over_the_console(folder) -> None:
    (folder / "console.log").write_bytes(b"\xffxhunter2Login incorrect\n")
    html = leavings.publish(folder, RECORD, hide=["hunter2"]).read_text()
    assert "x***Login incorrect" in html
    assert "hunter2" not in html


# --- at the end of a run ---------------------------------------------------------------------------------------------
@pytest.fixture
def run(tmp_path) -> Run:
    return Run.begin(tmp_path / "runs", target="rpi3", model="rpi-3-b", argv=())


def test_a_run_leaves_its_page_and_says_where(run, monkeypatch) -> None:
    monkeypatch.chdir(run.folder.parent)
    run.finish(interrupted=False)
    assert run.publish() == f"report: {run.folder.name}/report.html"
    assert "INCONCLUSIVE" in (run.folder / "report.html").read_text()


def test_a_page_that_cannot_be_written_changes_no_verdict(run) -> None:
    before = run.finish(interrupted=False)
    (run.folder / "report.html").mkdir()
    assert run.publish().startswith("no report.html: ")
    assert run.record == before
    assert not list(run.folder.glob(".report*"))


def test_nor_does_a_mistake_in_the_page(run, monkeypatch) -> None:
    def broken(*_: object) -> str:
        raise ValueError("x\x1b[2J")

    monkeypatch.setattr("harness.report.run_page.render", broken)
    run.finish(interrupted=False)
    assert run.publish() == r"no report.html: ValueError: x\x1b[2J"


def test_what_became_known_after_the_end_is_on_the_page(run) -> None:
    run.finish(interrupted=False)
    run.record = attrs.evolve(run.record, still_on="HTTP status 503")
    run.publish()
    assert "The board is still ON" in (run.folder / "report.html").read_text()
