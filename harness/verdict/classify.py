"""Read a recorded console log, of any board and with any number of boots in it, and say whose fault it was."""

import bisect
import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs

from harness.model import BootRecord, Finding, Verdict, VerdictName
from harness.verdict.clues import BEGAN_AGAIN
from harness.verdict.findings import MAX_SAME, Scanner
from harness.verdict.garbage import REMEDY, RecordedGarbage
from harness.verdict.judge import judge
from harness.verdict.lines import bare, clean, payload, split
from harness.verdict.rules import ROWS
from harness.verdict.sieve import chunks
from harness.verdict.stages import Boot, StageTracker, restart

_ANY_SPEAKER = frozenset(row.kind for row in ROWS if row.fault != "KERNEL" and row.scope == "any")

TAIL_LINES = 40  # as of a live boot
LOOP = 3  # boots that stopped before their login and began again without a word


class Reading:
    """One pass over a log: boots, stages and findings, in memory that does not grow with the log."""

    def __init__(self) -> None:
        self.tracker = StageTracker()
        self.findings: list[Finding] = []
        self.lines = 0
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._openings: dict[int, str] = {}
        self._scanner = Scanner()
        self._stamped = False

    @property
    def kernel_seen(self) -> bool:
        """Whether a kernel speaks in this log at all."""
        return (
            self._stamped
            or self._scanner.strong
            or any(boot.stages.keys() - {"firmware", "login"} for boot in self.boots)
        )

    @property
    def boots(self) -> list[Boot]:
        """The boots, oldest first."""
        return self.tracker.boots

    def take(self, lines: Iterable[str]) -> "Reading":
        """Read all *lines*."""
        for chunk in chunks(lines):
            joined = "\n".join(chunk)
            if "\x1b" in joined:  # what is printed in colour is looked for without
                joined = bare(joined)
                chunk = joined.split("\n")  # noqa: PLW2901
            boots = len(self.boots)
            self.tracker.feed_many(0.0, chunk, joined)
            if len(self.boots) == boots:
                self.findings += self._scanner.feed_many(chunk, joined)
            else:
                starts = [boot.first_line - self.lines - 1 for boot in self.boots[boots:]]
                self._openings |= {self.lines + start + 1: clean(chunk[start]) for start in starts}
                self._scan_boots(chunk, starts)
            self._stamped = self._stamped or any(payload(line)[0] is not None for line in chunk[:8])
            self.lines += len(chunk)
            self._tail.extend(clean(line) for line in chunk[-2 * TAIL_LINES :] if line.strip())
        self.findings += self._scanner.close()
        self._look_back()
        if not self.kernel_seen:
            self.findings = [found for found in self.findings if found.kind in _ANY_SPEAKER]
        return self

    def _look_back(self) -> None:
        """Find what only a boot as a whole shows."""
        more = [boot.early_only for boot in self.boots]
        more += itertools.islice(self._restarts(), MAX_SAME)
        self.findings = sorted([*self.findings, *filter(None, more)], key=lambda found: found.first_line)

    def _restarts(self) -> Iterator[Finding]:
        """Yield a finding where a system that was up began again, and had neither said that it would nor died."""
        died = {self.boot_of(found) for found in self.findings if found.severity == "fatal"}
        for number, (before, boot) in enumerate(itertools.pairwise(self.boots), start=1):
            if "login" in before.stages and not before.ended and number not in died:
                yield restart(boot.first_line, self._openings[boot.first_line])

    def _scan_boots(self, chunk: list[str], starts: list[int]) -> None:
        """Scan a chunk in which boots begin at the indexes *starts*."""
        begin = 0
        for start in starts:
            self.findings += self._scanner.feed_many(chunk[begin:start]) + self._scanner.new_boot()
            begin = start
        self.findings += self._scanner.feed_many(chunk[begin:])

    def boot_of(self, found: Finding) -> int:
        """Return the 1-based number of the boot in which *found* began; 0 before the first."""
        return bisect.bisect_right(self.boots, found.first_line, key=lambda boot: boot.first_line)

    def records(self, file: str) -> list[BootRecord]:
        """Return the boots as a live run would record them; a recorded log has no clock, so seconds are 0."""
        by_boot: dict[int, list[Finding]] = {}
        for found in self.findings:
            by_boot.setdefault(self.boot_of(found), []).append(found)
        records, again = [], self._again
        for number, boot in enumerate(self.boots, start=1):
            final = number == len(self.boots)
            records.append(
                BootRecord(
                    target=file,
                    stages=dict(boot.stages),
                    reached="login" in boot.stages,
                    reason="" if final or boot.ended or "login" in boot.stages else again,
                    findings=tuple(by_boot.get(number, ())),
                    log=Path(file),
                    first_line=boot.first_line,
                    tail=tuple(self._tail) if final else (),
                )
            )
        return records

    @property
    def _again(self) -> str:
        """Why boots stopped that others follow: once or twice a person may have done it."""
        stopped = sum(not (boot.ended or "login" in boot.stages) for boot in self.boots[:-1])
        return BEGAN_AGAIN if stopped < LOOP else f"boot loop: it began again {stopped} times before its login"

    def note_garbage(self, found: Finding | None) -> None:
        """Take what a GarbageWatch says about the bytes of this log."""
        if found and found.severity == "fatal":
            found = attrs.evolve(found, message=f"{found.message}; {REMEDY}")
        self.findings += filter(None, [found])

    def verdict(self, file: str = "-") -> Verdict:
        """Judge what was read. A log without a kernel in it is nobody's crash."""
        if not self.kernel_seen:
            verdict = judge((), self.findings)
            return verdict if self.findings else Verdict(VerdictName.INCONCLUSIVE, "no kernel speaks in this log")
        return judge(self.records(file), self.findings)


def read(lines: Iterable[str]) -> Reading:
    """Read a log; ``lines.split`` makes lines of bytes."""
    return Reading().take(lines)


def classify(lines: Iterable[str], file: str) -> dict[str, Any]:
    """Return what ``pi64 classify --json`` prints about one log."""
    return _told(read(lines), file)


def classify_bytes(blocks: Iterable[bytes], file: str) -> dict[str, Any]:
    """Return the same of a log read in blocks; whether a person could read it is looked at too."""
    garbage = RecordedGarbage()
    reading = read(split(garbage.watched(blocks)))
    reading.note_garbage(garbage.found)
    return _told(reading, file)


def _told(reading: Reading, file: str) -> dict[str, Any]:
    verdict = reading.verdict(file)
    return {
        "file": file,
        "verdict": str(verdict.name),
        "rule": verdict.rule,
        "evidence": list(verdict.evidence),
        "boots": len(reading.boots),
        "last_stage": reading.tracker.last_stage,
        "findings": [_plain(found, reading.boot_of(found)) for found in reading.findings],
    }


def _plain(found: Finding, boot: int) -> dict[str, Any]:
    return {
        "kind": found.kind,
        "message": found.message,
        "signature": found.signature,
        "severity": found.severity,
        "boot": boot,
        "first_line": found.first_line,
        "last_line": found.last_line,
        "text": list(found.text),
    }
