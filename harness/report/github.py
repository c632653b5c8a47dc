"""A run as annotations of a GitHub workflow: one line each, which the runner shows at the commit or pull request.

Source: https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
GitHub keeps ten errors and ten warnings of a step, so the verdict comes first and what is worst next.
"""

from collections.abc import Iterator

from harness.model import VerdictName
from harness.report.overview import findings
from harness.report.record import RunRecord
from harness.report.redact import printable

LIMIT = 4000  # characters of a message; GitHub cuts it somewhere, and the page has the rest
LEVELS = {VerdictName.PASS: "notice", VerdictName.LAB: "warning", VerdictName.INCONCLUSIVE: "warning"}
"""How loud a verdict is; all others are errors of what was tested."""
BENCH = ("LAB", "INCONCLUSIVE")


def annotations(record: RunRecord) -> str:
    """Return the annotations of *record*, a line each, each ending in a newline."""
    return "".join(f"{line}\n" for line in [_verdict(record), *_tests(record), *_findings(record)])


def command(level: str, message: str, *, title: str, file: str = "") -> str:
    """Return one annotation; nothing in *message* can end it or begin another."""
    told = {"file": file, "title": title}
    properties = ",".join(f"{name}={_property(value)}" for name, value in told.items() if value)
    return f"::{level} {properties}::{_data(message)}"


def _verdict(record: RunRecord) -> str:
    if record.verdict is None:
        return command("warning", "the run did not come to its end", title=f"{record.target}: no verdict")
    name = record.verdict.name
    lines = [record.verdict.rule, *record.verdict.evidence]
    if record.still_on:
        lines.insert(0, f"the board is still ON: it could not be switched off: {record.still_on}")
    title = f"{record.target}: {name}, kernel {record.release or 'not built'}"
    return command(LEVELS.get(name, "error"), "\n".join(lines), title=title)


def _tests(record: RunRecord) -> Iterator[str]:
    for case in record.tests:
        if case.outcome in {"failed", "error"}:
            mild = (case.blame or case.fault) in BENCH or case.outcome == "error"
            title = f"{case.nodeid} {case.outcome}"
            yield command(_level(record, mild=mild), case.message, title=title, file=case.nodeid.partition("::")[0])


def _level(record: RunRecord, *, mild: bool) -> str:
    """Return how loud one complaint may be: no louder than the verdict, for the bench may explain it."""
    loud = record.verdict is None or record.verdict.name not in LEVELS
    return "error" if loud and not mild else "warning"


def _findings(record: RunRecord) -> Iterator[str]:
    for where, found in findings(record):
        if found.severity != "info":
            mild = found.severity == "warning" or found.fault in BENCH
            title = f"{record.target}: {found.kind} ({found.fault}), {where}"
            yield command(_level(record, mild=mild), "\n".join([found.message, *found.text[:20]]), title=title)


def _data(text: str) -> str:
    return printable(text[:LIMIT]).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
