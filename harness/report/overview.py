"""What of a run's record takes more than one of its fields to see."""

from collections.abc import Iterator

from harness.model import AttemptRecord, BootRecord, Finding
from harness.report.record import RunRecord


def heading(boot: BootRecord, number: int) -> str:
    """Return what a boot is called; *number* is 1-based."""
    return f"Control boot, {boot.release}" if boot.control else f"Boot {number}"


def set_aside(record: RunRecord) -> dict[int, AttemptRecord]:
    """Return 1-based numbers of the boots that do not count, with the attempt to which each belonged."""
    aside = [attempt for attempt in record.attempts if attempt.set_aside]
    there = range(1, len(record.boots) + 1)
    return {number: each for each in aside for number in there if each.first_boot <= number <= each.last_boot}


def boots(record: RunRecord) -> Iterator[tuple[int, BootRecord, str]]:
    """Yield number, boot and kind of each: ``test``, ``set_aside``, or ``control`` for the known-good kernel's."""
    aside = set_aside(record)
    for number, boot in enumerate(record.boots, start=1):
        yield number, boot, "control" if boot.control else "set_aside" if number in aside else "test"


def findings(record: RunRecord) -> Iterator[tuple[str, Finding]]:
    """Yield where each finding came up, and the finding; one that is told twice comes once."""
    seen: set[Finding] = set()
    booted = [(heading(boot, number), boot.findings) for number, boot, _ in boots(record)]
    attempts = [(f"Attempt {each.number} at {each.test}", each.findings) for each in record.attempts]
    for where, found in [*booted, ("During the tests", record.findings), *attempts]:
        yield from ((where, each) for each in found if each not in seen)
        seen.update(found)
