"""Group what a console says into findings: one trace is one finding, however it was cut up on its way."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import attrs

from harness.model import Finding
from harness.verdict import trace
from harness.verdict.lines import bare, clean, payload, until_stamp
from harness.verdict.rules import BENIGN, ROWS, STEMS
from harness.verdict.sieve import Matcher, Row, chunks

MAX_LINES = 120  # of one finding's text; a stack dump of all tasks goes on for thousands
MAX_FOREIGN = 8  # unrelated lines in a row inside a trace; after that it is over
MAX_GAP_S = 10.0  # of kernel time inside one trace
MAX_SAME = 5  # findings with one signature in one boot; an I/O error comes in hundreds
MAX_KIND = 50  # findings of one kind: keeps the memory for a log of any size bounded
MAX_MORE = 1000  # findings dropped of one kind, after which its lines are not even looked at
SEVERITIES = ("info", "warning", "error", "fatal")

_MATCHER = Matcher(ROWS, BENIGN, STEMS)
_HEX = re.compile(r"\b0x[0-9a-fA-F]+\b|\b(?=[a-f]*[0-9])[0-9a-f]{4,}\b|\b[a-f]{8,}\b|(?<=: card )[0-9a-f]{4}\b")
_OFFSET = re.compile(r"\+0x[0-9a-f]+(?:/0x[0-9a-f]+)?")
_DIGITS = re.compile(r"\d+")


def signature(kind: str, message: str) -> str:
    """Return *kind* and *message* without numbers, addresses and offsets: equal for the same problem in two runs."""
    text = _OFFSET.sub("", message)
    text = _DIGITS.sub("#", _HEX.sub("#", text))
    return f"{kind}: {' '.join(text.split())}"


def finding(
    kind: str,
    message: str,
    *,
    fault: str,
    severity: str = "error",
    first_line: int = 1,
    last_line: int | None = None,
    text: Iterable[str] = (),
) -> Finding:
    """Make a Finding with its signature; *last_line* is *first_line* unless given."""
    return Finding(
        kind=kind,
        message=message,
        severity=severity,
        fault=fault,
        signature=signature(kind, message),
        first_line=first_line,
        last_line=first_line if last_line is None else last_line,
        text=tuple(text),
    )


@attrs.define
class _Open:
    """A finding whose lines are still coming."""

    row: Row
    message: str
    severity: str
    first_line: int
    last_line: int
    stamp: float | None
    text: list[str]
    between: list[str] = attrs.field(factory=list)
    """Lines since the last one that belonged to the trace; part of it only if another one follows."""
    where: str = ""
    muted: bool = False
    """Known already: its lines are swallowed, and nothing comes of it."""
    joined: set[str] = attrs.field(factory=set)

    def add(self, line: str, number: int) -> None:
        """Take *line* into the finding, and what stood before it."""
        room = MAX_LINES - len(self.text)
        self.text += [*self.between, line][:room]
        self.between.clear()
        self.last_line = number

    def note_place(self, said: str) -> None:
        """Remember the first function that is no plumbing, unless a better place comes."""
        self.where = trace.place(said, best_only=bool(self.where)) or self.where

    def finished(self) -> Finding:
        """Return it as a value."""
        message = _headline(self.row.kind, self.message, self.where)
        return finding(
            self.row.kind,
            message,
            fault=self.row.fault,
            severity=self.severity,
            first_line=self.first_line,
            last_line=self.last_line,
            text=self.text,
        )


class Scanner:
    """Reads a console line by line; whatever is wrong comes out as findings, a trace when it is over.

    *expected* names kinds that a test provokes on purpose: they come out with severity ``info``.
    """

    def __init__(self, *, first_line: int = 1, expected: Iterable[str] = ()) -> None:
        self.suppressed = 0
        """Findings dropped because there were enough like them."""
        self.strong = False
        """Whether something was found that only a kernel says."""
        self._number = first_line - 1
        self._expected = frozenset(expected)
        self._open: _Open | None = None
        self._same: Counter[str] = Counter()
        self._kinds: Counter[str] = Counter()
        self._more: Counter[str] = Counter()
        self._seen: set[str] = set()

    @property
    def pending(self) -> Finding | None:
        """The finding whose lines are still coming: a panic is known here at its first line."""
        return self._demoted(self._open.finished()) if self._open and not self._open.muted else None

    def feed(self, line: str) -> list[Finding]:
        """Take the next line; return the findings that it completes."""
        self._number += 1
        line = clean(line)
        literals = _MATCHER.sieve.of_line(line)
        return list(self._take(line, literals)) if literals or self._open else []

    def feed_many(self, chunk: list[str], joined: str | None = None) -> list[Finding]:
        """Take a few hundred lines, without line ends, at once: the same findings, many times faster."""
        if joined is None:
            joined = "\n".join(chunk)
        if "\x1b" in joined:
            joined = bare(joined)
            chunk = joined.split("\n")
        base, index = self._number, 0
        found: list[Finding] = []
        hits = _MATCHER.sieve.of_chunk(joined)
        upcoming = iter(hits)
        while index < len(chunk):
            if self._open is None:
                index = next((hit for hit in upcoming if hit >= index), len(chunk))
                if index == len(chunk):
                    break
            self._number = base + index + 1
            found += self._take(clean(chunk[index]), hits.get(index, ()))
            index += 1
        self._number = base + len(chunk)
        return found

    def new_boot(self) -> list[Finding]:
        """Say that the next line is the first of a new boot; return the finding that was cut off by it."""
        self._seen.clear()
        self._same.clear()
        return list(self._finish())

    def close(self) -> list[Finding]:
        """Say that the log ends here; return the finding that was still open."""
        return list(self._finish())

    def _take(self, line: str, literals: Sequence[str]) -> Iterator[Finding]:
        match = _MATCHER.match(line, literals) if literals else None
        if match is None and self._open is None:
            return
        stamp, said = payload(line)
        if match:
            head = len(line) - len(said) if stamp is None else 0  # a level or a log's own stamp is no part of it
            start = max(match[1].start(), head)
            if match[0].scope == "any" and match[0].fault == "KERNEL" and not self.strong:
                self.strong = stamp is not None or trace.SPEAKER.match(line[head:start]) is not None
            yield from self._start(match[0], line[start:], line=line, stamp=stamp)
        elif self._open:
            yield from self._follow(self._open, line, stamp, said)
        if (
            self._open
            and self._open.row.end
            and self._open.row.end.search(line)
            and self._number > self._open.first_line
        ):
            yield from self._finish()

    def _start(self, row: Row, text: str, *, line: str, stamp: float | None) -> Iterator[Finding]:
        if self._open and self._belongs(self._open, row):
            self._join(self._open, row, line)
            return
        yield from self._finish()
        if self._more[row.kind] > MAX_MORE and row.severity != "fatal":
            self.suppressed += 1
            return
        number, message = self._number, until_stamp(text)
        self._open = _Open(row, message, row.severity, number, number, stamp, [line], joined={row.pattern.pattern})
        self._open.muted = row.trace and stamp is not None and self._known(f"{stamp:.6f} {message[:200]}")
        if not row.trace:
            yield from self._finish()

    def _known(self, headline: str) -> bool:
        """Tell whether this boot printed *headline* before: somebody typed `dmesg`, or a second console came up."""
        known = headline in self._seen
        if len(self._seen) < 1000:
            self._seen.add(headline)
        return known

    @staticmethod
    def _belongs(opened: _Open, row: Row) -> bool:
        """Tell whether *row* goes on with what is open; a second headline of the same sort begins anew."""
        return "*" in row.joins or (opened.row.kind in row.joins and row.pattern.pattern not in opened.joined)

    def _join(self, opened: _Open, row: Row, line: str) -> None:
        opened.add(line, self._number)
        opened.joined.add(row.pattern.pattern)
        if "*" not in row.joins:  # `Call trace:` is an error on its own, not in company
            opened.severity = max(opened.severity, row.severity, key=SEVERITIES.index)
        if row.end and not (opened.row.end and opened.row.end.pattern == row.end.pattern):
            opened.row = attrs.evolve(opened.row, end=row.end)

    def _follow(self, opened: _Open, line: str, stamp: float | None, said: str) -> Iterator[Finding]:
        if trace.ends_before(said) or _too_far(opened.stamp, stamp):
            yield from self._finish()
        elif trace.goes_on(said):
            opened.add(line, self._number)
            opened.note_place(said)
        else:
            opened.between.append(line)
            told = sum(bool(payload(other)[1]) for other in opened.between)  # kernels space their reports out
            if told > MAX_FOREIGN or len(opened.between) > 2 * MAX_FOREIGN:
                yield from self._finish()

    def _finish(self) -> Iterator[Finding]:
        if self._open is None:
            return
        opened, self._open = self._open, None
        if opened.muted:
            return
        done = self._demoted(opened.finished())
        if self._kinds[done.kind] >= MAX_KIND or self._same[done.signature] >= MAX_SAME:
            self.suppressed += 1
            self._more[done.kind] += 1
            return
        self._same[done.signature] += 1
        self._kinds[done.kind] += 1
        yield done

    def _demoted(self, found: Finding) -> Finding:
        return attrs.evolve(found, severity="info") if found.kind in self._expected else found


def scan(lines: Iterable[str], *, first_line: int = 1, expected: Iterable[str] = ()) -> list[Finding]:
    """Return the findings of a whole log, in the order in which they begin."""
    scanner = Scanner(first_line=first_line, expected=expected)
    found = [done for chunk in chunks(lines) for done in scanner.feed_many(chunk)]
    return found + scanner.close()


def _headline(kind: str, message: str, where: str) -> str:
    """Say what happened and where, the way a person would look for it."""
    if kind == "warning":
        message = re.sub(r"WARNING: CPU: ?\d+ PID: ?\d+ at ", "WARNING at ", message)
        return re.sub(r", CPU#\d+.*", "", message)
    if not where or kind in {
        "panic",
        "root-missing",
        "init-missing",
        "init-noexec",
        "init-killed",
        "rcu-stall",
        "hung-task",
        "out-of-memory",
    }:
        return message
    if where.split(maxsplit=1)[0] in message:
        return message
    return f"{message.rstrip(':')} in {where}" if kind == "call-trace" else f"{message} (in {where})"


def _too_far(before: float | None, now: float | None) -> bool:
    """Tell whether two kernel times cannot belong to one trace: too long after, or before it (a reboot)."""
    return before is not None and now is not None and not -1.0 <= now - before <= MAX_GAP_S
