"""The parts of a night alone: what the disk keeps, which boards are trusted, what earlier nights say."""

import fcntl
import signal
import threading
from pathlib import Path

import attrs
import pytest
from nightrecords import boot, night

from harness.lab.plan import Branch, Configuration, Wanted
from harness.nightly.night import bisections, past
from harness.nightly.night import book as books
from harness.nightly.night import state as states
from harness.nightly.night.agenda import Task
from harness.nightly.night.book import Book
from harness.nightly.night.crew import Crew
from harness.nightly.night.hands import Built, _built
from harness.nightly.night.memory import Memory
from harness.nightly.night.past import Past
from harness.nightly.night.runner import clock
from harness.nightly.night.standing import Standing
from harness.nightly.night.state import Job, Night

JOB = Job("main", "desk", "plain", "done", run="a-run", verdict="PASS", inputs="1", build_s=100.0)
LABEL = ("main", "plain", "desk")
BROKE = attrs.evolve(JOB, regressions=("new failure: test",), good="a" * 40, commit="b" * 40)
TASK = Task(
    Wanted(Branch("git+https://git.example/linux.git", name="main"), Configuration(name="plain"), "desk"),
    ("--source=git+https://git.example/linux.git", "--ref=" + "b" * 40, "--branch=main", "--fragment=KASAN=y"),
    pinned=True,
)


# --- the disk --------------------------------------------------------------------------------------------------------
def test_a_full_disk_is_told_once_and_what_is_known_is_written_when_there_is_room(tmp_path) -> None:
    said: list[str] = []
    folder = tmp_path / "night"
    folder.write_text("stands in the way")
    book = Book(folder, Night("n", books.now(), jobs=(JOB, JOB)), said.append)
    book.job(0, state="left")
    assert len(said) == 1
    assert "cannot be written" in said[0]
    folder.unlink()
    book.job(1, state="out")
    jobs = states.from_json((folder / states.FILE).read_text()).jobs
    assert [job.state for job in jobs] == ["left", "out"]


@pytest.mark.parametrize(
    ("facts", "goes_on"),
    [
        ({}, True),
        ({"finished": "2026-07-01T01:00:00Z"}, False),
        ({"finished": "2026-07-01T01:00:00Z", "stopped": "SIGTERM"}, True),
        ({"started": "2020-01-01T00:00:00Z"}, False),
        ({"jobs": (attrs.evolve(JOB, board="other"),)}, False),
    ],
)
def test_a_night_is_gone_on_with_if_it_was_killed_or_stopped_and_has_time_left(tmp_path, facts, goes_on: bool) -> None:
    book = books.begin(tmp_path, [JOB], budget_s=None, tell=print)
    book.know(**facts)
    found = books.unfinished(tmp_path, [LABEL], budget_s=None)
    assert (found is not None) == goes_on


def test_a_night_whose_jobs_are_in_another_order_is_not_gone_on_with(tmp_path) -> None:
    """What a killed night's children have left behind goes by the number of the job."""
    other = ("main", "plain", "other")
    books.begin(tmp_path, [JOB, attrs.evolve(JOB, board="other")], budget_s=None, tell=print)
    assert books.unfinished(tmp_path, [LABEL, other], budget_s=None)
    assert books.unfinished(tmp_path, [other, LABEL], budget_s=None) is None


def test_that_one_waits_for_a_killed_night_is_told_once(tmp_path) -> None:
    said: list[str] = []
    children = (tmp_path / books.LOCK).open("a+")
    fcntl.flock(children, fcntl.LOCK_EX)
    threading.Timer(0.7, children.close).start()
    with books.locked(tmp_path, said.append):
        assert said == ["waiting for what a killed night has left running"]


def test_a_night_whose_state_is_damaged_is_passed_over(tmp_path) -> None:
    book = books.begin(tmp_path, [JOB], budget_s=None, tell=print)
    (book.path / states.FILE).write_bytes(b"\xff")
    assert books.unfinished(tmp_path, [LABEL], budget_s=None) is None
    assert past.read(tmp_path) == Past()
    books.close(tmp_path, "why")


# --- boards ----------------------------------------------------------------------------------------------------------
def test_a_board_is_out_when_the_good_kernel_does_not_boot_on_it() -> None:
    record = night(1, "KERNEL", boots=(boot(control=True, reached=False),))
    assert "known-good kernel does not boot on it either" in Standing({"desk": 1}).judge("desk", record)


def test_a_board_is_out_after_two_runs_in_a_row_that_the_bench_broke() -> None:
    standing = Standing({"desk": 1})
    assert [bool(standing.judge("desk", night(1, word))) for word in ("LAB", "PASS", "LAB", "LAB")] == [False] * 3 + [
        True
    ]


def test_of_three_boards_chosen_by_tags_one_may_be_bad() -> None:
    standing = Standing({"any": 3})
    record = night(1, "KERNEL", boots=(boot(control=True, reached=False),))
    assert [bool(standing.judge("any", record)) for _ in range(3)] == [False, False, True]
    lab = Standing({"any": 3})
    assert [bool(lab.judge("any", night(1, "LAB"))) for _ in range(4)] == [False, False, False, True]


# --- what is known ---------------------------------------------------------------------------------------------------
def _nights(*jobs: Job) -> Past:
    """Nights of one job each, the newest first."""
    return Past(tuple(Night(f"{number}", "", jobs=(job,)) for number, job in enumerate(jobs)))


def test_the_last_complete_run_is_that_of_a_verdict_that_says_something() -> None:
    spoilt = [attrs.evolve(JOB, verdict=word) for word in ("LAB", "INCONCLUSIVE", "")]
    left = attrs.evolve(JOB, state="left", verdict="", run="")
    assert _nights(*spoilt, left, attrs.evolve(JOB, run="good")).last(LABEL) == attrs.evolve(JOB, run="good")
    assert _nights(*spoilt).last(LABEL) is None


def test_what_was_left_counts_as_left_over_until_it_has_had_its_turn() -> None:
    left = attrs.evolve(JOB, state="left")
    assert _nights(left, JOB).left(LABEL)
    assert not _nights(JOB, left).left(LABEL)


def test_a_build_usually_takes_what_it_took_on_this_branch_else_in_this_configuration() -> None:
    known = _nights(attrs.evolve(JOB, build_s=0.0), *(attrs.evolve(JOB, build_s=s) for s in (90.0, 100.0, 500.0)))
    assert known.build_s("main", "plain") == 100.0
    assert known.build_s("new-branch", "plain") == 100.0
    assert known.build_s("main", "kasan") is None


# --- children --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("status", "out", "err", "built"),
    [
        (0, '{"key": "ab", "release": "6.12", "seconds": 9.5, "cached": false}', "", Built("ab", "6.12", 9.5)),
        (0, '{"key": "ab", "release": "6.12", "seconds": 0.5, "cached": true}', "", Built("ab", "6.12")),
        (
            1,
            '{"verdict": "BUILD", "message": "no\\nsuch \x1b[1m"}',
            "",
            Built(verdict="BUILD", message=r"no such \x1b[1m"),
        ),
        (2, "", "build: 3 objects\npi64: lab.yaml:3: no\n", Built(verdict="LAB", message="lab.yaml:3: no")),
        (-9, "", "", Built(verdict="LAB", message="`pi64 build` ended with status -9")),
    ],
)
def test_what_a_build_says_is_told_in_one_line(status: int, out: str, err: str, built: Built) -> None:
    assert _built(status, out.replace("\x1b", "\\u001b"), err) == built


def test_a_child_that_does_not_end_when_it_is_told_to_is_killed() -> None:
    crew, killed, came = Crew(ending_s=0.05), threading.Event(), []

    class Deaf:
        def end(self, number: int) -> None:
            if number == signal.SIGKILL:
                killed.set()

    def work(begun) -> str:
        begun(Deaf())
        return "killed" if killed.wait(10) else "it goes on"

    crew.start(1, work, lambda number, what: came.append((number, what)))
    crew.end()
    for _ in range(1000):
        if len(crew):
            crew.serve(0.01)
    assert came == [(1, "killed")]


def test_whatever_is_wrong_with_a_history_costs_the_comparison_alone(tmp_path, monkeypatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("harness.nightly.importer.take", lambda *_: {}["no such column"])
    assert Memory(tmp_path / "h", tmp_path, said.append).compared(tmp_path / "run") is None
    assert "the night goes on without it" in said[0]


def test_one_bisection_a_branch_and_configuration() -> None:
    jobs = [JOB, BROKE, attrs.evolve(BROKE, board="other"), attrs.evolve(BROKE, configuration="kasan")]
    assert list(bisections.due(jobs, [TASK] * 4, ())) == [1, 3]
    assert list(bisections.due(jobs, [TASK] * 4, {"desk"})) == [2]
    assert list(bisections.due(jobs, [attrs.evolve(TASK, pinned=False)] * 4, ())) == []


def test_a_bisection_is_asked_in_the_configuration_that_broke() -> None:
    words = bisections.words(BROKE, TASK, ["tests_hw"], lab=Path("lab.yaml"), runs=Path("runs"))
    assert words == [
        "--board=desk",
        f"--good={'a' * 40}",
        f"--bad={'b' * 40}",
        "--source=git+https://git.example/linux.git",
        "--lg-env=lab.yaml",
        "--runs=runs",
        "--",
        "tests_hw",
        "--fragment=KASAN=y",
    ]


@pytest.mark.parametrize(("seconds", "told"), [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (7500, "2 h 05 min")])
def test_times_are_told_as_people_say_them(seconds: float, told: str) -> None:
    assert clock(seconds) == told
