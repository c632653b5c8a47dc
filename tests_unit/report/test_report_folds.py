"""A folded console is whole."""

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.report import folds

RANGES = st.lists(st.tuples(st.integers(-50, 3000), st.integers(0, 200)).map(lambda each: (each[0], sum(each))))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2500), RANGES, st.integers(1, 500))
def test_every_line_is_in_exactly_one_part_and_they_are_in_order(count: int, wanted, largest: int) -> None:
    parts = folds.parts(count, wanted, largest=largest)
    assert [line for part in parts for line in range(part.first, part.last + 1)] == list(range(1, count + 1))
    assert all(part.size <= largest for part in parts if not part.shown)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 2500), RANGES)
def test_what_is_wanted_is_shown(count: int, wanted) -> None:
    shown = {line for part in folds.parts(count, wanted) if part.shown for line in range(part.first, part.last + 1)}
    assert {line for first, last in wanted for line in range(first, last + 1) if 1 <= line <= count} <= shown


def test_a_short_console_is_shown_whole() -> None:
    assert folds.parts(folds.SHORT, []) == [folds.Part(1, folds.SHORT, shown=True)]


def test_a_gap_of_a_few_lines_is_not_folded() -> None:
    assert [part.shown for part in folds.parts(300, [(1, 100), (108, 300)])] == [True]


def test_a_long_one_is_folded_around_what_matters() -> None:
    parts = folds.parts(1000, [(500, 510)])
    assert [(part.first, part.last, part.shown) for part in parts] == [
        (1, 499, False),
        (500, 510, True),
        (511, 1000, False),
    ]
