"""Boots of a board that has noise and nothing else, and of one that became slower: what the statistics are tried on."""

import math
import random
from collections.abc import Callable, Iterator

from harness.nightly.slowness import Boots

TAKES = {"firmware": 2.0, "kernel": 1.5, "rootfs": 3.0, "init": 0.5, "login": 14.0}  # seconds
FIRST = 1.1  # the first boot after a deploy takes so much longer
OF_ONE_BOOT = 0.7  # spread of single boots, as a share of the spread of whole runs


def normal(rng: random.Random, spread: float, number: int) -> list[float]:
    return [rng.gauss(0, spread) for _ in range(number)]


def skewed(rng: random.Random, spread: float, number: int) -> list[float]:
    """Boots take longer now and then, never much less."""
    return [spread * (rng.expovariate(1) - 1) for _ in range(number)]


def heavy(rng: random.Random, spread: float, number: int) -> list[float]:
    """Student's distribution with three degrees of freedom."""
    return [spread / 1.2 * rng.gauss(0, 1) / math.sqrt(rng.gammavariate(1.5, 2) / 3) for _ in range(number)]


def hiccups(rng: random.Random, spread: float, number: int) -> list[float]:
    """One night in twenty takes half as long again."""
    return [rng.gauss(0, spread) + 0.4 * (rng.random() < 0.05) for _ in range(number)]


def two_states(rng: random.Random, spread: float, number: int) -> list[float]:
    """Three nights in ten something is waited for."""
    return [rng.gauss(0, spread) + 0.25 * (rng.random() < 0.3) for _ in range(number)]


def weekends(rng: random.Random, spread: float, number: int) -> list[float]:
    """The lab host has other work on two nights of seven."""
    return [rng.gauss(0, spread) + 0.1 * (night % 7 >= 5) for night in range(number)]


def warm_weeks(rng: random.Random, spread: float, number: int) -> list[float]:
    """Each night resembles the one before: correlation 0.6."""
    level, found = 0.0, []
    for _ in range(number):
        level = 0.6 * level + rng.gauss(0, 0.8 * spread)
        found.append(level)
    return found


NOISES = {noise.__name__: noise for noise in (normal, skewed, heavy, hiccups, two_states, weekends, warm_weeks)}


def runs(
    noise: Callable[[random.Random, float, int], list[float]],
    *,
    seed: str,
    spread: float,
    number: int,
    slower_from: int | None = None,
    factor: float = 1.1,
    boots: int = 4,
) -> list[Boots]:
    """Return the boots of *number* runs, the oldest first; from one run on, login takes *factor* times as long."""
    rng = random.Random(seed)
    found = []
    for night, shared in enumerate(noise(rng, spread, number)):
        step = factor if slower_from is not None and night >= slower_from else 1.0
        found.append([dict(_boot(rng, shared, spread, step, first=boot == 0)) for boot in range(boots)])
    return found


def _boot(rng: random.Random, shared: float, spread: float, step: float, *, first: bool) -> Iterator[tuple[str, float]]:
    at = 0.0
    for stage, seconds in TAKES.items():
        noise = math.exp(shared + rng.gauss(0, OF_ONE_BOOT * spread))
        at += seconds * noise * (FIRST if first else 1.0) * (step if stage == "login" else 1.0)
        yield stage, at
