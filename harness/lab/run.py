"""One run: its folder, its record, and the verdict at its end."""

import datetime
import errno
import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs

from harness.errors import BootFailed, CheckFailed, Pi64Error, Unresponsive, UsageError
from harness.lab import asked, control, folder, leavings
from harness.lab.doctor.consult import MUTE, Consultation
from harness.lab.hearing import Hearing
from harness.lab.options import TargetOptions
from harness.lab.paper import Paper
from harness.model import (
    AttemptRecord,
    BootRecord,
    Finding,
    Verdict,
    VerdictName,
)
from harness.report.record import CaseRecord, RunRecord
from harness.report.redact import without_credentials
from harness.strategy import RaspberryPiStrategy
from harness.verdict import attempts
from harness.verdict.attempts import Evidence
from harness.verdict.clues import Raised, boot_line

MESSAGE_LIMIT = 4000  # characters of a test's message in the record; the log has the rest
NO_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
KINDS: tuple[tuple[type[BaseException], str], ...] = ((UsageError, "usage"), (Unresponsive, "fell-silent"))
"""Errors that the verdict treats in a way of their own."""


@attrs.frozen
class Mark:
    """How much a run knew when an attempt at a test began."""

    boots: int = 0
    findings: int = 0
    errors: int = 0
    tests: int = 0


class Run(Paper):
    """Collects what becomes known, on paper from the first moment on, and judges it in the end."""

    def __init__(self, path: Path, record: RunRecord) -> None:
        super().__init__(path, record)
        self._errors: list[Raised] = []
        self._blamed: BootRecord | None = None
        self._hearing = Hearing()
        self._doctor = Consultation(path)
        self._met: RaspberryPiStrategy | None = None
        self._strategy: RaspberryPiStrategy | None = None
        self.save()

    @classmethod
    def begin(
        cls, parent: Path, *, target: str, model: str, argv: Sequence[Any], options: TargetOptions | None = None
    ) -> "Run":
        """Make the folder of a new run below *parent*; ``latest`` there points to it."""
        made = folder.make(parent, target)
        record = RunRecord(
            run_id=made.name,
            target=target,
            started=_now(),
            board=model,
            host=platform.node(),
            pid=os.getpid(),
            argv=tuple(without_credentials(str(arg)) for arg in argv),
            console_log="console.log",
            **(asked.facts(options) if options else {}),
        )
        return cls(made, record)

    def meet(self, strategy: RaspberryPiStrategy) -> None:
        """Take what the doctor is to look at should the bench fail, before anything is asked of it."""
        self._met = strategy

    def watch(self, strategy: RaspberryPiStrategy) -> None:
        """Take the boots from *strategy*."""
        self._strategy = self._met = strategy

    def case(self, report: Any, error: BaseException | None) -> None:
        """Take the outcome of one test."""
        message = self.clean(str(report.longrepr)[:MESSAGE_LIMIT]) if report.failed else ""
        outcome = "error" if report.failed and report.when != "call" else report.outcome
        fault = self._blame(report, error)
        if report.failed:
            self._consult(report, error, fault)
        if isinstance(error, CheckFailed):
            stale = [found for boot in self._aside for found in boot.findings]
            self._know(findings=(*self.record.findings, *(found for found in error.findings if found not in stale)))
        elif report.failed:
            kind = next((name for kind, name in KINDS if isinstance(error, kind)), "error")
            self._errors.append(Raised(fault or "INCONCLUSIVE", self.clean(_headline(report)), kind))
        told = fault if isinstance(error, Pi64Error) else ""
        blame = (fault or "INCONCLUSIVE") if report.failed else ""
        case = CaseRecord(report.nodeid, outcome, report.duration, message, told, self.attempt, blame)
        self._know(tests=(*self.record.tests, case))

    def _consult(self, report: Any, error: BaseException | None, fault: str) -> None:
        """Ask the doctor why the bench failed, or why nothing was heard of a board; the verdict tells the answer."""
        boot = self._boots[-1] if self._boots else None
        mute = boot is not None and not boot.reached and boot.last_stage == "none"
        if fault == "LAB":
            self._doctor.ask(f"{error}" if error else _headline(report), self._met)
        elif mute or isinstance(error, Unresponsive):
            self._doctor.ask(MUTE, self._met)

    def _blame(self, report: Any, error: BaseException | None) -> str:
        """Return whose fault *error* is; empty when it says nothing about that."""
        if isinstance(error, BootFailed):
            self._blamed = error.boot
            # By identity: two boots that fail alike may be equal.
            return "INCONCLUSIVE" if any(error.boot is boot for boot in self._aside) else error.verdict
        if isinstance(error, Pi64Error):
            return error.verdict
        if isinstance(error, OSError) and error.errno in NO_DISK:
            return "LAB"
        return "KERNEL" if isinstance(error, AssertionError) and report.when == "call" else ""

    def told(self, boot: BootRecord) -> bool:
        """Return whether a failed test has shown already why *boot* failed."""
        shown = (case for case in self.record.tests if case.fault and case.outcome != "retried")
        return any(boot.reason in case.message for case in shown)

    def position(self) -> int:
        """Return how much of the console has been recorded."""
        recorder = self._strategy.recorder if self._strategy else None
        return recorder.position if recorder else 0

    def complaints(self, *, besides: Sequence[Finding] = ()) -> list[Finding]:
        """Return what the kernel complained about since this was last asked, outside of a boot's record.

        Without what is known from *besides* already.
        """
        recorder = self._strategy.recorder if self._strategy else None
        known = {(found.kind, found.first_line) for found in besides}
        found = self._hearing.complaints(recorder, self._boots)
        return [one for one in found if (one.kind, one.first_line) not in known]

    def during(self, found: Finding, *, since: int) -> str:
        """Return the command that ran when *found* was said, of those after position *since*; empty if none."""
        recorder = self._strategy.recorder if self._strategy else None
        return self.clean(recorder.during(found.first_line, since=since)) if recorder else ""

    def take_complaints(self, *, besides: Sequence[Finding] = ()) -> None:
        """Take what the kernel complained about while nobody asked, or while a test failed for another reason."""
        if complaints := self.complaints(besides=besides):
            self._know(findings=(*self.record.findings, *complaints))

    @property
    def up(self) -> bool:
        """Whether the last boot came to its login: of one that failed it is no news that it complains."""
        return bool(self._boots) and self._boots[-1].reached

    # --- attempts -----------------------------------------------------------------------------------------------------
    def mark(self) -> Mark:
        """Return where the next attempt at a test begins."""
        return Mark(len(self._boots), len(self.record.findings), len(self._errors), len(self.record.tests))

    def since(self, mark: Mark) -> Evidence:
        """Return what came after *mark*, and the boot from before that a test failed for."""
        findings, errors = self.record.findings[mark.findings :], self._errors[mark.errors :]
        return Evidence(tuple(self._boots[self._first(mark) :]), findings, tuple(errors))

    def worth_repeating(self, mark: Mark) -> bool:
        """Tell whether what failed since *mark* may be the bench's work, and there is a board to start over."""
        return self._strategy is not None and attempts.worth_repeating(self.since(mark))

    def set_aside(self, test: str, mark: Mark) -> AttemptRecord:
        """Take what came since *mark* out of the judgement, for *test* is repeated; it stays in the record."""
        self.take_complaints()
        record = self._attempt(test, mark, self.since(mark), set_aside=True)
        del self._errors[mark.errors :]
        before, since = self.record.tests[: mark.tests], self.record.tests[mark.tests :]
        retried = tuple(attrs.evolve(case, outcome="retried") if case.message else case for case in since)
        self._know(findings=self.record.findings[: mark.findings], tests=(*before, *retried))
        return record

    def end_attempt(self, test: str, mark: Mark, first: Evidence) -> AttemptRecord:
        """Take the last attempt at *test*, after *first*; return what it was."""
        last = attempts.compared(first, self.since(mark))
        self._errors[mark.errors :] = last.errors
        self._know(findings=(*self.record.findings[: mark.findings], *last.findings))
        return self._attempt(test, mark, last, set_aside=False)

    def start_over(self) -> None:
        """Give the board a cold start; LabError when the bench is broken still."""
        assert self._strategy is not None
        try:
            self._strategy.start_over()
        finally:
            self.complaints()  # what came until the power was off belongs to the attempt before

    def _attempt(self, test: str, mark: Mark, evidence: Evidence, *, set_aside: bool) -> AttemptRecord:
        verdict, last = evidence.verdict, len(self._boots)
        first = self._first(mark) + 1 if evidence.boots else 0
        record = AttemptRecord(
            test,
            self.attempt,
            verdict.name,
            verdict.rule,
            verdict.evidence,
            first,
            last if first else 0,
            set_aside,
            evidence.findings,
        )
        self._know(attempts=(*self.record.attempts, record))
        return record

    def _first(self, mark: Mark) -> int:
        """Return the index of the first boot since *mark*; the one before counts too when a test failed for it."""
        before = self._boots[mark.boots - 1] if mark.boots else None
        return mark.boots - 1 if before is not None and before is self._blamed else mark.boots

    # --- the end ------------------------------------------------------------------------------------------------------
    def wants_control(self) -> bool:
        """Tell whether a boot of a known-good kernel would say more about what is known so far."""
        self.take_complaints()
        return control.due(self._verdict(), self._kept)

    def note_control(self, boot: BootRecord) -> None:
        """Take the control boot: its kernel is what the card holds now.

        It may be the one under test, which has passed before; then one of the two boots was not the kernel's doing.
        """
        if boot.release != self.record.release:
            self._know(left_on_card=boot.release)
        elif boot.reached:
            self._errors.append(Raised("INCONCLUSIVE", boot_line(boot), "booted-again"))

    def finish(self, *, interrupted: bool) -> RunRecord:
        """Judge the run and write the last of its record."""
        self.take_complaints()
        self._know(still_on=self.clean(self._strategy.still_on) if self._strategy else "")
        if self.record.still_on:
            self._errors.append(Raised("LAB", f"{self.target}: could not be switched off: {self.record.still_on}"))
        verdict = self._verdict()
        if interrupted and verdict.name is VerdictName.PASS:
            verdict = Verdict(VerdictName.INCONCLUSIVE, "the run was interrupted before its end")
        self._know(verdict=verdict, finished=_now(), interrupted=interrupted)
        with suppress(OSError):
            (self.folder / leavings.DOING).unlink(missing_ok=True)
        return self.record

    def fail_to_write(self, error: OSError) -> None:
        """Take *error* from whoever writes a report after the end: the verdict is told, and it is no PASS."""
        self._note_full(error)
        self._know(verdict=self._verdict())

    def _verdict(self) -> Verdict:
        verdict = attempts.judge_run(self._kept, self.record.attempts)
        if verdict.name not in {VerdictName.LAB, VerdictName.INCONCLUSIVE}:
            return verdict
        known = tuple(map(self.clean, self._doctor.lines))
        return attrs.evolve(verdict, evidence=(*verdict.evidence, *known))

    @property
    def _kept(self) -> Evidence:
        """All but what belongs to attempts that were set aside."""
        aside = self._numbers_aside
        boots = tuple(boot for number, boot in enumerate(self._boots, start=1) if number not in aside)
        return Evidence(boots, self.record.findings, tuple(self._errors))

    @property
    def _aside(self) -> Sequence[BootRecord]:
        """The boots of attempts that were set aside."""
        return [self._boots[number - 1] for number in sorted(self._numbers_aside)]

    @property
    def _numbers_aside(self) -> set[int]:
        aside = [attempt for attempt in self.record.attempts if attempt.set_aside and attempt.first_boot]
        return {number for attempt in aside for number in range(attempt.first_boot, attempt.last_boot + 1)}

    @property
    def _boots(self) -> Sequence[BootRecord]:
        return self._strategy.boots if self._strategy else ()

    def _note_full(self, error: OSError) -> None:
        full = Raised("LAB", f"{self.target}: the record of this run cannot be written: {error.strerror}")
        if full not in self._errors:
            self._errors.append(full)
            self._doctor.ask(full.message, self._met)


def _headline(report: Any) -> str:
    """Return what went wrong, without the source of the test that pytest prints before it."""
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash else report.longrepr)[:MESSAGE_LIMIT]


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
