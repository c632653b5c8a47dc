"""From the records of many nights to answers: what a user of `pi64 history` and `pi64 compare` reads."""

import json
import time
from pathlib import Path
from typing import Any

import attrs
import pytest
from nightrecords import OOPS, TESTS, boot, case, night, spoilt, written

from harness import cli
from harness.lab.run import Run
from harness.model import Measurement
from harness.nightly import db, evidence, importer, questions
from harness.nightly.questions import Where

BROKEN = {**TESTS, "test_check[modules]": "failed"}


@pytest.fixture
def runs(tmp_path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def pi64(runs, capsys):
    """The command, asked for JSON; returns its status and what it says."""

    def call(*words: str) -> tuple[int, Any]:
        status = cli.main([*words, "--runs", str(runs), "--json"])
        said = capsys.readouterr()
        return status, json.loads(said.out) if said.out else said.err

    return call


@pytest.fixture
def say(runs, capsys):
    """The command as people call it; returns its status, what it prints and what it complains about."""

    def call(*words: str) -> tuple[int, str, str]:
        status = cli.main([*words, "--runs", str(runs)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


# --- last good -------------------------------------------------------------------------------------------------------
def test_the_last_good_run_of_each_branch_and_board_is_known(pi64, runs) -> None:
    written(runs, night(1), night(2, tests=BROKEN), night(3, "LAB"), night(2, target="other"))
    (desk, other) = pi64("history", "good")[1]["good"]
    assert (desk["series"]["board"], desk["good"]["name"], desk["since"]) == ("desk", "2026-01-02T01-00-00-desk", 2)
    assert desk["newest"]["verdict"] == "LAB"
    assert (other["good"], other["since"]) == (other["newest"], 0)
    assert [each["series"]["board"] for each in pi64("history", "good", "--board", "other")[1]["good"]] == ["other"]
    assert pi64("history", "--branch", "for-next")[1]["good"] == []


def test_branches_of_one_name_in_two_trees_are_two(pi64, runs) -> None:
    written(runs, night(1), attrs.evolve(night(2, tests=BROKEN), tree="/home/me/linux"))
    assert [each["series"]["tree"] for each in pi64("history", "good")[1]["good"]] == [
        "/home/me/linux",
        "git+https://git.example/linux.git",
    ]


# --- signatures ------------------------------------------------------------------------------------------------------
def test_when_a_signature_was_seen_first_and_last_is_known(pi64, runs) -> None:
    written(runs, night(1), *(night(number, "KERNEL", findings=(OOPS,)) for number in (2, 3, 5)), night(6))
    (seen,) = pi64("history", "signature", "NULL AT")[1]["signature"]
    assert (seen["first"]["commit"], seen["last"]["commit"], seen["runs"]) == (f"{2:040x}", f"{5:040x}", 3)
    assert pi64("history", "signature", "soft lockup")[1]["signature"] == []


def test_signatures_that_are_new_this_week_can_be_asked_for(pi64, runs) -> None:
    today = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    written(runs, night(1, "KERNEL", findings=(OOPS,)))
    assert pi64("history", "signature", "--days", "7")[1]["signature"] == []
    written(
        runs, attrs.evolve(night(2, "KERNEL", findings=(attrs.evolve(OOPS, signature="oops: new"),)), started=today)
    )
    assert [each["signature"] for each in pi64("history", "signature", "--days", "7")[1]["signature"]] == ["oops: new"]


# --- flakes ----------------------------------------------------------------------------------------------------------
def test_a_kernel_that_answered_both_ways_on_one_board_is_a_flake(pi64, runs) -> None:
    written(runs, night(1), night(1, tests=BROKEN, again=1), night(1, again=2), night(2, tests=BROKEN), night(3))
    (flake,) = pi64("history", "flaky")[1]["flaky"]
    assert (flake["test"], flake["kernels"], flake["good"], flake["bad"]) == ("test_check[modules]", 1, 2, 1)


def test_the_same_kernel_on_another_board_or_without_the_bench_is_no_flake(pi64, runs) -> None:
    lab = tuple(case(test, "error", "LAB") for test in TESTS)
    written(runs, night(1), night(1, tests=BROKEN, target="other"), night(1, "LAB", tests={}, again=1))
    written(runs, attrs.evolve(night(1, "INCONCLUSIVE", again=2), tests=lab))
    assert pi64("history", "flaky")[1]["flaky"] == []


def test_an_attempt_that_was_set_aside_is_told_apart(pi64, runs) -> None:
    tests = (case("test_boots", "retried"), case("test_boots", attempt=2))
    record = night(1, "INCONCLUSIVE", attempts=(spoilt("test_boots"),), boots=(boot(), boot()))
    written(runs, attrs.evolve(record, tests=tests))
    (flake,) = pi64("history", "flaky")[1]["flaky"]
    assert (flake["test"], flake["set_aside"], flake["bad"]) == ("test_boots", 1, 0)


# --- boots -----------------------------------------------------------------------------------------------------------
def test_boards_come_with_the_slowest_first_and_what_became_slower(pi64, runs) -> None:
    fine = [0.01 * (number * 37 % 100) for number in range(50)]
    written(runs, *(night(number, boots=(boot(20 + fine[number]),), target="fast") for number in range(50)))
    slow = [night(number, boots=(boot(30 + fine[number] + 9 * (number > 44)),), target="slow") for number in range(50)]
    written(runs, *slow, night(51, "LAB", boots=(boot(300.0),), target="slow", image="", toolchain=""))
    one, other = pi64("history", "slow")[1]["slow"]
    assert (one["series"]["board"], other["series"]["board"]) == ("slow", "fast")
    assert other["stages"]["boot"][0] == pytest.approx(20.5, abs=0.1)
    assert {each["stage"] for each in one["slower"]} == {"login", "boot"}
    assert other["slower"] == []


def test_how_long_a_run_takes_is_known_from_those_before(runs, tmp_path) -> None:
    written(runs, night(1), night(2), night(3, "LAB", finished="2026-01-04T09:00:00Z"))
    importer.catch_up(tmp_path / "h", runs)
    with db.reading(tmp_path / "h") as opened:
        assert questions.usual_seconds(opened, Where(board="desk")) == 600.0
        assert questions.usual_seconds(opened, Where(board="other")) is None


# --- compare ---------------------------------------------------------------------------------------------------------
def test_a_regression_is_told_with_the_run_and_commit_that_were_good(say, runs) -> None:
    written(runs, night(1), night(2, "LAB", tests={}), night(3, tests=BROKEN, findings=(OOPS,)))
    status, said, _ = say("compare")
    assert status == 1
    assert said.splitlines() == [
        "2026-01-04T01-00-00-desk: KERNEL, kernel 6.12.3-pi64, commit 000000000000",
        "rpi-6.12.y on desk (rpi-4-b), bcm2711_defconfig +smoke",
        "against 2026-01-02T01-00-00-desk: PASS, which was good, kernel 6.12.1-pi64, commit 000000000000",
        "",
        "2 regressions",
        "new failure:",
        "  test_check[modules]",
        "    desk: test_check[modules] did not hold",
        "new complaint of the kernel:",
        "  oops: Unable to handle kernel NULL at # (in vc#)",
        "    Unable to handle kernel NULL at 0x8 (in vc4)",
    ]


def test_a_quiet_night_is_told_as_one(say, runs) -> None:
    written(runs, night(1), night(2))
    status, said, _ = say("compare", "latest")
    assert (status, said.splitlines()[-1]) == (0, "nothing broke that was good before")


def test_many_tests_that_fail_for_one_reason_are_told_once(say, runs) -> None:
    many = {f"test_{number}": "passed" for number in range(30)}
    stopped = tuple(attrs.evolve(case(test, "failed"), message="desk: no login prompt: silent") for test in many)
    written(runs, night(1, tests=many), attrs.evolve(night(2, "KERNEL", tests={}), tests=stopped))
    _, said, _ = say("compare")
    assert said.count("no login prompt") == 1
    assert "  and 22 more" in said


def test_a_comparison_can_be_had_against_any_run(pi64, runs) -> None:
    written(runs, night(1), night(2, tests=BROKEN), night(3, tests=BROKEN))
    assert pi64("compare")[0] == 0
    status, said = pi64("compare", "2026-01-04", "--against", str(runs / "2026-01-02T01-00-00-desk"))
    assert (status, [change["kind"] for change in said["changes"]]) == (1, ["new failure"])
    assert said["against"]["name"] == "2026-01-02T01-00-00-desk"


def test_a_board_that_is_out_ends_with_a_status_of_its_own(say, runs) -> None:
    boots = (boot(reached=False), boot(control=True, reached=False))
    written(runs, night(1), night(2, "LAB", boots=boots))
    status, said, _ = say("compare")
    assert status == 2
    assert "not compared: the board is out: the known-good kernel does not boot on it either" in said


def test_another_image_is_told_beside_the_difference(pi64, runs) -> None:
    written(runs, night(1), night(2, tests=BROKEN, image="Debian trixie armhf"))
    assert pi64("compare")[1]["differs"] == [
        "base image: Debian bookworm armhf\n1234 -> Debian trixie armhf\n1234",
    ]


def test_a_signature_that_came_and_went_is_no_news(pi64, runs) -> None:
    complained = [night(number, "KERNEL", findings=(OOPS,)) for number in (1, 4)]
    written(runs, night(0), complained[0], night(2), night(3), complained[1])
    assert pi64("compare")[0] == 0
    assert pi64("compare", "2026-01-05", "--against", "2026-01-04")[0] == 1


def test_a_missing_module_and_device_are_regressions(pi64, runs) -> None:
    written(runs, night(1, inventory={"devices": ("hub", "mmc0")}))
    written(runs, night(2, inventory={"devices": ("mmc0",)}), modules=("dummy",))
    status, said = pi64("compare")
    assert status == 1
    assert [(change["kind"], change["subject"]) for change in said["changes"]] == [
        ("missing module", "vc4"),
        ("missing device", "hub"),
    ]


def test_what_failed_for_longer_than_one_looks_back_has_a_last_good_run_still(pi64, runs, monkeypatch) -> None:
    monkeypatch.setattr(evidence, "RUNS", 5)
    written(runs, night(1), night(2), *(night(number, tests=BROKEN) for number in range(3, 15)))
    (change,) = pi64("compare")[1]["changes"]
    assert (change["kind"], change["last_good"]["name"]) == ("still failing", "2026-01-03T01-00-00-desk")


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("2026-01-02T01-00-00-disk", r"no such run in the history\n  hint: did you mean 2026-01-02T01-00-00-desk?"),
        ("2026-01", "2 runs are called so"),
        ("x", "no such run in the history\n  hint: `pi64 history runs` lists them"),
    ],
)
def test_a_name_that_is_none_is_told_with_the_nearest(say, runs, word, complaint) -> None:
    written(runs, night(1), night(2))
    status, _, said = say("compare", word)
    assert status == 2
    assert complaint.replace("\\n", "\n") in said


def test_a_run_against_itself_is_a_mistake(say, runs) -> None:
    written(runs, night(1))
    assert say("compare", "latest", "--against", "2026-01-02")[::2] == (
        2,
        "pi64: 2026-01-02: a run against itself\n  hint: name another one with --against\n",
    )


# --- the commands ----------------------------------------------------------------------------------------------------
def test_every_question_has_an_answer_for_people(say, runs) -> None:
    written(runs, night(1), night(1, tests=BROKEN, again=1, findings=(OOPS,)))
    for question in ("good", "signature", "flaky", "slow", "runs"):
        status, said, complaint = say("history", question)
        assert (status, complaint) == (0, "")
        assert "desk" in said


def test_hostile_text_in_a_record_does_not_reach_the_terminal(say, runs) -> None:
    evil = "\x1b]0;owned\x07\u202e"
    hostile = attrs.evolve(OOPS, message=evil, signature=evil)
    written(runs, night(1, branch=evil), night(2, "KERNEL", branch=evil, findings=(hostile,), toolchain=evil))
    for words in (("history",), ("history", "signature"), ("history", "runs"), ("compare",)):
        _, said, _ = say(*words)
        assert "\\x1b" in said
        assert not {"\x1b", "\x07", "\u202e"} & set(said)


def test_an_import_tells_what_it_could_not_read(say, runs) -> None:
    written(runs, night(1))
    (runs / "odd").mkdir()
    (runs / "odd" / "run.json").write_text("{")
    status, said, _ = say("history", "import")
    assert status == 1
    assert "odd: run.json: not JSON" in said
    assert said.endswith("1 new, 0 renewed, 0 known as they are, 1 passed over\n")
    status, _, complaint = say("history", "good")
    assert (status, complaint) == (
        0,
        "pi64: 1 records below --runs cannot be read; `pi64 history import` tells why\n",
    )


def test_without_runs_there_is_no_history(say, runs) -> None:
    status, _, said = say("history")
    assert status == 2
    assert f"{runs}: no such folder" in said


def test_a_history_outlives_its_runs(pi64, runs, tmp_path) -> None:
    written(runs, night(1))
    history = ["--history", str(tmp_path / "h")]
    pi64("history", *history)
    runs.rename(tmp_path / "elsewhere")
    assert len(pi64("history", "good", *history)[1]["good"]) == 1


def test_asked_as_it_is_a_history_does_not_change(pi64, runs) -> None:
    written(runs, night(1))
    pi64("history")
    written(runs, night(2))
    assert len(pi64("history", "runs", "--as-is")[1]["runs"]) == 1
    assert len(pi64("history", "runs")[1]["runs"]) == 2


def test_numbers_and_inventories_that_a_test_found_out_are_in_the_record(tmp_path) -> None:
    run = Run.begin(tmp_path, target="desk", model="rpi-4-b", argv=())
    run.measure(Measurement("card.read", 22.5, "MB/s", 20.0, "test_card"))
    run.note_inventory("devices", ["mmc1", "mmc0\x1b[2J", "mmc1"])
    paper = importer.read(run.folder)
    assert paper.record.measurements == (Measurement("card.read", 22.5, "MB/s", 20.0, "test_card"),)
    assert paper.record.inventory == {"devices": ("mmc0\\x1b[2J", "mmc1")}
