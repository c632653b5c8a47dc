"""What a run makes of its attempts, and of a board that it could not switch off."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import attrs
import pytest

from harness.errors import BootFailed, CheckFailed, LabError, Unresponsive, UsageError
from harness.lab import leavings
from harness.lab.run import Run
from harness.model import BootRecord
from harness.report import record as records
from harness.report import summary
from harness.verdict.findings import scan
from harness.verdict.stages import restart

GOOD = BootRecord("pi", {"kernel": 0.3, "login": 20.0}, True, "", (), Path("console.log"), 1)
MUTE = BootRecord("pi", {}, False, "silent for 90 s", (), Path("console.log"), 1)
UNDER_VOLTAGE = scan(["hwmon hwmon1: Undervoltage detected!"])
PANIC = scan(["", "Kernel panic - not syncing: Fatal exception"])
CARD = scan(["mmc0: error -110 whilst initialising SD card"])


@pytest.fixture
def rig() -> SimpleNamespace:
    """As much of a strategy as a run looks at."""
    return SimpleNamespace(boots=[], recorder=None, still_on="")


@pytest.fixture
def run(tmp_path, rig) -> Run:
    run = Run.begin(tmp_path, target="pi", model="rpi-3-b", argv=())
    run.watch(rig)
    return run


def fail(run: Run, error: Exception, *, when: str = "call") -> None:
    report = SimpleNamespace(
        nodeid="test_x", outcome="failed", failed=True, when=when, duration=1.0, longrepr=str(error)
    )
    run.case(report, error)


def test_a_board_that_could_not_be_switched_off_is_lab_and_said_first(run, rig) -> None:
    rig.boots.append(GOOD)
    rig.still_on = "503 from http://me:secret@switch/"
    record = run.finish(interrupted=False)
    assert record.verdict.name == "LAB"
    assert summary.lines(record)[0].startswith("!!! the board is still ON")
    assert "secret" not in (run.folder / "run.json").read_text()


def test_what_is_set_aside_stays_in_the_record_and_out_of_the_verdict(run, rig) -> None:
    mark = run.mark()
    rig.boots.append(MUTE)
    fail(run, BootFailed(MUTE))
    fail(run, CheckFailed("pi", "the boot", CARD))
    run.set_aside("test_x", mark)
    rig.boots.append(GOOD)
    record = run.finish(interrupted=False)
    assert record.verdict.name == "INCONCLUSIVE"
    assert record.findings == ()
    assert record.attempts[0].findings == tuple(CARD)
    assert (record.attempts[0].first_boot, record.attempts[0].last_boot) == (1, 1)
    assert records.from_json((run.folder / "run.json").read_text()) == record


def test_a_boot_from_before_counts_for_the_attempt_that_failed_for_it(run, rig) -> None:
    """The boot fixture was made for another test, which did not judge it."""
    rig.boots.append(MUTE)
    mark = run.mark()
    fail(run, BootFailed(MUTE))
    assert run.worth_repeating(mark)
    assert run.set_aside("test_x", mark).first_boot == 1


def test_what_was_shown_of_an_attempt_that_is_set_aside_is_not_told(run) -> None:
    mark = run.mark()
    fail(run, BootFailed(MUTE))
    assert run.told(MUTE)
    run.set_aside("test_x", mark)
    assert not run.told(MUTE)


@pytest.mark.parametrize(
    ("expected", "error"),
    [
        (True, LabError("the line is lost")),
        (True, Unresponsive("the board fell silent")),
        (False, UsageError("no such image")),
        (False, AssertionError("1 == 2")),
        (False, TypeError("a mistake in the test")),
    ],
)
def test_only_the_bench_is_given_another_attempt(run, expected, error) -> None:
    mark = run.mark()
    fail(run, error)
    assert run.worth_repeating(mark) is expected


@pytest.mark.parametrize(("release", "verdict"), [("6.12-good", "KERNEL"), ("6.12-tested", "INCONCLUSIVE")])
def test_a_control_boot_of_the_kernel_under_test_shows_a_flake(run, rig, release, verdict) -> None:
    """A kernel that passed yesterday and stops today: its control boot is one more boot of the same kernel."""
    run.record = attrs.evolve(run.record, release="6.12-tested")
    hung = attrs.evolve(MUTE, stages={"kernel": 0.3})
    control = attrs.evolve(GOOD, control=True, release=release)
    rig.boots += [hung, control]
    fail(run, BootFailed(hung))
    run.note_control(control)
    assert run.finish(interrupted=False).verdict.name == verdict


def test_who_fails_for_a_boot_that_was_set_aside_blames_nobody(run, rig) -> None:
    """A test may have kept the record of the first attempt's boot."""
    sagging = attrs.evolve(MUTE, stages={"kernel": 0.3}, findings=tuple(UNDER_VOLTAGE + PANIC))
    mark = run.mark()
    rig.boots.append(sagging)
    fail(run, BootFailed(sagging))
    run.set_aside("test_x", mark)
    rig.boots.append(GOOD)
    fail(run, BootFailed(sagging))
    fail(run, CheckFailed("pi", "the boot", sagging.findings))
    assert run.finish(interrupted=False).verdict.name == "INCONCLUSIVE"


def test_a_board_that_restarts_at_the_same_test_again_is_the_kernels(run, rig) -> None:
    first = run.mark()
    rig.boots.append(GOOD)
    fail(run, CheckFailed("pi", "died", [restart(7, "Booting Linux")]))
    before = run.since(first)
    assert run.worth_repeating(first)
    run.set_aside("test_x", first)
    second = run.mark()
    rig.boots.append(attrs.evolve(GOOD, first_line=9))
    fail(run, CheckFailed("pi", "died", [restart(20, "Booting Linux")]))
    run.end_attempt("test_x", second, before)
    assert run.finish(interrupted=False).verdict.name == "KERNEL"


def test_a_full_disk_is_the_benchs_whoever_runs_into_it(run) -> None:
    fail(run, OSError(errno.ENOSPC, "No space left on device"), when="setup")
    assert run.finish(interrupted=False).verdict.name == "LAB"


def test_without_a_board_in_play_there_is_nothing_to_start_over(tmp_path) -> None:
    run = Run.begin(tmp_path, target="pi", model="rpi-3-b", argv=())
    fail(run, LabError("program `make` is not on this host"))
    assert not run.worth_repeating(attrs.evolve(run.mark(), errors=0))


def test_what_a_run_does_stands_beside_its_record_until_it_has_ended(run, monkeypatch) -> None:
    monkeypatch.setattr("harness.lab.paper.time.time", lambda: clock[0])
    clock = [1000.0]
    run.note_doing("make: 1 of 9 objects")
    clock[0] = 1000.5
    run.note_doing("make: 2 of 9 objects")
    assert leavings.read_doing(run.folder) == leavings.Doing("make", "make: 1 of 9 objects", 1000.0, 1000.0)
    clock[0] = 1002.0
    run.note_doing("make: 7 of 9 \x1b[2J")
    assert leavings.read_doing(run.folder) == leavings.Doing("make", r"make: 7 of 9 \x1b[2J", 1000.0, 1002.0)
    run.note_doing("")
    assert leavings.read_doing(run.folder) == leavings.Doing("", "", 1002.0, 1002.0)
    run.finish(interrupted=False)
    assert leavings.read_doing(run.folder) is None
    assert run.record.pid == os.getpid()
