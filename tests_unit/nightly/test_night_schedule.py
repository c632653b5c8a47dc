"""The order of builds and runs: each job once, none before its kernel, no board idle beside a job it could run."""

from collections import Counter
from itertools import pairwise, permutations

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.nightly.night import schedule
from harness.nightly.night.schedule import Work

SECONDS = st.integers(1, 1000).map(float)


@attrs.frozen
class Lab:
    works: tuple[Work, ...]
    builds: dict[str, float]
    boards: dict[str, int]

    @property
    def forecast(self) -> schedule.Forecast:
        return schedule.forecast(self.works, self.order, self.builds, self.boards)

    @property
    def order(self) -> tuple[str, ...]:
        return schedule.order(self.works, self.builds, self.boards)


@st.composite
def labs(draw: st.DrawFn, *, builds: int = 9, several: bool = True) -> Lab:
    kernels = draw(st.dictionaries(st.sampled_from([f"k{n}" for n in range(builds)]), SECONDS, min_size=1))
    count = st.integers(1, 3) if several else st.just(1)
    boards = draw(st.dictionaries(st.sampled_from([f"b{n}" for n in range(5)]), count, min_size=1))
    pairs = draw(
        st.lists(st.tuples(st.sampled_from(sorted(boards)), st.sampled_from(sorted(kernels)), SECONDS), max_size=20)
    )
    works = tuple(Work(number, *pair) for number, pair in enumerate(pairs))
    return Lab(works, kernels, boards)


@given(labs())
def test_every_job_runs_once_and_every_kernel_is_built_once(lab: Lab) -> None:
    assert Counter(slot.work for slot in lab.forecast.slots) == Counter(lab.works)
    assert Counter(lab.order) == Counter(list(lab.builds))


@given(labs())
def test_no_job_runs_before_its_kernel_is_there(lab: Lab) -> None:
    expected = lab.forecast
    assert all(slot.start_s >= expected.built[slot.work.build] for slot in expected.slots)


@given(labs())
def test_a_board_runs_as_many_jobs_at_once_as_there_are_of_it(lab: Lab) -> None:
    slots = lab.forecast.slots
    for slot in slots:
        at_once = [
            other for other in slots
            if other.work.board == slot.work.board and other.start_s <= slot.start_s < other.end_s
        ]  # fmt: skip
        assert len(at_once) <= lab.boards[slot.work.board]


@given(labs(several=False))
def test_no_board_idles_while_a_kernel_for_it_is_there(lab: Lab) -> None:
    expected = lab.forecast
    for board in lab.boards:
        slots = [slot for slot in expected.slots if slot.work.board == board]
        for before, after in pairwise(slots):
            if after.start_s > before.end_s:  # it idled: everything that ran later was not there yet
                later = [slot for slot in slots if slot.start_s >= after.start_s]
                assert all(expected.built[slot.work.build] >= after.start_s for slot in later)


@settings(max_examples=30, deadline=None)
@given(labs(builds=5, several=False))
def test_of_a_few_kernels_the_order_is_the_best_there_is(lab: Lab) -> None:
    best = min(
        schedule.forecast(lab.works, order, lab.builds, lab.boards).seconds for order in permutations(lab.builds)
    )
    assert lab.forecast.seconds <= best + 1e-6


@settings(max_examples=30, deadline=None)
@given(labs())
def test_it_never_takes_longer_than_one_thing_after_the_other(lab: Lab) -> None:
    assert lab.forecast.seconds <= sum(lab.builds.values()) + sum(work.run_s for work in lab.works)


def test_a_free_board_takes_the_longest_job_that_is_ready() -> None:
    works = [Work(0, "a", "k", 5), Work(1, "a", "k", 9), Work(2, "b", "k", 20), Work(3, "a", "later", 30)]
    assert schedule.choose(works, "a", {"k"}.__contains__) == works[1]
    assert schedule.choose(works, "c", {"k"}.__contains__) is None


def test_what_was_left_the_night_before_comes_first_when_not_all_can_be_done() -> None:
    works = [Work(0, "a", "long", 500), Work(1, "b", "short", 10, urgent=True)]
    builds, boards = {"long": 100.0, "short": 100.0}, {"a": 1, "b": 1}
    assert schedule.order(works, builds, boards, budget_s=10_000) == ("long", "short")
    assert schedule.order(works, builds, boards, budget_s=300) == ("short", "long")
