"""What a sequence of answers means: a flake is no regression, and a regression stays one until it is mended."""

from hypothesis import given
from hypothesis import strategies as st

from harness.nightly.sequence import CHANCE, Answer, Meaning, read

KERNELS = st.sampled_from(["", "a", "b", "c", "d"])
PAST = st.lists(st.tuples(st.booleans(), KERNELS), max_size=40).map(
    lambda given: [Answer(good, kernel, place) for place, (good, kernel) in enumerate(given)]
)


def nights(text: str) -> list[Answer]:
    """``+`` for good, ``-`` for bad, the newest first; each night another kernel."""
    return [Answer(sign == "+", f"k{place}", place) for place, sign in enumerate(text)]


@given(st.booleans(), KERNELS, PAST)
def test_good_is_never_broken_and_bad_never_mended(good, kernel, past) -> None:
    bad_news = {Meaning.BROKEN, Meaning.STILL, Meaning.FIRST}
    assert read(good, kernel, past).meaning not in (bad_news if good else {Meaning.FINE, Meaning.MENDED})


@given(KERNELS, PAST)
def test_what_broke_was_good_the_time_before(kernel, past) -> None:
    reading = read(False, kernel, past)
    if reading.meaning is Meaning.BROKEN:
        assert past[0].good
        assert (reading.bad_since, reading.last_good) == (None, 0)


@given(KERNELS, PAST)
def test_what_is_still_broken_was_bad_from_then_on(kernel, past) -> None:
    reading = read(False, kernel, past)
    if reading.meaning is Meaning.STILL:
        assert reading.bad_since is not None
        assert not any(each.good for each in past[: reading.bad_since + 1])
        assert reading.last_good in {None, reading.bad_since + 1}


@given(st.booleans(), PAST)
def test_the_same_kernel_with_another_answer_is_a_flake(good, past) -> None:
    past = [*past, Answer(not good, "this", len(past))]
    reading = read(good, "this", past)
    assert reading.meaning is Meaning.FLAKE or (good and past[0].good)


@given(st.booleans(), PAST)
def test_a_kernel_that_nobody_knows_is_no_other_run_again(good, past) -> None:
    assert "same kernel" not in read(good, "", past).why


@given(st.integers(1, 40), st.integers(1, 40))
def test_one_break_is_never_a_flake_however_long_it_lasts(bad, good) -> None:
    assert read(False, "now", nights("-" * bad + "+" * good)).meaning is Meaning.STILL
    assert read(True, "now", nights("-" * bad + "+" * good)).meaning is Meaning.MENDED


@given(st.integers(1, 10), st.integers(1, 10), st.integers(1, 10), st.integers(1, 10))
def test_what_broke_once_before_and_was_mended_may_break_again(first, mended, before, good) -> None:
    past = nights("+" * good + "-" * first + "+" * mended + "-" * before + "+" * 5)
    assert read(False, "now", past).meaning is Meaning.BROKEN


def test_what_fails_now_and_then_is_a_flake() -> None:
    reading = read(False, "now", nights("+-++++-+++-+++++"))
    assert reading.meaning is Meaning.FLAKE
    assert reading.why == "3 of 16 times it failed before, and passed again"


def test_a_flake_that_fails_too_often_in_a_row_is_broken() -> None:
    before = "+-++++-+++-+++++"
    meanings = [read(False, "now", nights("-" * streak + before)).meaning for streak in range(8)]
    streak = meanings.index(Meaning.STILL)
    assert meanings[:streak] == [Meaning.FLAKE] * streak
    assert set(meanings[streak:]) == {Meaning.STILL}
    rate = 4 / 18
    assert rate ** (streak + 1) <= CHANCE < rate**streak


def test_a_flake_that_passes_again_is_not_mended() -> None:
    assert read(True, "now", nights("-+++-+++-+++-++++")).meaning is Meaning.FLAKE


def test_a_kernel_that_gave_both_answers_marks_its_test_as_a_flake() -> None:
    past = [Answer(True, "c", 0), Answer(False, "b", 1), Answer(True, "b", 2), Answer(True, "a", 3)]
    assert read(False, "d", past).meaning is Meaning.FLAKE


def test_what_was_never_asked_before_is_no_regression() -> None:
    assert read(False, "now", []).meaning is Meaning.FIRST
    assert read(True, "now", []).meaning is Meaning.FINE
