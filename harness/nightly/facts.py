"""What a run's record says that history keeps: which outcomes count, which boots, which signatures. Pure.

The one rule behind it: whatever the bench had a hand in says nothing about the kernel, neither good nor bad.
"""

import datetime
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import attrs

from harness.errors import UsageError
from harness.model import BootRecord, Finding, VerdictName
from harness.report.record import CaseRecord, RunRecord

BUILD = "build"
"""The name under which the build's outcome stands beside those of the tests."""
LETTERS = {
    "passed": "p", "failed": "f", "error": "e", "skipped": "s", "retried": "r", "xfailed": "x", "xpassed": "X",
}  # fmt: skip
HEADLINE = 160  # characters of a failed test's message; the record has it all
_UNDER_TEST = {VerdictName.KERNEL, VerdictName.DEPLOY}


@attrs.frozen
class Outcome:
    """How one attempt at a test ended, and what that says about the kernel."""

    test: str
    attempt: int
    outcome: str
    good: bool | None
    """None: nothing."""
    blame: str
    seconds: float
    headline: str


@attrs.frozen
class Boot:
    """One boot with its number among the run's, from 1."""

    number: int
    record: BootRecord
    set_aside: bool


@attrs.frozen
class Sighting:
    """One signature in one run: its first finding, and how many there are."""

    finding: Finding
    times: int


def image(record: RunRecord) -> str:
    """Return which system lay below the kernel, in one word: origin and digest."""
    return f"{record.image}\n{record.image_digest}".strip()


def started(record: RunRecord) -> int:
    """Return when the run began, in seconds since 1970; UsageError when the record does not say."""
    return _seconds(record.started, record.run_id)


def finished(record: RunRecord) -> int | None:
    """Return when it ended; None while it runs, and for one that was killed."""
    return _seconds(record.finished, record.run_id) if record.finished and record.verdict else None


def outcomes(record: RunRecord) -> list[Outcome]:
    """Return what came of the build and of each test; what a test and its teardown brought is one outcome."""
    found: dict[tuple[str, int], Outcome] = {}
    for one in [*_build(record), *(_outcome(case, record) for case in record.tests)]:
        key = (one.test, one.attempt)
        found[key] = _worse(found[key], one) if key in found else one
    return list(found.values())


def boots(record: RunRecord) -> list[Boot]:
    """Return all boots."""
    aside = {
        number
        for attempt in record.attempts
        if attempt.set_aside and attempt.first_boot
        for number in range(attempt.first_boot, attempt.last_boot + 1)
    }
    return [Boot(number, boot, number in aside) for number, boot in enumerate(record.boots, start=1)]


def sightings(record: RunRecord) -> list[Sighting]:
    """Return each signature once: of tests and of boots, but not of control boots and attempts that were set aside."""
    kept = (boot.record for boot in boots(record) if not boot.set_aside and not boot.record.control)
    findings = [*record.findings, *(found for boot in kept for found in boot.findings)]
    times = Counter(found.signature for found in findings)
    first = {found.signature: found for found in reversed(findings)}
    return [Sighting(found, times[signature]) for signature, found in first.items()]


def control_failed(record: RunRecord) -> str | None:
    """Return why the known-good kernel did not boot on this rig; None if it did, or was not asked to."""
    failed = (boot for boot in record.boots if boot.control and not boot.reached)
    return next((f"{boot.release}: {boot.reason or 'no login'}" for boot in failed), None)


def configuration(record: RunRecord) -> tuple[str, tuple[str, ...]]:
    """Return base and fragments as they were asked for: known of a kernel that did not build, too.

    An empty base is the default for the board; whoever brought a kernel that is built already asked for nothing.
    """
    kernel = record.asked.get("kernel")
    if not isinstance(kernel, Mapping):
        return record.base_config, record.fragments
    if kernel.get("prebuilt"):
        return "", ()
    return str(kernel.get("config") or ""), tuple(map(str, kernel.get("fragments") or ()))


def setup(record: RunRecord) -> dict[str, object]:
    """Return what else was asked for, besides the kernel: layout, image, lines for config.txt ..."""
    return {name: value for name, value in sorted(record.asked.items()) if name != "kernel"}


# --- outcomes --------------------------------------------------------------------------------------------------------
def _build(record: RunRecord) -> Iterator[Outcome]:
    verdict = record.verdict
    if verdict and verdict.name is VerdictName.BUILD:
        said = verdict.evidence[0] if verdict.evidence else verdict.rule
        yield Outcome(BUILD, 1, "failed", False, "BUILD", record.build_seconds, _headline(said))
    elif record.release:
        yield Outcome(BUILD, 1, "passed", True, "", record.build_seconds, "")


def _outcome(case: CaseRecord, record: RunRecord) -> Outcome:
    blame = case.blame or case.fault
    if not blame and case.outcome in {"failed", "error"}:  # a record from before `blame`
        blame = "KERNEL" if case.outcome == "failed" else "INCONCLUSIVE"
    good = _good(case.outcome, blame, record)
    headline = _headline(case.message) if case.message else ""
    return Outcome(case.nodeid, case.attempt, case.outcome, good, blame, case.seconds, headline)


def _good(outcome: str, blame: str, record: RunRecord) -> bool | None:
    """Return whether *outcome* speaks for the kernel, or against it.

    With the verdict LAB nothing does. With INCONCLUSIVE the bench may explain what failed, not what passed.
    """
    verdict = record.verdict.name if record.verdict else None
    if verdict in {None, VerdictName.LAB} or control_failed(record):
        return None
    if outcome in {"passed", "xpassed"}:
        return True
    counts = outcome in {"failed", "error"} and blame in _UNDER_TEST and verdict is not VerdictName.INCONCLUSIVE
    return False if counts else None


def _worse(one: Outcome, other: Outcome) -> Outcome:
    """Return the outcome that counts of the two: against, then nothing known, then for."""
    rank = {False: 0, None: 1, True: 2}
    first, second = sorted((one, other), key=lambda each: rank[each.good])
    return attrs.evolve(first, seconds=one.seconds + other.seconds, headline=first.headline or second.headline)


def _headline(message: str) -> str:
    """Return the line that says what went wrong: of what pytest prints of an assertion, the one behind ``E``."""
    lines = message.splitlines()
    said = next((line[1:] for line in lines if line.startswith("E ")), next(iter(filter(str.strip, lines)), ""))
    return " ".join(said.split())[:HEADLINE]


def _seconds(stamp: str, name: str) -> int:
    try:
        moment = datetime.datetime.fromisoformat(stamp)
    except ValueError as error:
        raise UsageError(f"{name}: no time: {stamp[:40]!r}") from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp())


def joined(names: Iterable[str]) -> str:
    """Return *names*, sorted, as history keeps a list of them: one a line."""
    return "\n".join(sorted({" ".join(str(name).split()) for name in names}))
