"""The console of a run as numbered lines with their seconds, and where on it a finding stands."""

import re
from collections.abc import Iterable, Sequence

import attrs

from harness.model import Finding
from harness.verdict.lines import clean

STAMPS_LIMIT = 64 << 20  # bytes; a line a byte takes a second to read, and the times are an extra
LOOKED_FOR = 20  # characters; a shorter line stands in many places

_CHUNK = re.compile(rb'^\{"t": ([0-9.]+), "data": "(.*)"\}$', re.MULTILINE)
"""A line of console.jsonl as ``console.recorder`` writes it; json.loads takes three times as long."""


@attrs.frozen(eq=False)
class Transcript:
    """All lines, numbered from 1 as an editor does, and the times at which they began to come."""

    text: str = ""
    """The whole; bytes that are no UTF-8 are U+FFFD."""
    lines: Sequence[str] = ()
    """Its lines, without the newlines."""
    _stamps: Sequence[bytes] = ()

    def seconds(self, number: int) -> float | None:
        """Return the seconds since the recording began at which line *number* began; None when nobody knows."""
        return float(self._stamps[number - 1]) if 0 < number <= len(self._stamps) else None

    def places(self, findings: Iterable[Finding]) -> dict[Finding, int]:
        """Return the line at which each of *findings* stands; one that does not stand here is left out.

        A finding of a command's output is numbered by that: it is looked for by its text, stamp and all.
        """
        places = {found: self._place(found) for found in findings if found.text}
        return {found: line for found, line in places.items() if line}

    def _place(self, found: Finding) -> int:
        said = found.text[0].strip()
        if 0 < found.first_line <= len(self.lines):
            line = clean(self.lines[found.first_line - 1]).strip()
            if line and (said in line or line in said):
                return found.first_line
        at = self.text.find(said) if len(said) >= LOOKED_FOR else -1
        return self.text.count("\n", 0, at) + 1 if at >= 0 else 0


def read(console: bytes, stamped: bytes = b"") -> Transcript:
    """Return the transcript in *console*, the bytes of console.log, with the times of *stamped*, console.jsonl.

    Anything may stand in either; a damaged line of console.jsonl costs its times.
    """
    text = console.decode("utf-8", "replace")
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return Transcript(text, lines, _stamps(stamped) if len(stamped) <= STAMPS_LIMIT else [])


def _stamps(stamped: bytes) -> list[bytes]:
    """Return the time of the chunk in which each line begins."""
    stamps: list[bytes] = []
    begins = True
    for chunk in _CHUNK.finditer(stamped):
        seconds, data = chunk.groups()
        if b"\\\\" in data:
            data = data.replace(b"\\\\", b"/")  # one that was said makes no line end
        if data:
            ends = data.endswith(b"\\n")
            stamps += [seconds] * (begins + data.count(b"\\n") - ends)
            begins = ends
    return stamps
