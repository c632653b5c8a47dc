"""Which lines of a long console are shown, and which are folded away: what matters, and a little of what is around."""

from collections.abc import Iterable, Iterator

import attrs

SHORT = 80  # lines; a console of so many is shown whole
LEAST = 10  # lines; fewer are not worth a fold
LARGEST = 4000  # lines in one fold: a browser lays one out in a moment


@attrs.frozen
class Part:
    """Lines *first* to *last*, both included, 1-based."""

    first: int
    last: int
    shown: bool

    @property
    def size(self) -> int:
        """How many lines."""
        return self.last - self.first + 1


def parts(count: int, wanted: Iterable[tuple[int, int]], *, largest: int = LARGEST) -> list[Part]:
    """Return lines 1 to *count*, each in exactly one part, in order; *wanted* ones are shown, long gaps folded.

    A wanted range may reach beyond either end.
    """
    if count <= SHORT:
        return [Part(1, count, shown=True)] if count else []
    found: list[Part] = []
    done = 0
    for first, last in _merged(count, wanted):
        found += _folded(done + 1, first - 1, largest)
        found.append(Part(first, last, shown=True))
        done = last
    return [*found, *_folded(done + 1, count, largest)]


def _merged(count: int, wanted: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the ranges in order, without those gaps that are too small for a fold."""
    begin, end = 0, 0
    for first, last in sorted((max(first, 1), min(last, count)) for first, last in wanted):
        if first > last:
            continue
        if first - end <= LEAST:
            begin, end = begin or 1, max(end, last)
            continue
        if begin:
            yield begin, end
        begin, end = first, last
    if begin:
        yield begin, end if count - end >= LEAST else count


def _folded(first: int, last: int, largest: int) -> Iterator[Part]:
    for start in range(first, last + 1, largest):
        yield Part(start, min(start + largest - 1, last), shown=False)
