"""Read what a program of the Linux Test Project says, and its list of tests. Text in, values out.

Sources: https://linux-test-project.readthedocs.io/en/latest/users/quick_start.html, include/tst_res_flags.h in its tree
"""

import re
from collections import Counter

import attrs

from harness.verdict.ktap import FAILED, LONGEST, PASSED, SKIPPED, TIMEOUT_STATUSES, Result
from harness.verdict.lines import bare

FAIL, BROKEN, CONF = 1, 2, 32
"""Bits of the status; 4 is a warning."""
_RESULT = re.compile(r"\S+?(?:\.c)?(?::\d+:|\s+\d+)\s+T?(PASS|FAIL|BROK|WARN|CONF)\s*:\s*(.*)")
_ENTRY = re.compile(r"([A-Za-z0-9_.+-]+)\s+(\S.*)")


@attrs.frozen
class Entry:
    """One line of a file in ``/opt/ltp/runtest``."""

    name: str
    command: str


def entries(text: str) -> list[Entry]:
    """Return the tests of a runtest file, in its order; comments and what is no test are passed over."""
    lines = (_ENTRY.fullmatch(line.strip()) for line in text.splitlines() if not line.lstrip().startswith("#"))
    return [Entry(line[1], line[2]) for line in lines if line]


def read(text: str, status: int) -> Result:
    """Return what came of one program that said *text* and ended with *status*."""
    said = [match for match in map(_RESULT.match, bare(text).splitlines()) if match]
    counts = Counter(match[1] for match in said)
    if status in TIMEOUT_STATUSES:
        return Result((), FAILED, "did not end in time")
    if status & (FAIL | BROKEN) or counts["FAIL"] or counts["BROK"] or status not in range(64):
        return Result((), FAILED, _first(said, "FAIL", "BROK") or f"status {status}")
    if counts["PASS"]:
        return Result((), PASSED, _first(said, "WARN"))
    if counts["CONF"] or status == CONF:
        return Result((), SKIPPED, _first(said, "CONF"))
    return Result((), FAILED, f"status {status}") if status else Result((), PASSED)


def _first(said: list[re.Match[str]], *words: str) -> str:
    return next((f"T{match[1]}: {match[2]}"[:LONGEST] for match in said if match[1] in words), "")
