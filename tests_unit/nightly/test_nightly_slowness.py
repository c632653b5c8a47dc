"""Slower boots: exact where it can be counted, silent where there is noise only, and 10 % is found."""

import math
from collections import Counter
from itertools import combinations

import noisyboots
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.nightly import slowness
from harness.nightly.slowness import ALPHA, REFERENCE, WHOLE, WINDOWS, durations, odd, slower

BACK = REFERENCE + max(WINDOWS)
STAGES = st.dictionaries(st.sampled_from(slowness.STAGES), st.floats(0, 1000), max_size=5)


def steady(*logins: float) -> list[list[dict[str, float]]]:
    """Runs with one boot each, the newest first."""
    return [[{"firmware": 2.0, "kernel": 3.0, "login": 3.0 + login}] for login in logins]


def spread(number: int) -> list[float]:
    """Times around 20 s, none twice, in an order that means nothing."""
    return [20 + 0.01 * (place * 37 % 100) for place in range(number)]


@given(STAGES)
def test_what_the_stages_took_adds_up_to_the_whole_boot(stages) -> None:
    took = durations(stages)
    assert all(seconds >= 0 for seconds in took.values())
    assert sum(took[stage] for stage in stages) == pytest.approx(max(stages.values(), default=0))
    assert took.get(WHOLE) == stages.get("login")


def test_a_stage_counts_from_the_one_before_it_whichever_that_was() -> None:
    """With an initramfs init runs before the root filesystem is there."""
    assert durations({"kernel": 1.5, "init": 9.8, "rootfs": 11.3}) == pytest.approx(
        {"kernel": 1.5, "init": 8.3, "rootfs": 1.5}
    )


@pytest.mark.parametrize(("size", "others"), [(1, 5), (3, 4), (2, 6), (4, 5)])
def test_the_exact_test_is_exact(size, others) -> None:
    orders = Counter(
        sum(other > chosen for chosen in window for other in set(range(size + others)) - set(window))
        for window in combinations(range(size + others), size)
    )
    whole = math.comb(size + others, size)
    for losses in range(size * others // 2):
        expected = sum(orders[each] for each in range(losses + 1)) / whole
        if expected <= 10 * ALPHA:
            assert slowness._exact(size, others, losses) == pytest.approx(expected)
        else:
            assert slowness._exact(size, others, losses) >= min(expected, 10 * ALPHA)


@pytest.mark.parametrize(("t", "freedom", "p"), [(4.144, 10, 0.001), (3.385, 30, 0.001), (8.610, 4, 0.0005)])
def test_the_tail_of_students_distribution_is_good_enough(t, freedom, p) -> None:
    """Values of a printed table."""
    assert slowness._p_of_student(t, freedom) == pytest.approx(p, rel=0.2)


def test_boots_that_all_take_the_same_are_no_alarm() -> None:
    assert slower(steady(*[20.0] * BACK)) == []
    assert odd(steady(*[20.0] * BACK)) == []


@given(st.lists(st.lists(STAGES, max_size=3), max_size=40))
def test_whatever_boots_there_were_it_is_no_fault(runs) -> None:
    slower(runs)
    odd(runs)


def test_a_large_step_is_found_by_three_runs() -> None:
    runs = steady(30.0, 30.2, 29.9, *spread(70))
    (whole,) = [one for one in slower(runs) if one.stage == WHOLE]
    assert (whole.runs, whole.first, whole.before) == (3, 2, 70)
    assert (whole.usual_s, whole.now_s) == (pytest.approx(23.5, abs=0.1), pytest.approx(33.0, abs=0.2))
    assert whole.p <= ALPHA


def test_one_slow_run_is_odd_and_no_alarm() -> None:
    runs = steady(40.0, *spread(60))
    assert slower(runs) == []
    assert {one.stage for one in odd(runs)} == {"login", WHOLE}


def test_what_is_slower_by_a_hair_is_no_alarm_however_sure_it_is() -> None:
    assert slower(steady(*[20.9] * 34, *spread(90))) == []


def test_a_stage_that_takes_nothing_may_take_twice_that() -> None:
    runs = [[{"firmware": 0.06 + 0.001 * place, "kernel": 1.0}] for place in range(60)]
    assert slower([[{"firmware": 0.2, "kernel": 1.14}]] * 8 + runs) == []


def test_too_few_runs_before_are_no_ground_for_an_alarm() -> None:
    assert slower(steady(*[40.0] * 5, *spread(slowness.LEAST_REFERENCE - 1))) == []
    assert slower(steady(*[40.0] * 5, *spread(slowness.LEAST_REFERENCE + 1))) != []


def test_a_first_boot_that_is_always_slower_is_compared_with_first_boots() -> None:
    """A run that was cut short has its slow first boot only."""
    runs = [[{"login": 30.0 + fine}, {"login": 20.0 + fine}] for fine in spread(60)]
    short = [[{"login": 30.0 + fine}] for fine in spread(5)]
    assert slower(short + runs) == []


def test_runs_without_boots_are_passed_over() -> None:
    runs = steady(*[30.0] * 3, *spread(70))
    with_gaps = [runs[0], [], runs[1], [], *runs[2:]]
    (whole,) = [one for one in slower(with_gaps) if one.stage == WHOLE]
    assert (whole.runs, whole.first) == (3, 4)


def test_faster_boots_are_no_alarm() -> None:
    assert slower(steady(*[10.0] * 10, *spread(60))) == []


# --- noise -----------------------------------------------------------------------------------------------------------
def alarms(runs: list) -> list[bool]:
    return [bool(slower(runs[max(0, night - BACK + 1) : night + 1][::-1])) for night in range(12, len(runs))]


@pytest.mark.parametrize("name", noisyboots.NOISES)
def test_noise_alone_is_no_alarm(name) -> None:
    """Two boards, 188 nights each; `bench/slowness.py` has the rate over many years."""
    for share in (0.02, 0.1):
        runs = noisyboots.runs(noisyboots.NOISES[name], seed=f"{name} {share}", spread=share, number=200, boots=2)
        assert sum(alarms(runs)) == 0


@pytest.mark.parametrize(("share", "within"), [(0.01, 3), (0.02, 4), (0.05, 25)])
def test_ten_per_cent_more_is_found_within_so_many_runs(share, within) -> None:
    for board in range(4):
        runs = noisyboots.runs(
            noisyboots.normal, seed=f"{share} {board}", spread=share, number=95 + within, slower_from=95
        )
        found = [slower(runs[: 95 + slow][::-1]) for slow in range(1, within + 1)]
        assert any(one.stage == "login" for each in found for one in each), board
