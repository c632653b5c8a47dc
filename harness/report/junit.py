"""What a run adds to pytest's JUnit XML: properties that tell one run from another."""

from harness.model import STAGES, BootRecord
from harness.report.record import RunRecord
from harness.report.redact import printable


def properties(record: RunRecord) -> list[tuple[str, str]]:
    """Return name and value of each property: identity first, then the seconds of each boot's stages.

    Stages of the first boot are ``boot_seconds.<stage>``, those of the n-th ``boot_<n>_seconds.<stage>``, those of the
    known-good kernel's ``control_boot_seconds.<stage>``. Each attempt at a test that was repeated is a property too.
    """
    identity = [
        ("run_id", record.run_id),
        ("target", record.target),
        ("board", record.board),
        ("kernel_source", record.source),
        ("commit", record.commit + ("-dirty" if record.dirty and record.commit else "")),
        ("release", record.release),
        ("build_id", record.build_id),
        ("toolchain", record.toolchain),
        ("host", record.host),
        ("verdict", str(record.verdict.name) if record.verdict else ""),
        ("verdict_rule", record.verdict.rule if record.verdict else ""),
        ("still_on", record.still_on),
    ]
    times = [
        (f"{_name(boot, number)}_seconds.{stage}", f"{boot.stages[stage]:.3f}")
        for number, boot in enumerate(record.boots, start=1)
        for stage in STAGES
        if stage in boot.stages
    ]
    attempts = [
        (f"attempt_{attempt.number}", f"{attempt.test}: {attempt.verdict}: {attempt.rule}")
        for attempt in record.attempts
    ]
    return [(name, printable(value)) for name, value in [*identity, *times, *attempts] if value]


def _name(boot: BootRecord, number: int) -> str:
    if boot.control:
        return "control_boot"
    return "boot" if number == 1 else f"boot_{number}"
