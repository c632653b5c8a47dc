"""What is new in a run: rules over values, none of which lets the bench speak for or against a kernel."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.nightly import compare as comparing
from harness.nightly.compare import Change, Comparison, Kind
from harness.nightly.views import Answered, Past, Ref, RunView, Seen

GOOD, BAD, NONE = Answered(True), Answered(False, "failed", "KERNEL", "1 != 2"), Answered(None, "error", "LAB", "gone")
SKIPPED = Answered(None, "skipped")
VERDICTS = st.sampled_from(["", "PASS", "KERNEL", "DEPLOY", "LAB", "BUILD", "INCONCLUSIVE"])
ANSWERS = st.sampled_from([GOOD, BAD, NONE, SKIPPED])
EQUAL = st.sampled_from([{"toolchain": "gcc 12"}, {"toolchain": "gcc 13"}])


def run(number: int, verdict: str = "PASS", **facts: object) -> RunView:
    """Run *number*; larger is newer."""
    known = {"kernel": f"k{number}", "equal": {"toolchain": "gcc 12"}, "tests": {"t": GOOD}}
    return RunView(Ref(f"run{number}", number, verdict, f"{number:040x}"), **{**known, **facts})


RUNS = st.builds(
    lambda number, verdict, equal, tests, modules: run(
        number, verdict, equal=equal, tests=tests, there={"modules": modules}
    ),
    st.integers(0, 99),
    VERDICTS,
    EQUAL,
    st.dictionaries(st.sampled_from("tuv"), ANSWERS),
    st.frozensets(st.sampled_from(["vc4", "dummy", "loop"])),
)


def compare(now: RunView, *before: RunView, against: RunView | None = None) -> Comparison:
    return comparing.compare(now, Past(before), against=against)


def only(found: Comparison) -> Change:
    (change,) = found.changes
    return change


# --- the bench -------------------------------------------------------------------------------------------------------
@given(st.lists(RUNS, max_size=8), RUNS)
def test_a_run_in_which_the_bench_failed_brings_neither_regression_nor_fix(past, now) -> None:
    now = attrs.evolve(now, ref=attrs.evolve(now.ref, verdict="LAB"))
    found = compare(now, *past)
    assert found.changes == ()
    assert "says nothing about the kernel" in found.silent


@given(st.lists(RUNS, max_size=8), RUNS)
def test_what_the_bench_spoilt_is_told_and_counts_for_nothing(past, now) -> None:
    now = attrs.evolve(now, tests={**now.tests, "t": NONE})
    changes = [change for change in compare(now, *past).changes if change.subject == "t"]
    assert {change.kind for change in changes} <= {Kind.BENCH}


@given(st.lists(RUNS, max_size=8), st.lists(RUNS, max_size=4), RUNS)
def test_runs_that_say_nothing_change_nothing_that_is_said_of_another(past, silent, now) -> None:
    out = [attrs.evolve(each, ref=attrs.evolve(each.ref, verdict="LAB")) for each in silent]
    with_them = [each for pair in zip(past, out, strict=False) for each in pair] + past[len(out) :] + out[len(past) :]
    assert compare(now, *with_them) == compare(now, *past)


@given(st.lists(RUNS, max_size=8), RUNS)
def test_a_regression_was_good_before_and_a_fix_was_bad(past, now) -> None:
    spoken = [each for each in past if not each.silent]
    for change in compare(now, *past).changes:
        before = [each.tests[change.subject].good for each in spoken if change.subject in each.tests]
        if change.kind is Kind.NEW_FAILURE:
            assert True in before
            assert now.tests[change.subject].good is False
        if change.kind is Kind.FIXED and change.subject in "tuv":
            assert False in before
            assert now.tests[change.subject].good


def test_a_board_whose_control_boot_failed_is_out_and_that_is_said() -> None:
    found = compare(run(2, "LAB", control_failed="6.1-good: silent", tests={"t": BAD}), run(1))
    assert found.silent == "the board is out: the known-good kernel does not boot on it either (6.1-good: silent)"
    assert found.changes == ()


def test_a_run_that_was_killed_is_not_compared() -> None:
    assert "killed" in compare(run(2, "", tests={"t": BAD}), run(1)).silent


# --- tests -----------------------------------------------------------------------------------------------------------
def test_a_test_that_fails_and_passed_last_is_a_regression_with_its_last_good_run() -> None:
    found = compare(run(3, "KERNEL", tests={"t": BAD}), run(2), run(1))
    assert only(found) == Change(Kind.NEW_FAILURE, "t", "1 != 2", None, run(2).ref)
    assert found.against == run(2).ref
    assert [change.subject for change in found.regressions] == ["t"]


def test_a_spoilt_night_in_between_does_not_hide_when_it_broke() -> None:
    found = compare(
        run(4, "KERNEL", tests={"t": BAD}), run(3, "INCONCLUSIVE", tests={"t": NONE}), run(2, "LAB"), run(1)
    )
    assert (only(found).kind, only(found).last_good) == (Kind.NEW_FAILURE, run(1).ref)


def test_what_fails_since_last_week_is_no_regression_today() -> None:
    past = [run(number, "KERNEL", tests={"t": BAD}) for number in (5, 4, 3)]
    change = only(compare(run(6, "KERNEL", tests={"t": BAD}), *past, run(2)))
    assert (change.kind, change.since, change.last_good, change.regression) == (
        Kind.STILL_FAILING, past[2].ref, run(2).ref, False,
    )  # fmt: skip


def test_the_last_good_run_may_lie_before_all_that_are_looked_at() -> None:
    past = Past((run(2, "KERNEL", tests={"t": BAD}),), {"t": run(0).ref})
    assert only(comparing.compare(run(3, "KERNEL", tests={"t": BAD}), past)).last_good == run(0).ref


def test_a_test_that_never_passed_is_no_regression() -> None:
    change = only(compare(run(2, "KERNEL", tests={"t": GOOD, "new": BAD}), run(1)))
    assert (change.kind, change.subject, change.regression) == (Kind.FIRST_FAILURE, "new", False)


def test_what_passes_again_is_fixed() -> None:
    bad = run(2, "KERNEL", tests={"t": BAD})
    change = only(compare(run(3), bad, run(1)))
    assert (change.kind, change.since) == (Kind.FIXED, bad.ref)


def test_the_same_kernel_with_two_answers_is_a_flake() -> None:
    change = only(compare(run(3, "KERNEL", kernel="k2", tests={"t": BAD}), run(2), run(1)))
    assert (change.kind, change.regression) == (Kind.FLAKE, False)


def test_a_test_that_was_repeated_is_a_flake_though_it_passed() -> None:
    now = run(2, "INCONCLUSIVE", tests={"t": attrs.evolve(GOOD, retried="LAB (the bench failed)")})
    assert only(compare(now, run(1))) == Change(
        Kind.FLAKE, "t", "repeated; the attempt before was LAB (the bench failed)"
    )


def test_a_build_that_fails_is_one_regression_and_not_one_of_each_test() -> None:
    built = Answered(True)
    broken = {"build": Answered(False, "failed", "BUILD", "x.c:1: error"), "t": Answered(None, "error", "BUILD", "")}
    found = compare(run(2, "BUILD", kernel="", tests=broken), run(1, tests={"build": built, "t": GOOD}))
    assert (only(found).kind, only(found).subject) == (Kind.NEW_FAILURE, "build")


@pytest.mark.parametrize(("after", "how"), [({}, "not run"), ({"t": SKIPPED}, "skipped")])
def test_a_test_that_is_no_longer_asked_is_told(after, how) -> None:
    assert only(compare(run(2, tests=after), run(1))) == Change(Kind.NOT_ASKED, "t", how, None, run(1).ref)


# --- all else equal --------------------------------------------------------------------------------------------------
def test_a_run_is_compared_with_those_that_differ_in_the_kernel_alone() -> None:
    """Of two toolchains that take turns, one has failed for long."""
    other = {"toolchain": "gcc 13"}
    past = [run(3, equal=other), run(2, "KERNEL", tests={"t": BAD}), run(1, equal=other), run(0)]
    found = compare(run(4, "KERNEL", tests={"t": BAD}), *past)
    assert (only(found).kind, only(found).last_good, found.against) == (Kind.STILL_FAILING, run(0).ref, run(0).ref)
    assert found.differs == ()


def test_where_no_such_run_is_good_the_others_count_and_the_difference_is_told() -> None:
    found = compare(run(2, "KERNEL", equal={"toolchain": "gcc 13"}, tests={"t": BAD}), run(1))
    assert only(found).kind is Kind.NEW_FAILURE
    assert found.differs == ("toolchain: gcc 12 -> gcc 13",)


def test_against_one_run_the_others_do_not_count() -> None:
    past = [run(2, "KERNEL", tests={"t": BAD}), run(1)]
    found = compare(run(3, "KERNEL", tests={"t": BAD}), *past, against=run(1))
    assert (only(found).kind, found.against) == (Kind.NEW_FAILURE, run(1).ref)


def test_against_a_run_that_says_nothing_there_is_nothing_to_say() -> None:
    found = compare(run(2, "KERNEL", tests={"t": BAD}), against=run(1, "LAB"))
    assert found.silent.startswith("run1: the bench failed")


def test_what_nobody_knows_of_a_run_is_no_difference() -> None:
    now = run(2, "BUILD", kernel="", equal={"toolchain": "gcc 12", "base image": ""}, tests={})
    assert compare(now, run(1, equal={"toolchain": "gcc 12", "base image": "bookworm"})).differs == ()


# --- what the kernel said, what is there -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("severity", "fault", "before", "verdict", "kind"),
    [
        ("warning", "KERNEL", False, "KERNEL", Kind.NEW_SIGNATURE),
        ("error", "DEPLOY", False, "DEPLOY", Kind.NEW_SIGNATURE),
        ("warning", "KERNEL", True, "KERNEL", None),
        ("info", "KERNEL", False, "PASS", None),
        ("warning", "LAB", False, "PASS", Kind.BENCH),
        ("error", "KERNEL", False, "INCONCLUSIVE", Kind.BENCH),
    ],
)
def test_only_what_the_kernel_never_said_before_is_a_new_complaint(severity, fault, before, verdict, kind) -> None:
    now = run(2, verdict, seen=(Seen("warning: x", severity, fault, "WARNING in x", before),))
    assert [change.kind for change in compare(now, run(1)).changes] == ([kind] if kind else [])


def test_in_a_first_run_no_complaint_is_new() -> None:
    assert compare(run(1, "KERNEL", seen=(Seen("oops: x", "error", "KERNEL", "x", before=False),))).changes == ()


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("built", Kind.MISSING_MODULE), ("modules", Kind.MISSING_MODULE), ("devices", Kind.MISSING_DEVICE),
        ("clocks", Kind.MISSING),
    ],
)  # fmt: skip
def test_what_was_there_and_is_not_is_missing(kind, change) -> None:
    past = [run(number, there={kind: frozenset({"vc4", "dummy"})}) for number in (2, 1)]
    found = only(compare(run(3, there={kind: frozenset({"dummy"})}), *past))
    assert (found.kind, found.subject, found.regression) == (change, "vc4", True)
    later = only(compare(run(4, there={kind: frozenset({"dummy"})}), run(3, there={kind: frozenset({"dummy"})}), *past))
    assert (later.kind, later.since, later.last_good) == (Kind.STILL_MISSING, run(3).ref, run(2).ref)


def test_what_comes_and_goes_is_not_missing() -> None:
    past = [run(number, there={"devices": frozenset({"hub"} if number % 3 else ())}) for number in range(12, 0, -1)]
    found = only(compare(run(13, there={"devices": frozenset()}), *past))
    assert (found.kind, found.regression) == (Kind.FLAKE, False)


def test_where_nobody_looked_nothing_is_missing() -> None:
    assert compare(run(2), run(1, there={"devices": frozenset({"hub"})})).changes == ()


def test_what_is_new_on_a_board_is_nothing_to_tell() -> None:
    now = run(2, there={"devices": frozenset({"hub", "nvme"})})
    assert compare(now, run(1, there={"devices": frozenset({"hub"})})).changes == ()


# --- boots -----------------------------------------------------------------------------------------------------------
def booted(number: int, login: float, **facts: object) -> RunView:
    return run(number, boots=({"kernel": 1.0, "login": 1.0 + login + 0.01 * (number * 37 % 100)},), **facts)


def test_a_stage_that_is_slower_is_news_once() -> None:
    past = [booted(number, 20.0) for number in range(70, 0, -1)]
    slow = [booted(number, 30.0) for number in (73, 72, 71)]
    found = compare(slow[0], *slow[1:], *past)
    assert [(change.kind, change.subject, change.since) for change in found.regressions] == [
        (Kind.SLOWER, "login", run(71).ref),
        (Kind.SLOWER, "boot", run(71).ref),
    ]
    again = compare(booted(74, 30.0), *slow, *past)
    assert {change.kind for change in again.changes} == {Kind.STILL_SLOWER}


def test_boots_under_another_system_are_no_yardstick() -> None:
    past = [booted(number, 20.0, equal={"base image": "bookworm"}) for number in range(70, 0, -1)]
    slow = [booted(number, 30.0, equal={"base image": "trixie"}) for number in (73, 72, 71)]
    assert compare(slow[0], *slow[1:], *past).changes == ()


def test_one_slow_night_is_told_and_no_regression() -> None:
    found = compare(booted(61, 40.0), *(booted(number, 20.0) for number in range(60, 0, -1)))
    assert {change.kind for change in found.changes} == {Kind.ODD}
    assert found.regressions == ()


@given(st.lists(RUNS, max_size=8), RUNS)
def test_changes_come_with_the_worst_first(past, now) -> None:
    order = [list(Kind).index(change.kind) for change in compare(now, *past).changes]
    assert order == sorted(order)
