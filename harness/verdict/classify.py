"""Read a recorded console log, of any board and with any number of boots in it, and say whose fault it was."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.model import BootRecord, Finding, Verdict, VerdictName
from harness.verdict.findings import Scanner
from harness.verdict.judge import judge
from harness.verdict.lines import clean, payload
from harness.verdict.rules import ROWS
from harness.verdict.sieve import Sieve, chunks
from harness.verdict.stages import LITERALS, Boot, StageTracker

_ANY_SPEAKER = frozenset(row.kind for row in ROWS if row.fault != "KERNEL" and row.scope == "any")


class Reading:
    """One pass over a log: boots, stages and findings, in memory that does not grow with the log."""

    def __init__(self) -> None:
        self.tracker = StageTracker()
        self.findings: list[Finding] = []
        self.lines = 0
        self.last = ""
        """The last line that was not empty."""
        self._scanner = Scanner()
        self._sieve = Sieve(LITERALS)
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
                chunk = [clean(line) for line in chunk]  # noqa: PLW2901
                joined = "\n".join(chunk)
            boots = len(self.boots)
            for index in self._sieve.of_chunk(joined):
                self.tracker.feed(0.0, chunk[index], number=self.lines + index + 1)
            if len(self.boots) == boots:
                self.findings += self._scanner.feed_many(chunk, joined)
            else:
                self._scan_boots(chunk, [boot.first_line - self.lines - 1 for boot in self.boots[boots:]])
            self._stamped = self._stamped or any(payload(line)[0] is not None for line in chunk[:8])
            self.lines += len(chunk)
            self.last = next((clean(line) for line in reversed(chunk) if line.strip()), self.last)
        self.findings += self._scanner.close()
        if not self.kernel_seen:
            self.findings = [found for found in self.findings if found.kind in _ANY_SPEAKER]
        return self

    def _scan_boots(self, chunk: list[str], starts: list[int]) -> None:
        """Scan a chunk in which boots begin at the indexes *starts*."""
        begin = 0
        for start in starts:
            self.findings += self._scanner.feed_many(chunk[begin:start]) + self._scanner.new_boot()
            begin = start
        self.findings += self._scanner.feed_many(chunk[begin:])

    def boot_of(self, found: Finding) -> int:
        """Return the 1-based number of the boot in which *found* began; 0 before the first."""
        return sum(boot.first_line <= found.first_line for boot in self.boots)

    def records(self, file: str) -> list[BootRecord]:
        """Return the boots as a live run would record them; a recorded log has no clock, so seconds are 0."""
        by_boot: dict[int, list[Finding]] = {}
        for found in self.findings:
            by_boot.setdefault(self.boot_of(found), []).append(found)
        records = []
        for number, boot in enumerate(self.boots, start=1):
            final = number == len(self.boots)
            records.append(
                BootRecord(
                    target=file,
                    stages=dict(boot.stages),
                    reached="login" in boot.stages,
                    reason="" if final or boot.ended or "login" in boot.stages else "it began again",
                    findings=tuple(by_boot.get(number, ())),
                    log=Path(file),
                    first_line=boot.first_line,
                    tail=(self.last,) if final else (),
                )
            )
        return records

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
    reading = read(lines)
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
