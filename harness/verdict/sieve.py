"""Find the few lines that matter among the many that do not: literals over a whole chunk first, regexes second.

``in`` on a long string runs at memory speed, an alternation of seventy regexes does not; so every rule names a literal
that its pattern cannot match without.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import attrs

CHUNK_LINES = 512


@attrs.frozen
class Row:
    """One thing a log can say, and what it means."""

    kind: str
    literal: str
    """Part of every line that *pattern* matches."""
    pattern: re.Pattern[str]
    severity: str
    """As in ``model.Finding``."""
    fault: str
    """As in ``model.Finding``."""
    source: str
    """Where this text comes from: a kernel file, a program, a recorded log."""
    example: str
    """A line that *pattern* matches; the tests try it."""
    trace: bool = False
    """Whether registers, call traces and the like follow."""
    end: re.Pattern[str] | None = None
    """Last line of what follows, where the kernel prints one."""
    joins: frozenset[str] = frozenset()
    """Kinds of an open finding to which this line belongs instead of starting its own; ``*``: to any."""
    scope: str = "kernel"
    """Who speaks: ``kernel`` rows count only in a log that has a kernel in it, ``any`` rows always."""


def chunks(lines: Iterable[str], size: int = CHUNK_LINES) -> Iterator[list[str]]:
    """Yield *lines* in lists of at most *size*, without the blanks and line ends at their ends."""
    source = map(str.rstrip, lines)
    while chunk := list(islice(source, size)):
        yield chunk


class Sieve:
    """Tells which lines of a chunk hold which of some literals."""

    def __init__(self, literals: Iterable[str]) -> None:
        ordered = sorted(set(literals), key=len)
        self._literals = [word for i, word in enumerate(ordered) if not any(short in word for short in ordered[:i])]

    def of_line(self, line: str) -> list[str]:
        """Return the literals that *line* holds."""
        return [literal for literal in self._literals if literal in line]

    def of_chunk(self, joined: str) -> dict[int, list[str]]:
        """Return index -> literals of such lines, by index, in lines *joined* by newlines."""
        hits: dict[int, list[str]] = {}
        for literal in self._literals:
            at, end, index = joined.find(literal), 0, 0
            while at >= 0:
                index += joined.count("\n", end, at)
                hits.setdefault(index, []).append(literal)
                end = joined.find("\n", at)
                at = joined.find(literal, end) if end >= 0 else -1
        return dict(sorted(hits.items()))


class Matcher:
    """Finds the first row of a table that a line matches."""

    def __init__(self, rows: Sequence[Row], benign: Sequence[re.Pattern[str]], stems: Sequence[str] = ()) -> None:
        self.sieve = Sieve([*stems, *(row.literal for row in rows)])
        self._benign = re.compile("|".join(f"(?:{pattern.pattern})" for pattern in benign))
        self._rows: dict[str, list[tuple[int, Row]]] = {}  # by what the sieve finds, which may be a shorter literal
        for rank, row in enumerate(rows):
            for literal in self.sieve.of_line(row.literal):
                self._rows.setdefault(literal, []).append((rank, row))

    def match(self, line: str, literals: Iterable[str]) -> tuple[Row, re.Match[str]] | None:
        """Return the first row of the table that matches, with its match; None for other lines and for known noise.

        *literals* is what the sieve found in *line*.
        """
        best: tuple[int, Row, re.Match[str]] | None = None
        for literal in literals:
            for rank, row in self._rows[literal]:
                if best and rank >= best[0]:
                    break
                if row.literal in line and (found := row.pattern.search(line)):
                    best = (rank, row, found)
                    break
        if best is None or self._benign.search(line):
            return None
        return best[1], best[2]
