"""Whole nights: the night is real, what it starts is not (``fakenight``)."""

import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from fakenight import FakeNight

ONE = "  branches: {main: {source: linux.tar}}\n  boards: [desk3]"
TWO = """\
  branches: {main: {source: linux.tar}}
  boards: [desk3, desk3b]
  configurations: {plain: {}, debug: {fragments: [DEBUG_KERNEL=y]}}
"""
GIT = "  branches: {main: {source: git+linux.git, ref: main}}\n  boards: [desk3, desk3b]\n  on_regression: bisect"
BOARDS = ("desk3", "desk3b")


@pytest.fixture
def lab(tmp_path) -> Callable[..., FakeNight]:
    return lambda plan=TWO, **more: FakeNight(tmp_path, plan, boards=BOARDS, **more)


def until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def git(folder: Path, *words: str) -> str:
    names = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(["git", *words], cwd=folder, env={**os.environ, **names}, capture_output=True, check=True)
    return done.stdout.decode().strip()


def commit(folder: Path, subject: str) -> str:
    git(folder, "commit", "--quiet", "--allow-empty", "-m", subject)
    return git(folder, "rev-parse", "HEAD")


# --- a night ---------------------------------------------------------------------------------------------------------
def test_each_kernel_is_built_once_and_each_job_run_once(lab) -> None:
    night = lab()
    status, said = night.run()
    assert status == 0, said
    assert Counter(line for line in night.calls if not line.startswith("end")) == {
        "build linux.tar": 1,
        "build linux.tar DEBUG_KERNEL=y": 1,
        "run linux.tar on desk3": 1,
        "run linux.tar on desk3b": 1,
        "run linux.tar DEBUG_KERNEL=y on desk3": 1,
        "run linux.tar DEBUG_KERNEL=y on desk3b": 1,
    }
    assert re.search(r"main/plain +PASS +PASS", said)
    assert night.night.finished
    assert {job.run for job in night.night.jobs} == {
        path.parent.name for path in night.folder.glob("runs/*/run.json")
    } - {"latest"}


def test_what_has_not_changed_is_not_run_again(lab) -> None:
    night = lab(ONE)
    night.run()
    before = night.night.jobs[0]
    night.forget()
    status, said = night.run()
    assert (status, night.calls) == (0, []), said
    job = night.night.jobs[0]
    assert (job.state, job.run, job.verdict) == ("unchanged", before.run, "PASS")
    assert job.reason.startswith(f"PASS in {before.run}, with all inputs as now: tarball")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("linux.tar", "another tree"),
        ("tests_hw/test_x.py", "# a new test"),
        ("lab.yaml", "{model: rpi-3-b, cmdline: [x], "),
    ],
)
def test_what_has_changed_is_run(lab, file: str, text: str) -> None:
    night = lab(ONE)
    night.run()
    path = night.folder / file
    path.write_text(path.read_text().replace("{model: rpi-3-b, ", text) if file == "lab.yaml" else text)
    night.run()
    assert night.states == {"main/default on desk3": "done"}


def test_again_runs_what_has_not_changed(lab) -> None:
    night = lab(ONE)
    night.run()
    night.run("--again")
    assert night.states == {"main/default on desk3": "done"}


def test_a_branch_that_was_changed_and_changed_back_is_run(lab) -> None:
    night = lab(ONE)
    for content in ("a", "b", "a"):
        (night.folder / "linux.tar").write_text(content)
        night.run()
    assert night.states == {"main/default on desk3": "done"}


def test_a_verdict_of_the_bench_is_asked_again_the_next_night(lab) -> None:
    night = lab(ONE)
    night.behave({"*": {"verdict": "INCONCLUSIVE"}})
    assert night.run()[0] == 2
    night.behave({})
    assert night.run()[0] == 0
    assert night.states == {"main/default on desk3": "done"}


def test_dry_run_says_what_and_when_and_touches_nothing(lab) -> None:
    night = lab()
    night.behave({"DEBUG_KERNEL=y": {"verdict": "LAB"}})
    night.run()
    (night.folder / "linux.tar").write_text("another tree")
    nights = night.folder / "runs/nightly"
    known, there = night.night, sorted(nights.rglob("*"))
    night.forget()
    status, said = night.run("--dry-run", "--board", "desk3", "--budget", "8h")
    assert (status, night.calls, night.night) == (0, [], known), said
    assert sorted(nights.rglob("*")) == there
    assert re.search(r"main/plain +for desk3$", said, re.MULTILINE)
    assert "2 runs of 2; budget 8 h 00 min, 0 would be left" in said


# --- what goes wrong -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("how", "state", "reason"),
    [
        (
            {"build linux.tar --": {}, "run --board desk3b": {}, "DEBUG_KERNEL=y": {"build": "LAB"}},
            "broken",
            "fork.c:1",
        ),
        ({"DEBUG_KERNEL=y": {"refuse": True}}, "broken", "no run was begun: pytest ended with status 1: no such test"),
        ({"DEBUG_KERNEL=y": {"vanish": True}}, "broken", "the run has no verdict: pytest ended with status 9"),
    ],
)
def test_the_night_goes_on_after_any_failure(lab, how, state: str, reason: str) -> None:
    night = lab()
    night.behave(how)
    status, said = night.run()
    assert status == 2, said
    assert [job.state for job in night.night.jobs] == ["done", "done", state, state]
    assert reason in night.night.jobs[-1].reason


def test_a_branch_that_is_out_of_reach_costs_its_own_jobs(lab) -> None:
    night = lab("  branches: {gone: {source: git+nowhere.git}, main: {source: linux.tar}}\n  boards: [desk3]")
    night.run()
    assert night.states == {"gone/default on desk3": "broken", "main/default on desk3": "done"}
    assert "nowhere.git" in night.night.jobs[0].reason


def test_a_kernel_that_does_not_build_is_told_by_one_run_for_all_boards(lab) -> None:
    night = lab("  branches: {main: {source: linux.tar}}\n  boards: [desk3, desk3b]")
    night.behave({"*": {"build": "BUILD", "verdict": "BUILD", "run_s": 0.2}})
    status, said = night.run()
    assert status == 1, said
    assert [(job.state, job.verdict) for job in night.night.jobs] == [("done", "BUILD")] * 2
    assert len({job.run for job in night.night.jobs}) == 1
    assert len([line for line in night.calls if line.startswith("run")]) == 1


def test_a_board_on_which_the_good_kernel_does_not_boot_is_taken_out(lab) -> None:
    night = lab()
    night.behave({"--board desk3b": {"verdict": "KERNEL", "control": "fails"}, "--board desk3": {}})
    _, said = night.run("--board", "desk3b")
    assert night.night.boards_out == {"desk3b": "the known-good kernel does not boot on it either (6.1-good: silent)"}
    assert sorted(job.state for job in night.night.jobs) == ["done", "out"]
    assert "boards taken out:\n  desk3b: the known-good kernel does not boot" in said


def test_a_board_that_the_bench_breaks_twice_in_a_row_is_taken_out(lab) -> None:
    night = lab()
    night.behave({"--board desk3b": {"verdict": "LAB"}})
    status, said = night.run()
    assert status == 2, said
    assert list(night.night.boards_out) == ["desk3b"]
    assert "LAB 2 times in a row: no answer from the switch" in night.night.boards_out["desk3b"]
    assert [job.verdict for job in night.night.jobs if job.board == "desk3"] == ["PASS", "PASS"]


@pytest.mark.parametrize(("repeat", "runs"), [(0, 1), (1, 2), (2, 3)])
def test_a_run_that_says_nothing_is_repeated_as_often_as_the_plan_says(lab, repeat: int, runs: int) -> None:
    night = lab(f"{ONE}\n  repeat: {repeat}")
    night.behave({"*": {"verdict": "INCONCLUSIVE"}})
    night.run()
    assert len([line for line in night.calls if line.startswith("run")]) == runs
    assert night.night.jobs[0].tries == runs


def test_a_history_that_cannot_be_written_is_told_and_costs_nothing_else(lab) -> None:
    night = lab(ONE)
    (night.folder / "runs/history.sqlite").mkdir(parents=True)
    status, said = night.run()
    assert status == 0, said
    assert said.count("the night goes on without it") == 1


def test_a_run_below_a_place_that_is_no_folder_is_a_mistake(lab) -> None:
    night = lab(ONE)
    status, said = night.run("--runs", "linux.tar/runs")
    assert status == 2
    assert "Traceback" not in said


# --- budget ----------------------------------------------------------------------------------------------------------
def test_nothing_is_begun_that_would_not_end_within_the_budget(lab) -> None:
    night = lab()
    status, said = night.run("--budget", "5m")  # a build and a run of which nobody knows are taken to need fifteen
    assert (status, night.calls) == (2, [])
    assert set(night.states.values()) == {"left"}
    assert "left:\n  main/plain on desk3: the budget: 5 min left, it takes 15 min" in said


def test_what_runs_is_ended_when_the_budget_ends(lab) -> None:
    night = lab(ONE)
    night.behave({"*": {"build_s": 0.1}})
    night.run()  # so that it is known how long both take
    night.behave({"*": {"build_s": 0.1, "run_s": 30}})
    _, said = night.run("--again", "--budget", "3s")
    assert night.states == {"main/default on desk3": "left"}
    assert "the budget ended while it ran" in said
    assert night.calls[-1].endswith("INCONCLUSIVE")


# --- stopped, killed, and started again ------------------------------------------------------------------------------
@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_ends_the_runs_in_order_and_the_next_start_goes_on(lab, number: int) -> None:
    night = lab()
    night.behave({"--board desk3": {"run_s": 30}, "--board desk3b": {"run_s": 0}})
    process = night.start()
    until(lambda: sum(line.startswith("end") for line in night.calls) >= 2)
    night.kill(process, number)
    assert process.returncode == 2
    stopped = night.night
    assert stopped.stopped == signal.Signals(number).name
    assert sorted(job.state for job in stopped.jobs) == ["done", "done", "left", "left"]
    assert any(
        line.endswith("on desk3 INCONCLUSIVE") for line in night.calls
    )  # the board went off, the record is there
    night.behave({})
    night.forget()
    assert night.run()[0] == 0
    assert night.night.name == stopped.name
    assert set(night.states.values()) == {"done"}
    assert len([line for line in night.calls if line.startswith("run")]) == 2


def test_killed_and_started_again_it_repeats_nothing_that_is_complete(lab) -> None:
    _killed_again_and_again(lab(), [1.0])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_killed_at_any_points_it_repeats_nothing_that_is_complete(lab, seed: int) -> None:
    _killed_again_and_again(lab(), [0.3 + 0.13 * seed, 0.5 + 0.07 * seed, 1.0])


def _killed_again_and_again(night: FakeNight, seconds: list[float]) -> None:
    night.behave({"*": {"build_s": 0.1, "run_s": 0.25}})
    for moment in seconds:
        process = night.start()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(moment)
        night.kill(process)
    status, said = night.run()
    assert status == 0, said
    assert set(night.states.values()) == {"done"}
    passed = Counter(line for line in night.calls if line.startswith("end") and line.endswith("PASS"))
    assert len(passed) == 4
    assert set(passed.values()) == {1}, night.calls
    assert len(list((night.folder / "runs/nightly").glob("2*"))) == 1


def test_go_on_begins_no_night_of_its_own(lab) -> None:
    night = lab(ONE)
    assert night.run("--go-on")[0] == 0
    assert night.calls == []
    night.behave({"*": {"refuse": True}})
    process = night.start()
    until(lambda: bool(night.calls))
    night.kill(process)
    night.behave({})
    assert night.run("--go-on")[0] == 0
    assert night.states == {"main/default on desk3": "done"}


def test_two_nights_of_one_folder_do_not_run_at_once(lab) -> None:
    night = lab(ONE)
    night.behave({"*": {"run_s": 30}})
    process = night.start()
    until(lambda: len(night.calls) == 2)
    status, said = night.run()
    night.kill(process, signal.SIGTERM)
    assert status == 2
    assert f"is in use by another run (process {process.pid})" in said


def test_a_night_of_another_plan_is_not_gone_on_with(lab) -> None:
    night = lab()
    night.behave({"*": {"run_s": 30}})
    process = night.start()
    until(lambda: any(line.startswith("run") for line in night.calls))
    night.kill(process)
    killed = night.night.name
    night.behave({})
    night.run("--board", "desk3")
    assert night.night.name != killed
    text = (night.folder / f"runs/nightly/{killed}/night.json").read_text()
    assert "the next night was begun without it" in text


# --- regressions -----------------------------------------------------------------------------------------------------
def test_what_broke_is_told_first_and_bisected_once(lab) -> None:
    night = lab(GIT)
    tree = night.folder / "linux.git"
    git(night.folder, "init", "--quiet", "--initial-branch=main", "linux.git")
    good = commit(tree, "good")
    assert night.run()[0] == 0
    bad = commit(tree, "bad")
    night.behave({"*": {"verdict": "KERNEL"}})
    night.forget()
    status, said = night.run()
    assert status == 1, said
    assert said.partition("broke, and was good before:\n")[2].startswith("  main/default on desk3, ")
    assert "    new failure: test_boots: it did not hold" in said
    (bisected,) = (line for line in night.calls if line.startswith("bisect"))
    assert f"--good={good} --bad={bad}" in bisected
    first, second = night.night.jobs
    assert first.bisection
    assert (first.commit, first.good, second.bisection) == (bad, good, "")


def test_what_broke_in_a_run_that_was_cut_off_is_told_when_it_is_run_again(lab) -> None:
    night = lab(ONE)
    assert night.run()[0] == 0
    (night.folder / "linux.tar").write_text("another tree")
    night.behave({"*": {"verdict": "KERNEL", "run_s": 30}})
    process = night.start()
    until(lambda: sum(line.startswith("run") for line in night.calls) == 2)
    until(lambda: bool(night.night.jobs[0].run))
    night.kill(process, signal.SIGTERM)
    assert night.calls[-1].endswith("KERNEL")
    night.behave({"*": {"verdict": "KERNEL"}})
    status, said = night.run()
    assert (status, night.night.jobs[0].regressions) == (1, ("new failure: test_boots: it did not hold",)), said


def test_a_night_runs_the_commits_that_it_found_whatever_is_pushed_meanwhile(lab) -> None:
    night = lab(GIT)
    tree = night.folder / "linux.git"
    git(night.folder, "init", "--quiet", "--initial-branch=main", "linux.git")
    first = commit(tree, "first")
    night.behave({"*": {"run_s": 30}})
    process = night.start()
    until(lambda: any(line.startswith("run") for line in night.calls))
    night.kill(process)
    commit(tree, "second")
    night.behave({})
    night.forget()
    assert night.run()[0] == 0
    assert {job.commit for job in night.night.jobs} == {first}
