"""Several attempts at one test: which failure is worth another one, and what all of them together say."""

from collections.abc import Sequence

import attrs

from harness.model import AttemptRecord, BootRecord, Finding, Verdict, VerdictName
from harness.verdict.clues import Raised, gather
from harness.verdict.judge import judge

PASSED = Verdict(VerdictName.PASS, "the test passed")


@attrs.frozen
class Evidence:
    """What one attempt at a test brought, or what is left to judge of a run."""

    boots: tuple[BootRecord, ...] = ()
    findings: tuple[Finding, ...] = ()
    errors: tuple[Raised, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """What this alone says; an attempt that brought nothing against anybody has passed."""
        clues = gather(self.boots, self.findings, self.errors)
        return judge(self.boots, self.findings, self.errors) if clues else PASSED

    @property
    def fell_silent(self) -> bool:
        """Whether the board stopped to answer."""
        return any(error.kind == "fell-silent" for error in self.errors)

    @property
    def restarted(self) -> bool:
        """Whether the board began again, and nobody knows why."""
        return any(found.kind == "restart" for found in self.findings)


def worth_repeating(failed: Evidence) -> bool:
    """Tell whether the bench may have been the reason: only then can another attempt tell more."""
    if any(error.kind == "usage" for error in failed.errors):
        return False
    clues = gather(failed.boots, failed.findings, failed.errors)
    bench = failed.fell_silent or failed.restarted or any(clue.fault == "LAB" for clue in clues)
    return bench and failed.verdict.name in {VerdictName.LAB, VerdictName.INCONCLUSIVE}


def compared(first: Evidence, second: Evidence) -> Evidence:
    """Return what *second* says once *first* is known.

    A hung kernel and a pulled cable look alike, and so do a kernel that resets and a supply that gives way. When a
    board spoke up to its login after a cold start, and then the same came at the same test again, it was not the bench.
    """
    if not any(boot.reached for boot in second.boots):
        return second
    if first.fell_silent and second.fell_silent:
        second = attrs.evolve(second, errors=tuple(map(_again, second.errors)))
    if first.restarted and second.restarted:
        second = attrs.evolve(second, findings=tuple(map(_restarted_again, second.findings)))
    return second


def _again(error: Raised) -> Raised:
    return Raised("KERNEL", error.message, "fell-silent-again") if error.kind == "fell-silent" else error


def _restarted_again(found: Finding) -> Finding:
    return attrs.evolve(found, fault="KERNEL") if found.kind == "restart" else found


def judge_run(kept: Evidence, attempts: Sequence[AttemptRecord]) -> Verdict:
    """Return the verdict of a run in which tests were repeated.

    *kept* is all but what the attempts brought that are set aside. Those never change a verdict that blames somebody,
    they are only told; but a run that needed them is no PASS.
    """
    verdict = judge(kept.boots, kept.findings, kept.errors)
    aside = [attempt for attempt in attempts if attempt.set_aside]
    if not aside:
        return verdict
    if gather(kept.boots, kept.findings, kept.errors):
        return attrs.evolve(verdict, evidence=(*verdict.evidence, *map(told, aside)))
    return _flake(aside[0], attempts)


def told(attempt: AttemptRecord) -> str:
    """Say how *attempt* ended, in one line."""
    return f"{attempt.test}: attempt {attempt.number} was {attempt.verdict} ({attempt.rule})"


def _flake(first: AttemptRecord, attempts: Sequence[AttemptRecord]) -> Verdict:
    after = [attempt for attempt in attempts if attempt.test == first.test and attempt.number > first.number]
    end = f"attempt {after[-1].number} passed" if after else "no other attempt came to its end"
    return Verdict(VerdictName.INCONCLUSIVE, f"flake: {told(first)}, {end}", first.evidence)
