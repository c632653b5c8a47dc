"""What a person reads at the end of a run: the verdict first, then why, then where to look."""

from harness.model import STAGES, BootRecord
from harness.report.record import RunRecord
from harness.report.redact import printable

WIDTH = 200  # characters of one evidence line; the log has the rest


def lines(record: RunRecord) -> list[str]:
    """Return the summary of *record*, one printable line each, without line ends."""
    return [
        printable(line.replace("\n", " "))[:WIDTH]
        for line in [*_verdict(record), *_identity(record), *_boots(record), *_where(record)]
    ]


def _verdict(record: RunRecord) -> list[str]:
    if record.verdict is None:
        return ["verdict: none (the run did not end)"]
    head = f"verdict: {record.verdict.name}: {record.verdict.rule}"
    return [head, *(f"  | {line}" for line in record.verdict.evidence)]


def _identity(record: RunRecord) -> list[str]:
    commit = f" commit {record.commit[:12]}{'-dirty' if record.dirty else ''}" if record.commit else ""
    kernel = f"kernel {record.release}{commit} ({record.source})" if record.release else "no kernel was built"
    return [f"target: {record.target} ({record.board or 'unknown board'}), {kernel}"]


def _boots(record: RunRecord) -> list[str]:
    return [f"boot {number}: {_boot(boot)}" for number, boot in enumerate(record.boots, start=1)]


def _boot(boot: BootRecord) -> str:
    times = ", ".join(f"{stage} {boot.stages[stage]:.1f} s" for stage in STAGES if stage in boot.stages)
    if boot.reached:
        return times
    return f"{times or 'not one line'}; stopped at stage {boot.last_stage}: {boot.reason or 'no reason known'}"


def _where(record: RunRecord) -> list[str]:
    return [f"full log: {record.console_log}"] if record.console_log else []
