"""Test by test what a program of kselftest has said, whole, nested, and cut off."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.verdict import ktap

DATA = Path(__file__).parent.parent / "data" / "checks"


def told(text: str, status: int = 0) -> list[tuple[str, str, str]]:
    return [("::".join(one.path), one.outcome, one.said) for one in ktap.read(text, status)]


def whole(text: str, status: int = 0) -> tuple[str, str]:
    return told(text, status)[-1][1:]


def outcomes(text: str, status: int = 0) -> dict[str, str]:
    return {name: outcome for name, outcome, _ in told(text, status)}


# --- one line --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("line", "result"),
    [
        ("ok 1 size", ("size", "passed", "")),
        ("ok 1 - size", ("size", "passed", "")),
        ("not ok 2 check_rearm", ("check_rearm", "failed", "")),
        ("ok", ("unnamed", "passed", "")),
        ("ok 7", ("7", "passed", "")),
        ("ok 3 # SKIP CLOCK_TAI", ("CLOCK_TAI", "skipped", "CLOCK_TAI")),
        ("ok 3 huge pages # SKIP none configured", ("huge pages", "skipped", "none configured")),
        ("not ok 3 flaky # XFAIL known", ("flaky", "xfailed", "known")),
        ("not ok 3 later # TODO", ("later", "xfailed", "")),
        ("not ok 3 slow # TIMEOUT 45 seconds", ("slow", "failed", "45 seconds")),
        ("not ok 3 selftests: timers: x # exit=1", ("selftests: timers: x", "failed", "exit=1")),
        ("ok 4 12 monkeys", ("12 monkeys", "passed", "")),
        ("ok 1st try", ("1st try", "passed", "")),
        ("ok 2 a # b", ("a", "passed", "b")),
    ],
)
def test_a_line_is_a_test_with_its_outcome(line: str, result: tuple[str, str, str]) -> None:
    assert told(line)[0] == result


@pytest.mark.parametrize(
    "line", ["okay 1 x", "# a remark", "not okay", "nok 1 x", "", "1..x", "#  OK global.x", "OK 1 x"]
)
def test_all_else_is_no_test(line: str) -> None:
    assert [name for name, *_ in told(line)] == [""]


# --- nesting ---------------------------------------------------------------------------------------------------------
NESTED = """KTAP version 1
1..2
  KTAP version 1
  1..2
    KTAP version 1
    1..1
    ok 1 innermost
  ok 1 inner
  not ok 2 other
not ok 1 outer
ok 2 last
"""


def test_subtests_carry_the_names_of_those_they_belong_to() -> None:
    assert outcomes(NESTED) == {
        "outer::inner::innermost": "passed",
        "outer::inner": "passed",
        "outer::other": "failed",
        "outer": "failed",
        "last": "passed",
        "": "failed",
    }


def test_kselftest_nests_by_remarks() -> None:
    text = "TAP version 13\n1..1\n# TAP version 13\n# 1..1\n# ok 1 sub\nok 1 selftests: size: get_size\n"
    assert list(outcomes(text)) == ["selftests: size: get_size::sub", "selftests: size: get_size", ""]


def test_a_script_that_calls_several_programs_has_a_plan_for_each() -> None:
    one = "TAP version 13\n1..1\nok 1 futex_wait\n"
    assert outcomes(one + "some text\n" + one) == {"futex_wait": "passed", "futex_wait (2)": "passed", "": "passed"}


# --- how a program ends ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "status", "end"),
    [
        ("1..1\nok 1 a\n", 0, ("passed", "")),
        ("ok 1 a\nok 2 b\n1..2\n", 0, ("passed", "")),
        ("no TAP at all\n", 0, ("passed", "")),
        ("no TAP at all\n", 1, ("failed", "status 1")),
        ("1..0 # SKIP Time namespaces are not supported\n", 4, ("skipped", "Time namespaces are not supported")),
        ("Test Skipped!\n", 4, ("skipped", "")),
        ("1..2\nok 1 # SKIP x\nok 2 # SKIP y\n", 0, ("skipped", "x")),
        ("1..2\nok 1 # SKIP x\nok 2 b\n", 0, ("passed", "")),
        ("1..1\nnot ok 1 a\n", 0, ("failed", "1 of 1 failed")),
        ("1..1\nok 1 a\n", 139, ("failed", "status 139")),
        ("1..3\nok 1 a\n", 124, ("failed", "did not end in time")),
        ("1..3\nok 1 a\n", 137, ("failed", "did not end in time")),
        ("1..3\nok 1 a\n", 0, ("failed", "2 results are missing")),
        ("1..1\n  1..2\n  ok 1 a\nok 1 b\n", 0, ("failed", "1 results are missing")),
        ("Bail out! no clock\n1..1\n", 1, ("failed", "Bail out! no clock")),
    ],
)
def test_status_plan_and_tests_decide_about_the_program(text: str, status: int, end: tuple[str, str]) -> None:
    assert whole(text, status) == end


def test_subtests_whose_own_test_never_came_stand_alone() -> None:
    assert outcomes("1..1\n  1..2\n  ok 1 a\n", 137) == {"a": "passed", "": "failed"}


# --- real ones, recorded from virtual-rpi3 ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "status", "tests", "failed", "end"),
    [
        ("posix_timers", 1, 18, 3, ("failed", "3 of 18 failed")),
        ("futex-run.sh", 0, 48, 3, ("failed", "3 of 48 failed")),
        ("kcmp_test", 0, 0, 0, ("failed", "3 results are missing")),
        ("mincore_selftest", 0, 5, 0, ("passed", "")),
        ("hwcap", 0, 168, 0, ("passed", "")),
        ("timens", 4, 0, 0, ("skipped", "Time namespaces are not supported")),
        ("vdso_test_getrandom", 1, 1, 0, ("failed", "Bail out! Assertion failed: unshare(CLONE_NEWTIME) == 0")),
    ],
)
def test_recorded_programs(name: str, status: int, tests: int, failed: int, end: tuple[str, str]) -> None:
    *inner, program = ktap.read((DATA / f"kselftest-{name}.txt").read_text(), status)
    assert (len(inner), len(ktap.failures(inner))) == (tests, failed)
    assert (program.outcome, program.said[: len(end[1])]) == end
    assert len({one.path for one in inner}) == tests


# --- anything --------------------------------------------------------------------------------------------------------
LINES = st.sampled_from(
    ["ok 1 a", "not ok 2 b", "1..2", "1..0", "TAP version 13", "  ok 1 c", "# not ok 1 d", "# ", "x"]
)


@given(st.lists(LINES | st.text(max_size=20)), st.integers(0, 255))
def test_whatever_comes_each_test_has_one_name_and_the_program_is_last(lines: list[str], status: int) -> None:
    *inner, program = ktap.read("\n".join(lines), status)
    assert program.path == ()
    assert len({one.path for one in inner}) == len(inner)
    assert all(one.path and len(one.path[-1]) <= ktap.LONGEST + 12 for one in inner)


def test_of_more_tests_than_anybody_wrote_those_that_failed_are_told() -> None:
    *inner, program = ktap.read("".join(f"ok {number} a\n" for number in range(2 * ktap.MOST)) + "not ok 1 last\n", 0)
    assert len(inner) == ktap.MOST
    assert (inner[0].path, inner[0].outcome, program.outcome) == (("last",), "failed", "failed")


def test_tests_that_stand_ever_further_in_take_no_time() -> None:
    began = time.monotonic()
    ktap.read("".join(f"{'  ' * depth}ok 1 a\n" for depth in range(3000, 0, -1)) + "ok 1 b\n", 0)
    ktap.read("".join(f"{'  ' * depth}ok 1 a\n" for depth in range(3000)) + "ok 1 b\n", 0)
    assert time.monotonic() - began < 5


@given(st.integers(0, len(NESTED) - 1))
def test_cut_off_anywhere_the_rest_is_missed_or_failed(at: int) -> None:
    """But for the last line end, and for nothing at all: a program may say nothing."""
    assert whole(NESTED[:at])[0] == ("failed" if "1..2" in NESTED[:at] else "passed")
