"""Whether a board that was switched off and on was off at all: a system that is older than its power was never cut."""

import re
from collections.abc import Iterable

from harness.model import Finding
from harness.verdict import garbage
from harness.verdict.findings import finding
from harness.verdict.lines import clean, payload

SETTLED_S = 1.0  # what comes earlier may have waited in the adapter since before the power was cut
MARGIN_S = 5.0  # a kernel's clock starts a little after the power does, never before

_WORD = re.compile(rb"[ -~]{4,}")


def outlived(lines: Iterable[tuple[float, str]], *, first_line: int = 1) -> Finding | None:
    """Return the finding ``power-not-cut`` if a line proves it; to be asked when no banner of a new system was seen.

    *lines* holds (seconds since power-on, line), on the lab host's clock. A kernel's own stamp counts the seconds since
    it started: one that runs longer than the power is on was not started by it.
    """
    for number, (seconds, line) in enumerate(lines, start=first_line):
        stamp = payload(clean(line))[0]
        if stamp is not None and seconds >= SETTLED_S and stamp > seconds + MARGIN_S:
            return not_cut(f"its kernel ran for {stamp:.0f} s, {seconds:.0f} s after the cold start", line, number)
    return None


def spoken_while_off(data: bytes, *, first_line: int = 1) -> Finding | None:
    """Return the finding ``power-not-cut`` if *data*, which came while the power was off, comes from a board that runs.

    A stray byte or two makes none: a line without power picks those up.
    """
    if found := garbage.finding_in(data):
        proof = "unreadable bytes while it was off, as from a board that its serial adapter's pins, or HDMI, feed"
        return not_cut(proof, found.text[-1], first_line)
    for number, line in enumerate(data.split(b"\n"), start=first_line):
        if _WORD.search(line):
            return not_cut("it talked on while it was off", clean(line.decode(errors="replace")), number)
    return None


def not_cut(proof: str, line: str, number: int) -> Finding:
    """Make the finding; *proof* says how it is known."""
    message = f"the power switch answers, but the power was not cut: {proof}"
    return finding("power-not-cut", message, fault="LAB", severity="fatal", first_line=number, text=(line,))
