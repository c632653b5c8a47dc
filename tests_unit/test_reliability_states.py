"""A run that ends in the midst of something: by SIGTERM, or with the whole lab host; the next one needs no hands."""

import json
import signal
from pathlib import Path

import pytest
import stalledrun
from pluginbench import BOOTS, Bench
from processes import boards, until
from stalledrun import PLACES

pytest_plugins = ["pluginfixtures"]

QUICK = ("writing the kernel", "booted")
STATES = [state if state in QUICK else pytest.param(state, marks=pytest.mark.slow) for state in PLACES]


@pytest.fixture
def lab(tmp_path, image) -> Bench:
    """A bench of its own; the run is a process of its own."""
    return Bench(tmp_path, image)


def green(lab: Bench) -> None:
    """Run as if nothing had been: it passes, with the kernel under test."""
    lab.run(BOOTS).assert_outcomes(passed=1)
    assert lab.record["verdict"]["name"] == "PASS"
    assert lab.record["release"] in (lab.folder / "console.log").read_text()


@pytest.mark.parametrize("state", STATES)
def test_sigterm_in_any_state_leaves_the_board_off_a_whole_record_and_a_green_next_run(lab, state) -> None:
    process = stalledrun.start(lab, BOOTS, PLACES[state])
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output + errors
    until(lambda: not boards(str(lab.path)))  # and with each goes its QEMU
    record = lab.record
    assert record["finished"], output
    assert record["verdict"]["name"] == "INCONCLUSIVE"
    assert record["still_on"] == ""
    assert not list(lab.path.glob(".card*"))
    stalledrun.go_on(lab)
    green(lab)


@pytest.mark.parametrize("state", STATES)
def test_a_lab_host_that_goes_down_in_any_state_leaves_a_record_and_a_green_next_run(lab, state) -> None:
    """Every process is gone at once; cache and card are as they are on disk."""
    process = stalledrun.start(lab, BOOTS, PLACES[state])
    stalledrun.kill_everything(lab, process)
    [folder] = [path for path in (lab.path / "runs").iterdir() if not path.is_symlink()]
    record = json.loads((folder / "run.json").read_text())
    assert not record["finished"]
    assert (record["verdict"] or {}).get("name") != "PASS"
    stalledrun.go_on(lab)
    green(lab)
    assert not _left_behind(lab)


def _left_behind(lab: Bench) -> list[Path]:
    """What a killed run had begun to write beside a card; a board's copy has no name from the moment it is whole."""
    return [path for path in lab.path.glob(".*") if path.name.startswith((".card", ".pi64"))]


def test_lock_files_that_dead_processes_have_left_hold_nobody_up(lab) -> None:
    """A lock is the kernel's and ends with its process; the file, and the name in it, stay."""
    green(lab)
    locks = list(lab.path.rglob("*.lock"))
    assert locks
    for lock in locks:
        lock.write_text("eve@elsewhere, process 999999 since yesterday: pytest\n")
    green(lab)
