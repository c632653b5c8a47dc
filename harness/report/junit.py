"""What a run adds to pytest's JUnit XML: properties that tell one run from another."""

from harness.model import STAGES
from harness.report.record import RunRecord
from harness.report.redact import printable


def properties(record: RunRecord) -> list[tuple[str, str]]:
    """Return name and value of each property: identity first, then the seconds of each boot's stages.

    Stages of the first boot are ``boot_seconds.<stage>``, those of the n-th ``boot_<n>_seconds.<stage>``.
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
    ]
    times = [
        (f"{'boot' if number == 1 else f'boot_{number}'}_seconds.{stage}", f"{boot.stages[stage]:.3f}")
        for number, boot in enumerate(record.boots, start=1)
        for stage in STAGES
        if stage in boot.stages
    ]
    return [(name, printable(value)) for name, value in [*identity, *times] if value]
