"""What a night costs beside its children, and how good its order is: the limits are 1 s a run, and 10 % over the best.

Overhead: one board, a dozen jobs whose builds and runs do nothing, by `pi64 nightly` over the same command lines,
started one after the other. Order: made-up labs of 50 boards, against the best of all orders where there are few
kernels, else against a bound that no order can beat.
"""

import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from pathlib import Path

import attrs
from _common import ROOT, Figure, main, median, repeats, say

from harness.nightly.night import schedule
from harness.nightly.night.schedule import Work

sys.path.append(str(ROOT / "tests_unit"))
from fakenight import HERE, FakeNight

BOARDS = 50
LABS = 12
FEW, MANY = 7, 24
"""Kernels: of seven all 5,040 orders are tried."""
JOBS = 12
OVERHEAD_S = 1.0
OVER_BEST = 1.10
RUN = 0.3  # seconds that a run which does nothing sleeps: longer than a build takes beside it
SECOND = 1.0
OFF = 0.3  # how far a run or a build may be from what it was expected to take


def figures() -> Iterator[Figure]:
    """Run nights, and order labs."""
    number = repeats(3)
    took = [_overheads() for _ in range(number)]
    yield Figure("nightly.overhead.run", median(one for one, _ in took), limit=OVERHEAD_S)
    yield Figure("nightly.overhead.nothing_to_do", median(other for _, other in took))
    few = [_lab(random.Random(seed), FEW) for seed in range(LABS)]
    many = [_lab(random.Random(seed), MANY) for seed in range(LABS)]
    yield Figure("nightly.makespan.over_best", max(lab.seconds / lab.best for lab in few), "", OVER_BEST)
    yield Figure("nightly.makespan.over_bound", max(lab.seconds / lab.bound for lab in many), "", OVER_BEST)
    off = [_off(random.Random(seed), lab) for seed, lab in enumerate(few)]
    ratios = [real.taking(lab.order) / real.best for lab, real in zip(few, off, strict=True)]
    yield Figure("nightly.makespan.wrong_guess", max(ratios), "", OVER_BEST)
    began = time.monotonic()
    assert many[0].order
    yield Figure("nightly.order", time.monotonic() - began, limit=SECOND)
    jobs = sum(len(lab.works) for lab in many) // LABS
    say(f"labs of {BOARDS} boards: {FEW} kernels, and {MANY} kernels with {jobs} jobs; guesses off by {OFF:.0%}")


# --- overhead --------------------------------------------------------------------------------------------------------
def _overheads() -> tuple[float, float]:
    """Return the seconds a run that a night adds, and those of a night in which nothing has changed."""
    names = [f"b{number}" for number in range(JOBS)]
    branches = ", ".join(f"{name}: {{source: {name}.tar}}" for name in names)
    with tempfile.TemporaryDirectory(prefix="pi64-") as folder:
        night = FakeNight(Path(folder), f"  branches: {{{branches}}}\n  boards: [desk3]", boards=("desk3",))
        for name in names:
            (night.folder / f"{name}.tar").write_text(name)
        night.behave({"*": {"run_s": RUN}})
        bare_s = _bare(night, names)
        night_s, said = _timed(night)
        assert said.count("PASS") >= JOBS, said
        idle_s, said = _timed(night)
        assert f"{JOBS} unchanged" in said, said
        say(f"{JOBS} runs: {night_s:.2f} s by pi64 nightly, {bare_s:.2f} s one after the other")
    return (night_s - bare_s) / JOBS, idle_s


def _timed(night: FakeNight) -> tuple[float, str]:
    began = time.monotonic()
    said, _ = night.start().communicate()
    return time.monotonic() - began, said


def _bare(night: FakeNight, names: Sequence[str]) -> float:
    """Return how long the first build and all runs take without a night around them."""
    environment = {**os.environ, "PYTHONPATH": str(HERE), "PYTHONUNBUFFERED": "1"}
    python, began = [sys.executable, "-m"], time.monotonic()
    commands = [[*python, "harness.cli", "build", f"--source={names[0]}.tar"]]
    commands += [[*python, "pytest", f"--source={name}.tar", "--runs=bare", "--board", "desk3"] for name in names]
    for command in commands:
        subprocess.run(command, cwd=night.folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - began
    with contextlib.suppress(OSError):
        night.forget()
    return seconds


# --- order -----------------------------------------------------------------------------------------------------------
@attrs.frozen
class Lab:
    """Jobs, kernels with their build times, boards."""

    works: tuple[Work, ...]
    builds: Mapping[str, float]
    boards: Mapping[str, int]

    @property
    def order(self) -> tuple[str, ...]:
        """What pi64 would build first, second ..."""
        return schedule.order(self.works, self.builds, self.boards)

    @property
    def seconds(self) -> float:
        """How long its night takes."""
        return self.taking(self.order)

    def taking(self, order: Sequence[str]) -> float:
        """Return how long the night takes in that order of builds."""
        return schedule.forecast(self.works, order, self.builds, self.boards).seconds

    @property
    def best(self) -> float:
        """The shortest night of all orders. A board that never idles ends first whatever it runs first."""
        loads = {
            build: [(work.board, work.run_s) for work in self.works if work.build == build] for build in self.builds
        }
        return min(self._ends(order, loads) for order in permutations(self.builds))

    def _ends(self, order: Sequence[str], loads: Mapping[str, Sequence[tuple[str, float]]]) -> float:
        now, ends = 0.0, dict.fromkeys(self.boards, 0.0)
        for build in order:
            now += self.builds[build]
            for board, run_s in loads[build]:
                ends[board] = max(ends[board], now) + run_s
        return max(ends.values())

    @property
    def bound(self) -> float:
        """What no order can beat: a board's first k kernels take as long as its k shortest, and then it must run."""
        return max(
            sum(shortest[:k]) + sum(runs[: len(runs) - k + 1])
            for board in self.boards
            for works in [[work for work in self.works if work.board == board]]
            for shortest in [sorted(self.builds[work.build] for work in works)]
            for runs in [sorted(work.run_s for work in works)]
            for k in range(1, len(works) + 1)
        )


def _lab(rng: random.Random, kernels: int) -> Lab:
    """Make up a lab in which neither the builder nor the boards alone decide how long a night takes."""
    builds = {f"k{number}": rng.uniform(60, 1200) for number in range(kernels)}
    boards = {f"b{number}": 1 for number in range(BOARDS)}
    works: list[Work] = []
    for board in boards:
        usual = rng.uniform(60, 900)  # a board has its own speed, and its own set of tests
        for build in builds:
            if rng.random() < 0.7:
                works.append(Work(len(works), board, build, usual * rng.uniform(0.8, 1.3)))
    return Lab(tuple(works), builds, boards)


def _off(rng: random.Random, lab: Lab) -> Lab:
    """Return *lab* as it turns out to be."""
    works = tuple(attrs.evolve(work, run_s=work.run_s * rng.uniform(1 - OFF, 1 + OFF)) for work in lab.works)
    return Lab(works, {build: s * rng.uniform(1 - OFF, 1 + OFF) for build, s in lab.builds.items()}, lab.boards)


if __name__ == "__main__":
    main(figures())
