"""The commits between good and bad: their parents, and how many of them stand behind each. Pure, and no git in it."""

from collections.abc import Collection, Iterable, Iterator, Mapping

import attrs

BLOCK = 8192
"""Commits whose descendants are counted at once: bounds the memory for a history of any length."""


@attrs.frozen
class Commit:
    """What is known of one commit."""

    sha: str
    parents: tuple[str, ...]
    subject: str = ""
    author: str = ""
    """Name and address."""
    date: str = ""
    """ISO 8601, of the author."""


@attrs.frozen
class Graph:
    """Commits that bad has and good has not, each behind all of its parents; parents outside are good."""

    commits: Mapping[str, Commit]

    @classmethod
    def of(cls, commits: Iterable[Commit]) -> "Graph":
        """Take *commits*, ordered as above; ValueError when one stands before its parent."""
        known: dict[str, Commit] = {}
        waited: set[str] = set()
        for commit in commits:
            if commit.sha in waited:
                raise ValueError(f"{commit.sha} stands behind one of its children")
            known[commit.sha] = commit
            waited.update(parent for parent in commit.parents if parent not in known)
        return cls(known)

    def behind(self, sha: str, among: Collection[str]) -> set[str]:
        """Return *sha* and those of its ancestors that are reached through *among* alone."""
        found, todo = set[str](), [sha]
        while todo:
            name = todo.pop()
            if name in among and name not in found:
                found.add(name)
                todo.extend(self.commits[name].parents)
        return found

    def ordered(self, among: Collection[str]) -> Iterator[str]:
        """Yield those of *among*, parents first."""
        return (sha for sha in self.commits if sha in among)

    def weights(self, order: list[str]) -> dict[str, int]:
        """Return how many of *order* are each one's ancestors, itself included; *order* has parents first.

        Bits of one long integer stand for a block of commits: a parent's go into its children's by a single `or`.
        """
        weights = dict.fromkeys(order, 0)
        for start in range(0, len(order), BLOCK):
            reached: dict[str, int] = {}
            block = {sha: 1 << bit for bit, sha in enumerate(order[start : start + BLOCK])}
            for sha in order[start:]:
                bits = block.get(sha, 0)
                for parent in self.commits[sha].parents:
                    bits |= reached.get(parent, 0)
                reached[sha] = bits
                weights[sha] += bits.bit_count()
        return weights
