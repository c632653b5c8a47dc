"""`pi64 morning`: the page, the summary, the mail of a night, or of the last day where there was none."""

import email
import email.policy
from pathlib import Path

import pytest
from mailserver import Postman, free_port, serving
from morninglab import filled, lab, state

from harness.cli import main
from harness.nightly.night.state import to_json

LAB = """
targets:
  rpi4: {{options: {{model: rpi-4-b}}}}
nightly:
  branches: {{next: {{source: "package:linux-source-*"}}}}
  boards: [rpi4]
  mail: {{to: [ada@example.org], from: lab@example.org, server: 127.0.0.1, port: {port}, security: none, when: {when}}}
"""


@pytest.fixture
def runs(tmp_path, monkeypatch) -> Path:
    """Four nights of a lab; the last one has a state as well."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("harness.nightly.morning.outbox.WAITS_S", ())
    folder = tmp_path / "runs"
    folder.mkdir()
    records = list(lab(4))
    filled(folder, records)
    night = state(records)
    (folder / "nightly" / night.name).mkdir(parents=True)
    (folder / "nightly" / night.name / "night.json").write_text(to_json(night))
    (folder / "nightly" / "latest").symlink_to(night.name)
    return folder


def test_the_newest_night_gets_its_page_and_the_status_tells_that_something_broke(runs, capsys) -> None:
    assert main(["morning"]) == 1
    page = Path(capsys.readouterr().out.strip())
    assert page.samefile(runs / "nightly" / "latest" / "index.html")
    assert "2 regressions, 1 fixed" in page.read_text()


def test_the_summary_is_for_a_terminal(runs, capsys) -> None:
    assert main(["morning", "--text"]) == 1
    said = capsys.readouterr().out
    assert "new failure: rpi-6.6.y on rpi4-a, rpi4-b" in said
    assert not (runs / "nightly" / "latest" / "index.html").exists()


def test_without_a_night_the_last_day_is_told(runs, capsys) -> None:
    (runs / "nightly" / "latest").unlink()
    assert main(["morning"]) == 1
    assert Path(capsys.readouterr().out.strip()) == Path("runs/nightly/index.html")


def test_a_night_that_there_is_not_is_a_mistake(runs, capsys) -> None:
    assert main(["morning", "1999"]) == 2
    assert runs.name in capsys.readouterr().err


def test_a_mail_goes_into_a_file(runs, capsys) -> None:
    assert main(["morning", "--eml", "night.eml"]) == 1
    mail = email.message_from_bytes((runs.parent / "night.eml").read_bytes(), policy=email.policy.SMTP)
    assert mail["Subject"].startswith("pi64 2026-")
    assert capsys.readouterr().out == "night.eml\n"


def test_a_mail_goes_out_as_lab_yaml_says(runs, capsys) -> None:
    with serving(postman := Postman()) as port:
        (runs.parent / "lab.yaml").write_text(LAB.format(port=port, when="changes"))
        assert main(["morning", "--send", "--text"]) == 1
    assert len(postman.taken) == 1
    assert capsys.readouterr().err == ""


def test_a_mail_that_cannot_be_sent_waits_and_that_is_told(runs, capsys) -> None:
    (runs.parent / "lab.yaml").write_text(LAB.format(port=free_port(), when="always"))
    assert main(["morning", "--send", "--text"]) == 2
    assert "Connection refused" in capsys.readouterr().err
    assert len(list((runs / "nightly" / "outbox").glob("*.eml"))) == 1


def test_to_send_without_anybody_to_send_to_is_a_mistake(runs, capsys) -> None:
    (runs.parent / "lab.yaml").write_text(LAB.partition("  mail:")[0].format())
    assert main(["morning", "--send"]) == 2
    assert "does not say who is to be mailed" in capsys.readouterr().err


def test_a_page_or_a_mail_that_cannot_be_written_is_told(runs, capsys) -> None:
    (runs / "nightly" / "latest" / "index.html").mkdir()
    assert main(["morning"]) == 2
    assert "cannot be written" in capsys.readouterr().err
    (runs / "nightly" / "outbox").write_text("in the way")
    Path("lab.yaml").write_text(LAB.format(port=free_port(), when="always"))
    assert main(["morning", "--text", "--send"]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("days", [0, 10**18])
def test_trends_go_back_some_days(runs, capsys, days: int) -> None:
    assert main(["morning", f"--days={days}"]) == 2
    assert "from 1 to" in capsys.readouterr().err
