"""The test for slower boots: false alarms in 1,000 nights of nothing but noise, and runs until 10 % more is found.

For each kind of noise and each spread (of whole runs, as a share of the time a boot takes), boards of a year each: how
many nights bring an alarm that the night before had not, and how many any at all. `--boards N` for more of them.
"""

import argparse
import sys
from collections.abc import Iterator

from _common import ROOT, Figure, main, median, say

from harness.nightly.slowness import REFERENCE, WINDOWS, slower

sys.path.append(str(ROOT / "tests_unit"))
import noisyboots

NIGHTS, FIRST = 365, 12
LIMIT = 1.0  # false alarms in 1,000 nights
SPREADS = (0.02, 0.05, 0.15)
FOUND_SPREADS = (0.01, 0.02, 0.03, 0.05, 0.1)
PATIENCE = 60  # runs
BACK = REFERENCE + max(WINDOWS)


def figures() -> Iterator[Figure]:
    """Yield the rate of each noise over all spreads, then how many runs it takes, in the median."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--boards", type=int, default=4, metavar="N", help="of each kind; default: %(default)s")
    boards = parser.parse_args().boards
    for name, noise in noisyboots.NOISES.items():
        counts = [_alarms(noise, f"{name} {spread} {board}", spread) for spread in SPREADS for board in range(boards)]
        new, any_ = (sum(column) for column in zip(*counts, strict=True))
        nights = len(counts) * (NIGHTS - FIRST)
        say(f"{name}: {new} new alarms, {any_} nights with one, of {nights}")
        yield Figure(f"slowness.false_alarms.{name}", 1000 * new / nights, "‰", LIMIT)
    for spread in FOUND_SPREADS:
        took = sorted(_found(f"{spread} {board}", spread) for board in range(5 * boards))
        say(f"spread {spread:.0%}: 9 of 10 found after {took[len(took) * 9 // 10 - 1]} runs")
        yield Figure(f"slowness.found_after.{spread:.2f}", median(took), "n")


def _alarms(noise: object, seed: str, spread: float) -> tuple[int, int]:
    runs = noisyboots.runs(noise, seed=seed, spread=spread, number=NIGHTS)
    alarms = [bool(slower(runs[max(0, night - BACK + 1) : night + 1][::-1])) for night in range(FIRST, NIGHTS)]
    new = sum(now and not before for before, now in zip([False, *alarms], alarms, strict=False))
    return new, sum(alarms)


def _found(seed: str, spread: float) -> int:
    """Return after how many slow runs it is told that the login takes longer."""
    runs = noisyboots.runs(noisyboots.normal, seed=seed, spread=spread, number=95 + PATIENCE, slower_from=95)
    for slow in range(1, PATIENCE):
        found = slower(runs[max(0, 95 + slow - BACK) : 95 + slow][::-1])
        if any(one.stage in {"login", "boot"} for one in found):
            return slow
    return PATIENCE


if __name__ == "__main__":
    main(figures())
