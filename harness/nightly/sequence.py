"""What the newest answer to one question means, after all that came before it: broken, mended, or a flake. Pure.

The question may be a test, a module that ought to be there, or a device. Only answers that say something about the
kernel are in a sequence; what the bench had a hand in is left out before.
"""

import enum
from collections import defaultdict
from collections.abc import Sequence

import attrs

CHANCE = 1 / 1000  # a flake that fails more often in a row than this would explain is one no more
EPISODES = 3  # a test that broke and was mended so many times among the last RECENT answers is a flake
RECENT = 30


@attrs.frozen
class Answer:
    """One answer, and where it was given."""

    good: bool
    kernel: str
    """Key of the build; empty if nobody knows, then it equals no other."""
    run: int
    """Place of the run: 0 is the newest before the one that is asked about."""


class Meaning(enum.StrEnum):
    """What the newest answer means."""

    FINE = "fine"
    BROKEN = "broken"
    """Good before, and now it is not."""
    STILL = "still broken"
    FIRST = "first asked"
    """Not good, and it was never asked before."""
    MENDED = "mended"
    FLAKE = "flake"


@attrs.frozen
class Reading:
    """A meaning, and what it rests on."""

    meaning: Meaning
    bad_since: int | None = None
    """Place of the first run of those in a row that were not good; None: it is the newest."""
    last_good: int | None = None
    why: str = ""
    """For a flake: how it is known to be one."""


def read(good: bool, kernel: str, past: Sequence[Answer]) -> Reading:
    """Return what it means that the answer is *good* of *kernel*, after *past*, the newest first."""
    last_good = next((each.run for each in past if each.good), None)
    why = _flaky(good, kernel, past)
    if good:
        if not past or past[0].good:
            return Reading(Meaning.FINE, last_good=last_good)
        return Reading(Meaning.FLAKE if why else Meaning.MENDED, _since(past), last_good, why)
    if not past:
        return Reading(Meaning.FIRST)
    if why:
        return Reading(Meaning.FLAKE, _since(past), last_good, why)
    return Reading(Meaning.BROKEN if past[0].good else Meaning.STILL, _since(past), last_good)


def _since(past: Sequence[Answer]) -> int | None:
    """Return where the bad answers began that are the newest of *past*; None when the newest is good."""
    streak = _streak(past)
    return past[streak - 1].run if streak else None


def _streak(past: Sequence[Answer]) -> int:
    return next((number for number, each in enumerate(past) if each.good), len(past))


def _flaky(good: bool, kernel: str, past: Sequence[Answer]) -> str:
    """Return how the answer is known to be a flake; empty if it is none."""
    same = [each for each in past if kernel and each.kernel == kernel]
    if any(each.good != good for each in same):
        return "the same kernel, on the same board, was asked before and answered otherwise"
    streak = _streak(past)
    before, length = past[streak : streak + RECENT], streak + (not good)
    bad = sum(not each.good for each in before)
    if not bad or not (_contradicts_itself(before) or _episodes(before) >= EPISODES):
        return ""
    rate = (bad + 1) / (len(before) + 2)
    return f"{bad} of {len(before)} times it failed before, and passed again" if rate**length > CHANCE else ""


def _contradicts_itself(past: Sequence[Answer]) -> bool:
    """Return whether one kernel gave both answers."""
    given = defaultdict(set)
    for each in past:
        given[each.kernel].add(each.good)
    return any(len(answers) > 1 for kernel, answers in given.items() if kernel)


def _episodes(past: Sequence[Answer]) -> int:
    """Return how many times in a row or alone it was not good."""
    return sum(not each.good and (number == 0 or past[number - 1].good) for number, each in enumerate(past))
