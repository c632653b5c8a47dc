"""What a night has to tell, out of the history and of the night's state."""

import attrs
import pytest
from morninglab import BOARDS, BRANCHES, filled, lab, state
from nightrecords import OOPS, TESTS, boot, night, written

from harness.nightly import db, evidence, importer, told
from harness.nightly.bisection.state import Question, State, to_json
from harness.nightly.compare import Kind
from harness.nightly.morning import gather, trends
from harness.nightly.morning.page import render
from harness.nightly.morning.summary import lines
from harness.nightly.morning.values import headline
from harness.nightly.night.state import Job, Night


@pytest.fixture(scope="module")
def year(tmp_path_factory):
    """The lab's runs folder, and its records."""
    runs = tmp_path_factory.mktemp("runs")
    records = list(lab(45))
    filled(runs, records)
    return runs, records


def of(runs, night_: Night | None = None, **more):
    with db.reading(runs / db.NAME) as opened:
        return gather.gather(opened, runs, night_, **more).morning


def cell(morning, branch: str, board: str):
    (found,) = [each for each in morning.cells if (each.line.branch, each.board) == (branch, board)]
    return found


def test_the_history_alone_tells_of_the_last_day(year) -> None:
    found = of(year[0])
    assert len(found.cells) == len(BRANCHES) * len(BOARDS)
    assert headline(found) == "2 regressions, 1 fixed, 9 of 12 PASS"
    assert {each.line.branch for each in found.regressions if each.kind is Kind.NEW_FAILURE} == {"rpi-6.6.y"}


def test_what_broke_alike_on_two_boards_is_told_once(year) -> None:
    (failure,) = [each for each in of(year[0]).news if each.kind is Kind.NEW_FAILURE]
    assert (failure.boards, failure.subjects) == (("rpi4-a", "rpi4-b"), ("test_check[modules]",))
    assert failure.last_good
    (complaint,) = [each for each in of(year[0]).news if each.kind is Kind.NEW_SIGNATURE]
    assert complaint.subjects == (OOPS.signature,)


def test_what_the_bench_spoilt_is_in_the_matrix_and_among_no_news(year) -> None:
    found = of(year[0])
    spoilt = cell(found, "rpi-6.12.y", "rpi3-a")
    assert (spoilt.verdict, spoilt.before, spoilt.change) == ("LAB", "PASS", "")
    assert all("rpi3-a" not in each.boards for each in found.regressions)


def test_a_cell_knows_since_when_it_is_so_across_what_the_bench_spoilt(year) -> None:
    mended = cell(of(year[0]), "mainline", "rpi4-a")
    assert (mended.verdict, mended.before, mended.runs, mended.change) == ("PASS", "KERNEL", 1, "better")
    steady = cell(of(year[0]), "rpi-6.12.y", "rpi4-a")
    assert steady.runs > 30
    assert steady.since < steady.started - 40 * 86_400


def test_a_board_that_boots_slower_is_told_of_and_marked_in_its_trend(year) -> None:
    found = of(year[0])
    (slow,) = [board for board in found.boards if board.slower]
    assert slow.board == "rpi3-b"
    marked = {trend.board for trend in found.trends if trend.marks}
    assert marked <= {"rpi3-b"}
    trend = next(each for each in found.trends if each.board == "rpi3-b")
    assert trend.points[-1].low <= trend.points[-1].middle <= trend.points[-1].high
    assert trend.points[-1].middle > 1.2 * trend.points[0].middle


def test_a_night_tells_of_its_jobs_whatever_became_of_them(year) -> None:
    runs, records = year
    jobs = list(state(records).jobs)
    left = attrs.evolve(jobs[0], state="left", run="", reason="the budget was used up")
    fresh = Job("brand-new", "rpi3-a", "default", "building")
    found = of(runs, state(records, jobs=(left, *jobs[1:], fresh), boards_out={"rpi9": "it is mute"}))
    old = cell(found, left.branch, left.board)
    assert (old.state, old.tonight, old.verdict) == ("left", False, "LAB")
    assert cell(found, "brand-new", "rpi3-a").verdict == ""
    assert [board.board for board in found.out] == ["rpi9"]
    assert [each.reason for each in found.not_run()] == ["the budget was used up"]
    assert headline(found).endswith("1 board out")


def test_a_night_that_was_killed_is_no_night_that_goes_on(year) -> None:
    killed = state(year[1], finished="")
    assert of(year[0], killed).stopped == "it was killed"
    assert of(year[0], killed, running=True).stopped == ""
    assert "it goes on" in headline(of(year[0], killed, running=True))


def test_what_broke_in_the_first_of_two_runs_of_a_night_broke_this_night(tmp_path) -> None:
    bad = {"test_boots": "failed"}
    filled(tmp_path, [night(number) for number in range(5)] + [night(5, tests=bad), night(5, tests=bad, again=1)])
    assert [each.kind for each in of(tmp_path).regressions] == [Kind.NEW_FAILURE]


def test_what_broke_in_a_run_of_which_no_night_has_told_broke_this_night(tmp_path) -> None:
    bad = {"test_boots": "failed"}
    records = [*(night(number) for number in range(5)), night(5, tests=bad), night(6, tests=bad)]
    filled(tmp_path, records)
    for known, kinds in ((4, [Kind.NEW_FAILURE]), (5, [])):
        now = state(records, started=records[-1].started)
        now = attrs.evolve(now, jobs=tuple(attrs.evolve(job, told=records[known].run_id) for job in now.jobs))
        found = of(tmp_path, now)
        assert [each.kind for each in found.regressions] == kinds
        assert [cell.change for cell in found.cells] == ["worse" if kinds else ""]


def test_what_never_held_is_no_regression_in_the_second_run_of_a_night_either(tmp_path) -> None:
    bad = {"test_boots": "failed"}
    filled(tmp_path, [night(5, tests=bad), night(5, tests=bad, again=1)])
    assert [each.kind for each in of(tmp_path).news] == [Kind.FIRST_FAILURE]


@pytest.mark.parametrize("verdict", ["LAB", "INCONCLUSIVE", None])
def test_a_complaint_that_was_heard_in_a_run_that_says_nothing_is_new_in_the_next(tmp_path, verdict) -> None:
    bad, boots = {"test_boots": "failed"}, (boot(findings=(OOPS,)),)
    spoilt = night(3, verdict or "LAB", boots=boots)
    spoilt = spoilt if verdict else attrs.evolve(spoilt, verdict=None, finished="")
    filled(tmp_path, [*(night(number) for number in range(3)), spoilt, night(4, tests=bad, boots=boots)])
    assert Kind.NEW_SIGNATURE in [each.kind for each in of(tmp_path).regressions]


def test_boot_times_of_one_board_are_not_told_as_those_of_another_that_shares_its_failed_build(tmp_path) -> None:
    records = [night(0), night(1, "BUILD", tests={}, boots=())]
    filled(tmp_path, records)
    now = state(records)
    shared = attrs.evolve(now.jobs[0], board="other", reason="not built, see rpi-6.12.y/default on desk")
    found = of(tmp_path, attrs.evolve(now, jobs=(shared, *now.jobs)))
    assert [trend.board for trend in found.trends] == ["desk"]
    assert [cell.verdict for cell in found.cells] == ["BUILD", "BUILD"]


def test_of_a_night_the_middle_and_where_eight_in_ten_boots_lie(tmp_path) -> None:
    boots = tuple(boot(float(login)) for login in range(20, 31))
    filled(tmp_path, [night(0, boots=(*boots, boot(99.0, control=True)))])
    with db.reading(tmp_path / db.NAME) as opened:
        (point,) = trends.points(opened, 1, since=0)
    assert (point.low, point.middle, point.high) == (21.0, 25.0, 29.0)


def test_an_empty_history_has_little_to_tell(tmp_path) -> None:
    filled(tmp_path, [])
    assert lines(of(tmp_path)) == ["1970-01-01: no regressions, nothing was run"]


# --- told once -------------------------------------------------------------------------------------------------------
def test_what_was_new_is_worked_out_once_and_again_when_an_earlier_run_is_imported(tmp_path, monkeypatch) -> None:
    bad = {**TESTS, "test_boots": "failed"}
    runs = written(tmp_path / "runs", night(0), night(3, tests=bad))
    history = tmp_path / "history.sqlite"
    importer.catch_up(history, runs)
    with db.reading(history) as opened:
        first = told.compared(opened, [2])
    told.keep(history, first)
    with monkeypatch.context() as patch, db.reading(history) as opened:
        patch.setattr(evidence, "compared", lambda *_: pytest.fail("it is known"))
        assert told.compared(opened, [2]) == first
    importer.catch_up(history, written(tmp_path / "runs", night(2, tests=bad)))
    with db.reading(history) as opened:
        (again,) = told.compared(opened, [2]).values()
    assert [change.kind for change in first[2].changes] == [Kind.NEW_FAILURE]
    assert [change.kind for change in again.changes] == [Kind.STILL_FAILING]


def test_a_run_that_goes_on_is_not_told_of_for_good(tmp_path) -> None:
    history = filled(tmp_path, [night(0), night(1, verdict=None, finished="")])
    with db.writing(history) as opened:
        opened.execute("UPDATE run SET verdict = NULL WHERE id = 2")
    with db.reading(history) as opened:
        told.keep(history, told.compared(opened, [2]))
        assert opened.execute("SELECT COUNT(*) FROM told").fetchone() == (0,)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({}, "it goes on; 0 answers so far"),
        ({"stopped": "the board is out"}, "the board is out"),
        ({"first_bad": ("8a1d3c5b9e0f7777",)}, "the first bad commit is 8a1d3c5b9e0f"),
        (
            {"first_bad": ("8a1d3c5b9e0f7777",), "confirmed": True, "finished": "2026-03-05T06:00:00Z"},
            "the first bad commit is 8a1d3c5b9e0f, and without it all is good",
        ),
        ({"first_bad": ("8a1d3c5b9e0f7777", "2")}, "one of 2 commits, from 8a1d3c5b9e0f on"),
    ],
)
def test_what_a_bisection_found_stands_with_what_broke(year, tmp_path, facts, said: str) -> None:
    folder = tmp_path / "bisect" / "b1"
    folder.mkdir(parents=True)
    found = State("b1", "2026-03-05T05:00:00Z", Question("rpi4-a", ("1",), "2"), **facts)
    (folder / "bisect.json").write_text(to_json(found))
    (folder / "report.html").touch()
    night_ = state(year[1])
    jobs = tuple(attrs.evolve(job, bisection="b1" * job.board.startswith("rpi4")) for job in night_.jobs)
    with db.reading(year[0] / db.NAME) as opened:
        morning = gather.gather(opened, tmp_path, attrs.evolve(night_, jobs=jobs)).morning
    assert [(each.name, each.said, each.published) for each in morning.bisections] == [("b1", said, True)]
    assert {each.bisections for each in morning.regressions} == {("b1",)}
    assert "../../bisect/b1/report.html" in render(morning)
