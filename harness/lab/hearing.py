"""Which part of the recording was scanned already, and what the kernel says against itself in the rest."""

import re
from collections.abc import Iterator, Sequence

from harness.console.recorder import Recorder
from harness.model import BootRecord, Finding
from harness.verdict.findings import Scanner

_FRAME = re.compile(rb"<\d+ \d+ \d+ [0-9a-f]{1,11}\|[^|\n]*\|\d+>")
"""The output of a command as our shell gets it: blanks are ``~`` there, line ends ``^``."""


class Hearing:
    """Goes through a recording once, in as many pieces as it is asked; what belongs to a boot's record is left out.

    A trace whose lines are still coming is told when it is first seen, and never again.
    """

    def __init__(self) -> None:
        self._recorder: Recorder | None = None
        self._end = 0
        self._begin = 0
        self._told: set[int] = set()

    def complaints(self, recorder: Recorder | None, boots: Sequence[BootRecord]) -> list[Finding]:
        """Return what came since the last call; *recorder* may be gone by now, its recording is not.

        Nothing from the control boot on: another kernel speaks there.
        """
        self._recorder = recorder = recorder or self._recorder
        end = recorder.position if recorder else 0
        if recorder is None or end <= self._end:
            return []
        data = recorder.read(self._begin, timeout=0, limit=end - self._begin)
        first = recorder.line_number(self._begin)
        lines = _FRAME.sub(b"", data).decode(errors="replace").split("\n")
        found, open_at = _scanned(lines, first, boots)
        self._end = end
        last = first + len(lines) - 1  # that one may be half a line
        self._begin += sum(len(line) + 1 for line in data.split(b"\n")[: min(open_at or last, last) - first])
        judged = self._told.union(one.first_line for boot in boots for one in boot.findings)
        self._told |= {one.first_line for one in found}
        return [one for one in found if one.severity != "info" and one.first_line not in judged]


def _scanned(lines: list[str], first: int, boots: Sequence[BootRecord]) -> tuple[list[Finding], int | None]:
    """Return what *lines* hold, the first of which has number *first*, and the line of a trace that is open still."""
    found: list[Finding] = []
    open_at = None
    for number, part in _parts(lines, first, boots):
        scanner = Scanner(first_line=number)
        for line in part:
            found += scanner.feed(line)
        open_at = scanner.pending.first_line if scanner.pending else None
        found += scanner.close()
    return found, open_at


def _parts(lines: list[str], first: int, boots: Sequence[BootRecord]) -> Iterator[tuple[int, list[str]]]:
    """Cut *lines* where boots begin, for a scanner of its own for each; yield number of the first line, and lines."""
    control = [boot.first_line for boot in boots if boot.control]
    last = max(min([first + len(lines), *control]), first)
    cuts = sorted({first, *(boot.first_line for boot in boots if first < boot.first_line < last)})
    for number, end in zip(cuts, [*cuts[1:], last], strict=True):
        yield number, lines[number - first : end - first]
