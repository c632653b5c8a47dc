"""Read what a test program of the kernel says (KTAP, or TAP 13): each test with its outcome. Text in, values out.

Subtests stand before the line of the test they belong to, and further in: by spaces, or, in kselftest, by ``# ``.
Sources: https://docs.kernel.org/dev-tools/ktap.html, tools/testing/selftests/kselftest/runner.sh
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

import attrs

PASSED, FAILED, SKIPPED, XFAILED = "passed", "failed", "skipped", "xfailed"
SKIP_STATUS = 4  # KSFT_SKIP
TIMEOUT_STATUSES = (124, 137)  # of timeout(1): it has ended the program, or had to kill it
LONGEST = 160  # characters of a test's name, and of what is said of it
MOST = 5000  # tests of one program that are told; more are none that anybody wrote
DEEPEST = 32  # steps further in; what stands deeper is no test

_IN = re.compile(rf"(?:# | {{2}}|\t){{0,{DEEPEST}}}")
_RESULT = re.compile(r"(not )?ok\b ?(?:(\d+)(?!\S))?(?:\s+-(?!\S))?\s*(.*)")
_PLAN = re.compile(r"1\.\.(\d{1,6})(?:\s+#\s*SKIP\b:?\s*(.*))?", re.IGNORECASE)
_DIRECTIVE = re.compile(r"(?:^|\s)#\s*(SKIP|TODO|XFAIL|TIMEOUT|ERROR)\b:?\s*(.*)", re.IGNORECASE)
_OPENING = re.compile(r"K?TAP version \d+")


@attrs.frozen
class Result:
    """One test; a program as a whole where *path* is empty."""

    path: tuple[str, ...]
    """Names from the outermost test to this one."""
    outcome: str
    """``passed``, ``failed``, ``skipped``, ``xfailed``."""
    said: str = ""
    """Why it was skipped, or how it failed."""


@attrs.define
class _Level:
    """Tests that stand equally far in."""

    depth: int
    results: list[Result] = attrs.field(factory=list)
    planned: int | None = None
    counted: int = 0


class _Reader:
    """Takes line by line; what stands further in waits for the line of the test it belongs to."""

    def __init__(self) -> None:
        self.missing = 0
        """Results that were announced and have not come."""
        self.bailed, self.skipped = "", ""
        self._levels = [_Level(0)]

    def take(self, line: str) -> None:
        head = _IN.match(line)
        assert head is not None
        said, depth = line[head.end() :].strip(), len(head[0].replace("\t", "  "))
        if result := _RESULT.fullmatch(said):
            below = self._close_to(depth)
            self._open(depth).results += _results(result, below)
            self._levels[-1].counted += 1
        elif plan := _PLAN.fullmatch(said):
            self._announce(depth, int(plan[1]), plan[2] or "")
        elif _OPENING.fullmatch(said):  # a script calls several programs, and each has a plan of its own
            self._announce(depth, None)
        elif said.startswith("Bail out!"):
            self.bailed = said[:LONGEST]

    def close(self) -> list[Result]:
        """Return all results; those whose own test has not come stand alone."""
        below = self._close_to(0)
        self._end_plan(self._levels[0])
        return self._levels[0].results + below

    def _close_to(self, depth: int) -> list[Result]:
        """Return what stands further in than *depth*: it is complete."""
        below: list[Result] = []
        while self._levels[-1].depth > depth:
            level = self._levels.pop()
            self._end_plan(level)
            below = level.results + below
        return below

    def _open(self, depth: int) -> _Level:
        if self._levels[-1].depth < depth:
            self._levels.append(_Level(depth))
        return self._levels[-1]

    def _announce(self, depth: int, count: int | None, why: str = "") -> None:
        below = self._close_to(depth)
        level = self._open(depth)
        level.results += below
        if level.planned is not None:
            self._end_plan(level)
        level.planned = count
        if count == 0:
            self.skipped = (why or "nothing to test")[:LONGEST]
        if count is None:
            level.counted = 0

    def _end_plan(self, level: _Level) -> None:
        self.missing += max((level.planned or 0) - level.counted, 0)
        level.planned, level.counted = None, 0


def read(text: str, status: int) -> list[Result]:
    """Return each test of the program that said *text* and ended with *status*; the program itself comes last."""
    reader = _Reader()
    for line in text.splitlines():
        reader.take(line)
    results = list(_told_apart(reader.close()))
    outcome, said = _whole(reader, results, status)
    return [*_told(results), Result((), outcome, said)]


def _told(results: list[Result]) -> list[Result]:
    """Return as many as a record can hold, those that failed before all others."""
    return results if len(results) <= MOST else sorted(results, key=lambda one: one.outcome != FAILED)[:MOST]


def failures(results: Iterable[Result]) -> list[Result]:
    """Return those that speak against the kernel."""
    return [result for result in results if result.outcome == FAILED]


def _whole(reader: _Reader, results: list[Result], status: int) -> tuple[str, str]:
    """Return how a program has ended: what its status says, and what its tests say."""
    failed = len(failures(results))
    against = {
        "did not end in time": status in TIMEOUT_STATUSES,
        reader.bailed: bool(reader.bailed),
        f"{failed} of {len(results)} failed": failed,
        f"status {status}": status not in {0, SKIP_STATUS},
        f"{reader.missing} results are missing": reader.missing and status != SKIP_STATUS,
    }
    if said := next((words for words, so in against.items() if so), ""):
        return FAILED, said
    skipped = reader.skipped or next((one.said for one in results if one.outcome == SKIPPED), "")
    all_skipped = bool(results or reader.skipped) and all(one.outcome == SKIPPED for one in results)
    return (SKIPPED, skipped) if status == SKIP_STATUS or all_skipped else (PASSED, "")


def _results(match: re.Match[str], below: list[Result]) -> Iterator[Result]:
    """Yield the test of one line, behind its subtests."""
    name, told = match[3], ""
    outcome = FAILED if match[1] else PASSED
    if directive := _DIRECTIVE.search(name):
        word, name, told = directive[1].upper(), name[: directive.start()], directive[2]
        outcome = {"SKIP": SKIPPED, "TODO": XFAILED, "XFAIL": XFAILED}.get(word, FAILED)
    elif " # " in f"{name} ":
        name, _, told = name.partition(" # ")
    called = (name.strip() or told.strip())[:LONGEST] or match[2] or "unnamed"  # kselftest: `ok 3 # SKIP CLOCK_TAI`
    yield from (attrs.evolve(one, path=(called, *one.path)) for one in below)
    yield Result((called,), outcome, told.strip()[:LONGEST])


def _told_apart(results: Iterable[Result]) -> Iterator[Result]:
    """Give the second of a name a number: history knows a test by its name."""
    times: Counter[tuple[str, ...]] = Counter()
    for result in results:
        times[result.path] += 1
        again = times[result.path]
        yield result if again == 1 else attrs.evolve(result, path=(*result.path[:-1], f"{result.path[-1]} ({again})"))
