"""Whether a board's boots have become slower: a rank test that knows the board's own spread. Pure.

Boots of one run share the night's temperature, load and card, so a run counts once: with how much longer than usual a
stage took in it (the median over its boots, each against the boots of the same number in other runs: the first after a
deploy, the reboot ...). The last few runs are compared with up to 90 before them by the one-sided Mann-Whitney test,
exactly, for windows of 3 to 34 runs: a large step is found by a short window, a small one by a long one. Nothing is
assumed of the noise but that its order is chance; where neighbours resemble each other (a warm week), the test is made
as much harder. And what is slower by less than a twentieth is nobody's alarm.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from operator import mul
from statistics import NormalDist, fmean, median

import attrs

from harness.model import STAGES

Stages = Mapping[str, float]
"""Boot stage -> seconds from power-on."""
Boots = Sequence[Stages]
"""Of one run, in order; the n-th boot of one run is compared with the n-th of the others."""

WHOLE = "boot"
"""From power-on to the login prompt."""
ASKED = (*STAGES, WHOLE)
WINDOWS = (3, 4, 5, 8, 13, 21, 34)  # runs
REFERENCE = 90  # runs before the window, at most
FALSE_ALARMS = 1 / 1000  # of one comparison, for all stages and windows together
ALPHA = FALSE_ALARMS / len(ASKED) / len(WINDOWS)
LEAST_SHARE = 0.05  # of the usual time
LEAST_S = 0.2  # seconds: of a stage that takes nothing
FLOOR_S = 0.05  # below that, times are the console's, not the board's
LEAST_REFERENCE = 20  # runs: a spread that is known from fewer is none
ODD_RUNS = 20  # that must be known before one run is called odd
_NORMAL = NormalDist()
_PLACES = {stage: place for place, stage in enumerate(STAGES)}


@attrs.frozen
class Slower:
    """A stage that takes longer than it did."""

    stage: str
    usual_s: float
    """Median of the runs before."""
    now_s: float
    """Median of the last *runs*."""
    runs: int
    first: int
    """Place of the oldest of these; 0 is the newest run."""
    before: int
    """How many runs *usual_s* is the median of."""
    spread: float
    """Of those, robust, as a share of *usual_s*."""
    p: float
    """How often chance alone brings this about."""

    @property
    def share(self) -> float:
        """How much longer it takes, as a share of the usual time."""
        return self.now_s / self.usual_s - 1 if self.usual_s else math.inf


def durations(stages: Stages) -> dict[str, float]:
    """Return how long each stage took since the one before it, whichever that was, and all of them together."""
    before, took = 0.0, {}
    for stage in sorted(stages, key=lambda stage: (stages[stage], _PLACES[stage])):
        took[stage], before = stages[stage] - before, stages[stage]
    return {**took, WHOLE: stages["login"]} if "login" in stages else took


def slower(runs: Sequence[Boots]) -> list[Slower]:
    """Return which stages have become slower in the last of *runs*, newest first; empty when nothing, or too little."""
    taken = [[durations(boot) for boot in boots] for boots in runs[: max(WINDOWS) + REFERENCE]]
    found = (_stage(stage, [[boot.get(stage) for boot in boots] for boots in taken]) for stage in ASKED)
    return [one for one in found if one]


def odd(runs: Sequence[Boots]) -> list[Slower]:
    """Return which stages took longer in the newest run than in any of those before, by far; no proof of anything."""
    taken = [[durations(boot) for boot in boots] for boots in runs[: 1 + REFERENCE]]
    found = (_odd(stage, [[boot.get(stage) for boot in boots] for boots in taken]) for stage in ASKED)
    return [one for one in found if one]


# --- one stage -------------------------------------------------------------------------------------------------------
Times = Sequence[Sequence[float | None]]
"""Run, boot -> seconds; None where the boot did not come so far."""


def _stage(stage: str, times: Times) -> Slower | None:
    levels = _levels(times)
    if not levels or levels[0] is None:
        return None
    known = [level for level in levels if level is not None]
    tried = ((_p(known[:size], known[size : size + REFERENCE]), size) for size in WINDOWS)
    p, size = min(tried)
    if p > ALPHA:
        return None
    found = _summary(stage, times, levels, size, p)
    return found if found.share >= LEAST_SHARE and found.now_s - found.usual_s >= LEAST_S else None


def _odd(stage: str, times: Times) -> Slower | None:
    levels = _levels(times)
    before = [level for level in levels[1:] if level is not None]
    if not levels or levels[0] is None or len(before) < ODD_RUNS or levels[0] <= max(before):
        return None
    found = _summary(stage, times, levels, 1, 1 / (len(before) + 1))
    far = levels[0] / median(before) - 1 > 5 * found.spread
    return found if far and found.share >= 2 * LEAST_SHARE and found.now_s - found.usual_s >= LEAST_S else None


def _levels(times: Times) -> list[float | None]:
    """Return for each run how many times the usual it took; None where nothing is known."""
    numbers = range(max(map(len, times), default=0))
    columns = [[boots[number] if number < len(boots) else None for boots in times] for number in numbers]
    rows = zip(*map(_against_usual, columns), strict=True)
    return [_middle(row) for row in rows]


def _against_usual(column: Sequence[float | None]) -> list[float | None]:
    usual = max(_middle(column) or 0.0, FLOOR_S)
    return [None if seconds is None else max(seconds, FLOOR_S) / usual for seconds in column]


def _middle(values: Sequence[float | None]) -> float | None:
    """Return the median of what is known: `statistics.median`, for thousands of rows of a few."""
    known = sorted([value for value in values if value is not None])
    half = len(known) // 2
    return (known[half] + known[~half]) / 2 if known else None


def _summary(stage: str, times: Times, levels: Sequence[float | None], size: int, p: float) -> Slower:
    """Say in seconds what *levels* say: the newest *size* runs against those before."""
    places = [place for place, level in enumerate(levels) if level is not None]
    known = [level for level in levels if level is not None]
    now, before = known[:size], known[size : size + REFERENCE]
    usual = median(before)
    whole = median(seconds for boots in times for seconds in boots if seconds is not None)
    level = median(known)
    return Slower(
        stage,
        usual_s=whole * usual / level,
        now_s=whole * median(now) / level,
        runs=size,
        first=places[size - 1],
        before=len(before),
        spread=1.4826 * _mad(before) / usual,
        p=p,
    )


def _mad(values: Sequence[float]) -> float:
    middle = median(values)
    return median(abs(value - middle) for value in values)


# --- the test --------------------------------------------------------------------------------------------------------
def _p(window: Sequence[float], reference: Sequence[float]) -> float:
    """Return how often chance alone puts a window as high above the reference.

    The larger one of two answers: the rank test's, to which it is all the same how the noise is spread, but not whether
    neighbours are alike; and the normal distribution's, with the variance that means of neighbours have.
    """
    size, others = len(window), len(reference)
    if others < max(LEAST_REFERENCE, 2 * size) or math.comb(size + others, size) * ALPHA < 1:
        return 1.0  # not even the clearest answer would do
    ordered = sorted(reference)
    wins = sum(bisect_left(ordered, value) + bisect_right(ordered, value) for value in window) / 2
    exact = _exact(size, others, size * others - math.floor(wins))
    return exact if exact > ALPHA else max(exact, _p_of_neighbours(window, reference))


def _p_of_neighbours(window: Sequence[float], reference: Sequence[float]) -> float:
    """Return the second answer, for logarithms: what is noise comes in per cent, and three up are not three down."""
    size, others = len(window), len(reference)
    window, reference = list(map(math.log, window)), list(map(math.log, reference))
    shift = median(value - other for value in window for other in reference)  # Hodges and Lehmann's
    alike = _alike(reference)
    of_means = _inflation(alike, size) / size + _inflation(alike, others) / others
    seen = 1 - _inflation(alike, others) / others  # neighbours differ less from their own mean than from the true one
    spread = 1.4826 * _mad(reference) / math.sqrt(max(seen, 0.05))
    freedom = max(others * (1 - alike**2) / (1 + alike**2) - 1, 1.0)
    return _p_of_student(shift / (spread * math.sqrt(of_means)), freedom) if spread else 0.0


def _p_of_student(t: float, freedom: float) -> float:
    """Return the upper tail of Student's distribution, by D. L. Wallace's approximation (1959)."""
    z = (8 * freedom + 1) / (8 * freedom + 3) * math.sqrt(freedom * math.log1p(t * t / freedom))
    return 1 - _NORMAL.cdf(math.copysign(z, t))


def _alike(values: Sequence[float]) -> float:
    """Return the rank correlation of neighbours, and its standard error on top: it is estimated too low."""
    ranks = _ranks(values)
    middle = fmean(ranks)
    centred = [rank - middle for rank in ranks]
    alike: float = sum(map(mul, centred, centred[1:])) / sum(map(mul, centred, centred))
    doubt = 1 / math.sqrt(len(ranks))
    return min(max(alike, 0.0) + 1.5 * doubt, 0.95)


def _inflation(alike: float, size: int) -> float:
    """Return by how much the variance of the mean of *size* neighbours exceeds that of strangers."""
    return 1 + 2 * sum((1 - lag / size) * alike**lag for lag in range(1, size))


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    for rank, index in enumerate(order):
        ranks[index] = rank
    return ranks


def _exact(size: int, others: int, losses: int) -> float:
    """Return the probability of at most *losses* pairs in which the window's value is the lower one."""
    tail = _tail(size, others)
    return tail[losses] if losses < len(tail) else 1.0


@lru_cache(maxsize=1024)
def _tail(size: int, others: int) -> tuple[float, ...]:
    """Return the probabilities of at most 0, 1, 2 ... losses, as far as they matter.

    The number of orders with u losses is the coefficient of q^u of the Gaussian binomial coefficient.
    """
    whole = math.comb(size + others, size)
    length = size * others // 2 + 1
    counts = [1] + [0] * (length - 1)
    for factor in range(1, size + 1):
        for losses in range(length - 1, others + factor - 1, -1):
            counts[losses] -= counts[losses - others - factor]
        for losses in range(factor, length):
            counts[losses] += counts[losses - factor]
    return tuple(_cumulated(counts, whole))


def _cumulated(counts: Sequence[int], whole: int) -> Iterator[float]:
    total = 0
    for count in counts:
        total += count
        yield total / whole
        if total / whole > 10 * ALPHA:
            return
