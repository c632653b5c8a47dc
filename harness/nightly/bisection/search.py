"""Which commit to try next, or which one it was: `git bisect` as a function of the history and of the votes so far."""

from collections.abc import Collection, Iterator, Mapping
from typing import Literal

import attrs

from harness.nightly.bisection.graph import Graph

Vote = Literal["good", "bad", "skip"]
STRIDE = 4
"""Unbuildable commits stand in a row more often than alone: each one in the way makes the next jump so much wider."""


@attrs.frozen
class Try:
    """The commit that halves what is left best."""

    sha: str
    left: int
    """Commits of which one is the culprit."""

    @property
    def steps(self) -> int:
        """How many more commits will have to be tried, this one included, if none has to be skipped."""
        return max(self.left - 1, 0).bit_length()


@attrs.frozen
class Among:
    """The answer: the first bad commit is one of these. More than one when only skipped ones are left between."""

    shas: tuple[str, ...]
    """Parents first; the last one is known to be bad."""


def look(graph: Graph, votes: Mapping[str, Vote]) -> Try | Among:
    """Return what *votes* leave to be tried, or the answer.

    *votes* are about commits of *graph*, in the order in which they were given; one of them at least is ``bad``. What
    is behind a good one is good; the culprit is behind every bad one. ValueError when no commit is left: the votes
    contradict each other.
    """
    left = candidates(graph, votes)
    tips = [sha for sha, vote in votes.items() if vote == "bad" and sha in left]
    if not tips:
        raise ValueError("a commit was voted bad that is behind a good one")
    order = list(graph.ordered(left))
    untried = left.difference(votes)
    if not untried:
        return Among(tuple(order))
    return Try(_choose(graph, order, tips[-1], untried), len(order))


def candidates(graph: Graph, votes: Mapping[str, Vote]) -> set[str]:
    """Return the commits that *votes* leave."""
    left = set(graph.commits)
    for sha, vote in votes.items():
        if vote == "bad":
            left = graph.behind(sha, left)
        elif vote == "good":
            left -= graph.behind(sha, left)
    return left


def _choose(graph: Graph, order: list[str], tip: str, untried: Collection[str]) -> str:
    """Return the untried commit nearest to the middle; if the middle was skipped, one at a growing distance from it."""
    weights, count = graph.weights(order), len(order)
    ranked = sorted((sha for sha in order if sha != tip), key=weights.__getitem__)
    halving = [min(weights[sha], count - weights[sha]) for sha in ranked]
    middle = max(range(len(ranked)), key=halving.__getitem__)
    for place in _places(middle, len(ranked)):
        if ranked[place] in untried:
            return ranked[place]
    return max((sha for sha in ranked if sha in untried), key=lambda sha: min(weights[sha], count - weights[sha]))


def _places(middle: int, count: int) -> Iterator[int]:
    """Yield *middle*, then places ever farther from it on both sides, below *count*; never far into the last half."""
    yield middle
    distance = 1
    while distance <= count // 3:
        yield from (place for place in (middle + distance, middle - distance) if 0 <= place < count)
        distance *= STRIDE
