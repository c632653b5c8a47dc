"""`pi64 doctor` from outside: what it prints, its JSON, its exit status, and that it leaves the board off."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tinycard

from harness import cli

LAB = """
imports: [harness.lab.drivers]
targets:
  virtual:
    options: {{model: rpi-3-b}}
    resources:
      CardImage: {{file: {card}}}
    drivers:
      VirtualPiDriver: {{}}
      CardImageDriver: {{}}
      RaspberryPiStrategy: {{}}
"""
KEYS = {"state", "subject", "fact", "remedy", "part"}


@pytest.fixture
def lab(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "lab.yaml"
    file.write_text(LAB.format(card=tmp_path / "card.img"))
    return file


def test_a_bench_that_is_whole_returns_0_and_one_json_object(lab, capsys) -> None:
    assert cli.main(["doctor", "--board", "virtual", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["schema"], printed["board"], printed["model"], printed["ok"]) == (1, "virtual", "rpi-3-b", True)
    assert all(set(one) == KEYS for one in printed["answers"])
    assert {one["state"] for one in printed["answers"]} == {"ok", "n/a"}


def test_a_fault_returns_1_and_its_remedy_stands_below_it(lab, capsys) -> None:
    lab.write_text(lab.read_text().replace("VirtualPiDriver", "VirtualPieDriver"))
    assert cli.main(["doctor", "--board", "virtual"]) == 1
    lines = capsys.readouterr().out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("fault"))
    assert "lab.yaml:9: unknown driver `VirtualPieDriver`" in lines[at]
    assert lines[at + 1].strip() == "-> did you mean `VirtualPiDriver`?"
    assert any("lab.yaml is not good" in line for line in lines)


def test_a_board_that_lab_yaml_does_not_have_is_a_mistake_in_the_question(lab, capsys) -> None:
    assert cli.main(["doctor", "--board", "virtuall"]) == 2
    assert "did you mean `virtual`?" in capsys.readouterr().err


def test_an_unknown_option_is_a_mistake_too(lab) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["doctor", "--bord", "virtual"])


def test_without_a_board_the_host_alone_is_looked_at(lab, capsys) -> None:
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "this host: " in out
    assert " power " not in out


def test_another_lab_yaml_is_taken_from_the_environment(lab, monkeypatch, capsys) -> None:
    moved = lab.rename(lab.with_name("other.yaml"))
    monkeypatch.setenv("LG_ENV", str(moved))
    assert cli.main(["doctor"]) == 0
    assert "other.yaml: targets: virtual" in capsys.readouterr().out


def test_only_looking_starts_no_board(lab, capsys) -> None:
    assert cli.main(["doctor", "--board", "virtual", "--look"]) == 0
    assert "opens it" not in capsys.readouterr().out


def test_a_broken_serial_library_is_an_answer_and_no_traceback(lab, tmp_path) -> None:
    """Another package named `serial` stands before labgrid's: nothing of labgrid can be loaded."""
    (tmp_path / "serial.py").write_text("raise ImportError('wrong serial')\n")
    argv = [
        sys.executable,
        "-c",
        "import sys; from harness import cli; sys.exit(cli.main(['doctor', '--board', 'virtual']))",
    ]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{Path(cli.__file__).parents[2]}"}
    done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "fault  python      serial: not to be imported: wrong serial" in done.stdout
    assert "pip uninstall -y pyserial" in done.stdout


def test_interrupted_it_leaves_no_board_behind(lab, tmp_path) -> None:
    (tmp_path / "card.img").write_bytes(tinycard.make(tmp_path / "base.img", tinycard.healthy()).read_bytes())
    argv = [
        sys.executable,
        "-c",
        "import sys; from harness import cli; sys.exit(cli.main(['doctor', '--board', 'virtual']))",
    ]
    with subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            if " power " in line and " off: " in line:
                break
        time.sleep(0.2)  # it is switching on, or listening
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    folders = [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path) in _text(path)]
    assert folders == []


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
