"""What a person reads at the end of a run: the verdict first, then why, then where to look."""

from harness.model import STAGES, AttemptRecord, BootRecord
from harness.report import spread
from harness.report.record import RunRecord
from harness.report.redact import printable

WARNINGS = 5  # shown; run.json has all
WIDTH = 200  # characters of one evidence line; the log has the rest


def lines(record: RunRecord) -> list[str]:
    """Return the summary of *record*, one printable line each, without line ends."""
    return [
        printable(line.replace("\n", " "))[:WIDTH]
        for line in [
            *_bench(record),
            *_verdict(record),
            *_identity(record),
            *_build(record),
            *_boots(record),
            *spread.lines(record.measurements),
            *_where(record),
        ]
    ]


def _bench(record: RunRecord) -> list[str]:
    return [f"!!! the board is still ON: it could not be switched off: {record.still_on}"] if record.still_on else []


def _verdict(record: RunRecord) -> list[str]:
    if record.verdict is None:
        return ["verdict: none (the run did not end)"]
    head = f"verdict: {record.verdict.name}: {record.verdict.rule}"
    return [head, *(f"  | {line}" for line in record.verdict.evidence)]


def _identity(record: RunRecord) -> list[str]:
    commit = f" commit {record.commit[:12]}{'-dirty' if record.dirty else ''}" if record.commit else ""
    kernel = f"kernel {record.release}{commit} ({record.source})" if record.release else "no kernel was built"
    return [f"target: {record.target} ({record.board or 'unknown board'}), {kernel}"]


def _build(record: RunRecord) -> list[str]:
    """Return what the build cost, if there was one, and the warnings that are new."""
    cached = f", ccache had {record.ccache_rate:.0%}" if record.ccache_rate is not None else ""
    built = [f"built in {record.build_seconds:.0f} s{cached}"] if record.build_seconds else []
    new = record.new_warnings
    count = [f"{len(new)} of {record.warnings} warnings are new since the last good build:"] if new else []
    return [*built, *count, *(f"  | {warning}" for warning in new[:WARNINGS])]


def _boots(record: RunRecord) -> list[str]:
    """Return a line for each boot, and behind the boots of an attempt that was set aside what it was."""
    aside = [attempt for attempt in record.attempts if attempt.set_aside]
    lines = [_attempt(attempt) for attempt in aside if not attempt.first_boot]
    for number, boot in enumerate(record.boots, start=1):
        marked = next((each for each in aside if each.first_boot <= number <= each.last_boot), None)
        head = f"control boot ({boot.release})" if boot.control else f"boot {number}"
        lines.append(f"{head}{' (set aside)' if marked else ''}: {_boot(boot)}")
        if marked and marked.last_boot == number:
            lines.append(_attempt(marked))
    return lines


def _attempt(attempt: AttemptRecord) -> str:
    return f"retried: {attempt.test}: attempt {attempt.number} was {attempt.verdict}: {attempt.rule}"


def _boot(boot: BootRecord) -> str:
    times = ", ".join(f"{stage} {boot.stages[stage]:.1f} s" for stage in STAGES if stage in boot.stages)
    if boot.reached:
        return times
    return f"{times or 'not one line'}; stopped at stage {boot.last_stage}: {boot.reason or 'no reason known'}"


def _where(record: RunRecord) -> list[str]:
    card = f"the card now holds the known-good kernel {record.left_on_card}, not the one under test"
    log = f"full log: {record.console_log}"
    return [line for line, there in ((card, record.left_on_card), (log, record.console_log)) if there]
