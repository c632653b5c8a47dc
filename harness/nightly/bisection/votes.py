"""What a run says about a commit: a record in, a vote out. Only the kernel votes, by the symptom that was asked for."""

from collections.abc import Iterator
from typing import Literal

import attrs

from harness.model import Finding, VerdictName
from harness.report.record import CaseRecord, RunRecord
from harness.verdict.findings import signature

Kind = Literal["verdict", "check", "signature"]
Said = Literal["good", "bad", "skip", "again"]
"""``skip``: it cannot be asked; ``again``: this run says nothing about it."""
ALIKE = 0.5
"""Share of the signatures of two runs that both have, from which on they show the same symptom."""
TRIES = 3
"""Runs of one commit that may say nothing, before it is skipped or the board is taken for broken."""


@attrs.frozen
class Symptom:
    """What makes a commit bad."""

    kind: Kind = "verdict"
    """The verdict KERNEL; a test or check that fails; a signature of a finding."""
    word: str = ""

    def __str__(self) -> str:
        return {
            "verdict": "the verdict is KERNEL, with what bad does",
            "check": f"{self.word} fails",
            "signature": f"`{self.word}` is said",
        }[self.kind]


@attrs.frozen
class Judged:
    """A vote and why."""

    vote: Said
    reason: str
    """One line."""
    evidence: tuple[str, ...] = ()
    finding: Finding | None = None
    """Where on the console the symptom stands."""
    bench: bool = False
    """Whether it says nothing because of the bench."""


@attrs.frozen
class Known:
    """What other runs have shown."""

    usual: frozenset[str] = frozenset()
    """Symptoms that the good commit has as well."""
    bad: frozenset[str] = frozenset()
    """What the symptom of the commit that was given as bad is known by."""
    before: frozenset[str] = frozenset()
    """The same of this commit, from runs that did not vote."""


NOTHING = Known()


def judge(symptom: Symptom, record: RunRecord | None, known: Known = NOTHING) -> Judged:
    """Return what *record* says.

    A symptom that is not the one of bad never votes; when it shows twice, the commit cannot be asked. (A lab host that
    is too busy to play a board makes a good kernel stall now and then: that would lead to a wrong culprit.)
    """
    if record is None or record.verdict is None:
        return Judged("again", "no run was begun" if record is None else "the run was not judged", bench=True)
    name, said, evidence = record.verdict.name, f"{record.verdict.name}: {record.verdict.rule}", record.verdict.evidence
    if name is VerdictName.BUILD:
        return Judged("skip", said, evidence)
    if name in {VerdictName.LAB, VerdictName.DEPLOY}:
        return Judged("again", said, evidence, bench=name is VerdictName.LAB)
    if symptom.kind != "verdict":
        return _asked(symptom, record, known)
    if name is VerdictName.KERNEL and not alike(marks(record), known.bad):
        return _other(record, "not what bad does", known)
    vote: dict[VerdictName, Said] = {VerdictName.PASS: "good", VerdictName.KERNEL: "bad"}
    return Judged(vote.get(name, "again"), said, evidence, _first(record) if name is VerdictName.KERNEL else None)


def alike(one: frozenset[str], other: frozenset[str]) -> bool:
    """Tell whether two runs have so much in common that it is one symptom; where nothing is known, anything is."""
    return not one or not other or len(one & other) >= ALIKE * len(one | other)


def marks(record: RunRecord) -> frozenset[str]:
    """Return what a run's symptom is known by: signatures; the tests that failed where the kernel said nothing."""
    return frozenset(found.signature for found in complaints(record)) or symptoms(record)


def symptoms(record: RunRecord) -> frozenset[str]:
    """Return all that the kernel did wrong in a run: tests that failed by its fault, and signatures."""
    blamed = (case for case in record.tests if case.outcome == "failed" and case.blame == VerdictName.KERNEL)
    return frozenset(case.nodeid for case in blamed) | {found.signature for found in complaints(record)}


def complaints(record: RunRecord) -> Iterator[Finding]:
    """Yield what the kernel under test was found to do wrong."""
    of_boots = (found for boot in record.boots if not boot.control for found in boot.findings)
    for found in (*of_boots, *record.findings):
        if found.severity != "info" and found.fault == VerdictName.KERNEL:
            yield found


def named(case: CaseRecord, word: str) -> bool:
    """Tell whether *word* names the test: its node id, the end of it, its function, or a check's id in brackets."""
    inside = case.nodeid.partition("[")[2].removesuffix("]")
    function = case.nodeid.rpartition("::")[2]
    return word in {case.nodeid, function, function.partition("[")[0], inside} or case.nodeid.endswith(f"/{word}")


def _asked(symptom: Symptom, record: RunRecord, known: Known) -> Judged:
    """Look for one symptom; what a run that was ended did not show might have come yet."""
    ask = _check if symptom.kind == "check" else _signature
    voted = ask(symptom.word, record, known)
    if voted.vote == "bad" or not record.interrupted:
        return voted
    return Judged("again", "the run was ended before it had asked everything", voted.evidence)


def _check(word: str, record: RunRecord, known: Known) -> Judged:
    """Let the last attempt at the named tests vote: one that fails by the kernel's fault is enough."""
    cases = [case for case in record.tests if named(case, word) and case.outcome != "retried"]
    bad = [case for case in cases if case.outcome == "failed" and case.blame == VerdictName.KERNEL]
    assert record.verdict
    if bad and record.verdict.name is VerdictName.KERNEL:  # else the bench may have been the reason
        lines = tuple(bad[0].message.splitlines()[:8])
        return Judged("bad", f"{bad[0].nodeid} failed", lines, _first(record))
    open_ = [case for case in cases if case.outcome not in {"passed", "skipped"}]
    if not open_ and any(case.outcome == "passed" for case in cases):
        return Judged("good", f"{word} passed" + _besides(record, known.usual))
    if record.verdict.name is VerdictName.KERNEL:
        return _other(record, f"{word} was not asked", known)
    if not cases or not open_:
        return Judged("skip", f"{word} was {'not run' if not cases else 'skipped'} on this commit")
    return Judged("again", f"{open_[0].nodeid}: {open_[0].outcome}", record.verdict.evidence)


def _signature(word: str, record: RunRecord, known: Known) -> Judged:
    """Let a finding with that signature vote; a run that ended by another symptom may have ended before it."""
    assert record.verdict
    words = {word.lower(), signature("", word).removeprefix(": ").lower()}  # with or without its numbers
    said = (found for found in complaints(record) if any(one in found.signature.lower() for one in words))
    found = next(said, None)
    if found and record.verdict.name is VerdictName.KERNEL:
        return Judged("bad", found.signature, found.text[:8], found)
    as_usual = symptoms(record) <= known.usual and any(boot.reached for boot in record.boots if not boot.control)
    if record.verdict.name is VerdictName.PASS or (record.verdict.name is VerdictName.KERNEL and as_usual):
        return Judged("good", "it was not said" + _besides(record, known.usual))
    if record.verdict.name is VerdictName.KERNEL:
        return _other(record, "it was not said", known)
    return Judged("again", f"{record.verdict.name}: {record.verdict.rule}", record.verdict.evidence)


def _other(record: RunRecord, fact: str, known: Known) -> Judged:
    """Skip a commit that is bad in another way, and not only once."""
    assert record.verdict
    vote: Said = "skip" if known.before and alike(marks(record), known.before) else "again"
    return Judged(vote, f"{fact}; another symptom: {record.verdict.rule}", record.verdict.evidence, _first(record))


def _besides(record: RunRecord, usual: frozenset[str]) -> str:
    others = sorted(symptoms(record) - usual)
    return f"; besides: {others[0]}" if others else ""


def _first(record: RunRecord) -> Finding | None:
    """Return the gravest finding of the kernel, of those the first."""
    grave = {"fatal": 0, "error": 1, "warning": 2}
    return min(complaints(record), key=lambda found: grave.get(found.severity, 3), default=None)
