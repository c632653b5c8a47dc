"""Which kernel is built next, and which job a free board runs next: builds come one at a time, boards run side by side.

Pure. A board takes the longest job whose kernel is there, so it never idles while there is one. What is left to decide
is the order of the builds: the one by which the last board ends first. For few builds all orders are looked at, for
many the best of some rules is improved as long as moving one build makes it better.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import permutations

import attrs

ALL_ORDERS = 6
"""Builds of which every order is looked at: 720."""
LOOKS = 2000
"""Orders that are looked at when there are more: some tenths of a second for 50 boards."""


@attrs.frozen
class Work:
    """One job, as far as its time goes."""

    job: int
    """Its number in the night."""
    board: str
    build: str
    """Which kernel it needs."""
    run_s: float
    urgent: bool = False
    """Whether it was left over from the night before: then it comes first."""


@attrs.frozen
class Slot:
    """When one job is expected to run, in seconds from now."""

    work: Work
    start_s: float
    end_s: float


@attrs.frozen
class Forecast:
    """What is expected of a night."""

    slots: tuple[Slot, ...] = ()
    built: Mapping[str, float] = attrs.field(factory=dict)
    """Build -> when it is done."""

    @property
    def seconds(self) -> float:
        """Until the last board has ended."""
        return max((slot.end_s for slot in self.slots), default=0.0)


def choose(waiting: Iterable[Work], board: str, built: Callable[[str], bool]) -> Work | None:
    """Return what *board* runs next: of the jobs whose kernel is there, what was left over first, then the longest."""
    ready = (work for work in waiting if work.board == board and built(work.build))
    return min(ready, key=_rank, default=None)


def order(
    works: Sequence[Work], builds: Mapping[str, float], boards: Mapping[str, int], *, budget_s: float | None = None
) -> tuple[str, ...]:
    """Return in which order the kernels are to be built.

    *builds* says how many seconds each takes, *boards* how many there are of each. Where not all can be done within
    *budget_s*, what was left over from the night before comes first.
    """
    shop = _Shop(works, builds, boards)
    best = shop.best()
    if budget_s is None or shop.cost(best)[0] <= budget_s:
        return best
    urgent = {work.build for work in works if work.urgent}
    return tuple(sorted(best, key=lambda build: build not in urgent))


def forecast(
    works: Sequence[Work], order: Sequence[str], builds: Mapping[str, float], boards: Mapping[str, int]
) -> Forecast:
    """Return when each job would run, if everything takes as long as expected."""
    built: dict[str, float] = {}
    now = 0.0
    for build in order:
        now = built[build] = now + builds.get(build, 0.0)
    slots = [
        slot for board in dict.fromkeys(work.board for work in works) for slot in _board(works, board, built, boards)
    ]
    return Forecast(tuple(sorted(slots, key=lambda slot: (slot.start_s, slot.work.job))), built)


def _board(works: Sequence[Work], board: str, built: Mapping[str, float], boards: Mapping[str, int]) -> Iterator[Slot]:
    """Yield the slots of one board, or of all of one kind, each taken as soon as one is free."""
    waiting = [work for work in works if work.board == board]
    free = [0.0] * boards.get(board, 1)
    while waiting:
        now = heapq.heappop(free)
        now = max(now, min(built.get(work.build, 0.0) for work in waiting))
        work = choose(waiting, board, lambda build, now=now: built.get(build, 0.0) <= now)  # type: ignore[misc]
        assert work is not None
        waiting.remove(work)
        heapq.heappush(free, now + work.run_s)
        yield Slot(work, now, now + work.run_s)


def _rank(work: Work) -> tuple[bool, float, int]:
    return not work.urgent, -work.run_s, work.job


Order = tuple[str, ...]


class _Shop:
    """The builder and the boards behind it, as far as they depend on the order of the builds."""

    def __init__(self, works: Sequence[Work], builds: Mapping[str, float], boards: Mapping[str, int]) -> None:
        load: dict[str, dict[str, float]] = {build: defaultdict(float) for build in builds}
        for work in works:
            if work.build in load:
                load[work.build][work.board] += work.run_s / boards.get(work.board, 1)
        self._seconds = dict(builds)
        self._load = {build: tuple(per.items()) for build, per in load.items()}

    def cost(self, order: Order) -> tuple[float, float]:
        """Return when the last board ends; between equal orders counts how early each kernel is on its boards."""
        now, early = 0.0, 0.0
        ends: dict[str, float] = {}
        for build in order:
            now += self._seconds[build]
            for board, load in self._load[build]:
                end = ends.get(board, 0.0)
                ends[board] = end = max(now, end) + load
                early += end
        return max(ends.values(), default=0.0), early

    def best(self) -> Order:
        """Return the best order found."""
        builds = tuple(self._seconds)
        if len(builds) <= ALL_ORDERS:
            return min(permutations(builds), key=self.cost)
        looks = iter(range(LOOKS))
        found = [self._improved(start, looks) for start in sorted(self._rules(), key=self.cost)]
        return min(found, key=self.cost)

    def _rules(self) -> Iterator[Order]:
        """Yield the orders of some rules: each is the best where something else is scarce."""
        seconds, load = self._seconds, self._load
        longest = {build: max((each for _, each in load[build]), default=0.0) for build in seconds}
        total = {build: sum(each for _, each in load[build]) for build in seconds}
        rules: tuple[Callable[[str], float], ...] = (
            lambda build: -longest[build],  # the longest tail first: the boards are scarce
            lambda build: seconds[build],  # the shortest build first: the boards wait for a first kernel
            lambda build: -total[build] / (seconds[build] or 1e-9),
            lambda build: seconds[build] - longest[build],
        )
        for rule in rules:
            yield tuple(sorted(seconds, key=rule))

    def _improved(self, order: Order, looks: Iterator[int]) -> Order:
        """Return *order* with single builds moved as long as that makes it better, and *looks* are left."""
        cost, moved = self.cost(order), True
        while moved:
            moved = False
            for other in _moves(order):
                if next(looks, None) is None:
                    return order
                if (tried := self.cost(other)) < cost:
                    order, cost, moved = other, tried, True
                    break
        return order


def _moves(order: Order) -> Iterator[Order]:
    """Yield *order* with one build moved elsewhere."""
    for number, build in enumerate(order):
        rest = order[:number] + order[number + 1 :]
        yield from ((*rest[:place], build, *rest[place:]) for place in range(len(order)) if place != number)
