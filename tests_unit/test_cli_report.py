import json
from pathlib import Path

import pytest

from harness import cli
from harness.model import Verdict, VerdictName
from harness.report import record as records
from harness.report.record import RunRecord

RECORD = RunRecord(
    "1", "rpi3", "2026-07-01T12:00:00Z", release="6.12", verdict=Verdict(VerdictName.KERNEL, "oops", ("line 1: x\x1b",))
)


@pytest.fixture
def runs(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "runs" / "1"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(records.to_json(RECORD))
    (folder / "console.log").write_bytes(b"Booting Linux\x1b]0;owned\x07\n")
    (folder.parent / "latest").symlink_to("1")
    monkeypatch.chdir(tmp_path)
    return folder.parent


def test_without_a_word_the_page_of_the_last_run_is_written_beside_its_record(runs, capsys) -> None:
    assert cli.main(["report"]) == 0
    assert capsys.readouterr().out == "runs/latest/report.html\n"
    assert "<!DOCTYPE html>" in (runs / "1" / "report.html").read_text()


@pytest.mark.parametrize(
    ("option", "word"),
    [("--kcidb", '"checkouts"'), ("--github", "::error "), ("--gitlab", "[]"), ("--openmetrics", "# EOF")],
)
def test_a_machines_format_goes_to_standard_output(runs, option, word, capsys) -> None:
    assert cli.main(["report", "1", option]) == 0
    out = capsys.readouterr().out
    assert word in out
    assert "\x1b" not in out
    assert not (runs / "1" / "report.html").exists()


def test_any_format_goes_where_it_is_told(runs, tmp_path, capsys) -> None:
    assert cli.main(["report", str(runs / "1"), "--kcidb", "--origin", "mylab", "-o", str(tmp_path / "x.json")]) == 0
    assert json.loads((tmp_path / "x.json").read_text())["builds"][0]["origin"] == "mylab"
    assert cli.main(["report", "-o", "-"]) == 0
    assert "<!DOCTYPE html>" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "nope"], "nope: no such run"),
        (["report", "1", "--kcidb", "--origin", "My Lab"], "origin `My Lab`"),
        (["report", "1", "-o", "/proc/x/y"], "/proc/x/y: cannot be written"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line_and_status_2(runs, arguments, message, capsys) -> None:
    assert cli.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_damaged_record_is_named(runs, capsys) -> None:
    (runs / "1" / "run.json").write_text('{"run_id": "1", "boots": 3}')
    assert cli.main(["report", "1"]) == 2
    assert "runs/1/run.json: damaged record" in capsys.readouterr().err
