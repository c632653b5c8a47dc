"""How a run ends: whose fault decides the colour of a test, and the verdict the exit status."""

import os
from collections.abc import Generator

import attrs
import pytest
from _pytest.junitxml import xml_key

from harness.errors import CheckFailed, Pi64Error, TargetError
from harness.lab.run import Run
from harness.model import VerdictName
from harness.progress import Progress
from harness.report import junit, summary
from harness.report.redact import printable, without_credentials

RUN = pytest.StashKey[Run]()
"""The record of this run; not there while no fixture has asked for it."""
PROGRESS = pytest.StashKey[Progress]()
PLACEHOLDER = os.devnull  # where JUnit XML would go if there were no run; the run's folder is known later


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Fail a test during which the kernel complained on the console."""
    run = item.config.stash.get(RUN, None)
    before = run.position() if run else 0
    try:
        yield
    except Exception as error:
        if run and not isinstance(error, CheckFailed):
            run.take(run.complaints(since=before))
        raise
    if run and (complaints := run.complaints(since=before)):
        asked = f"the kernel complained during {item.name}"
        raise CheckFailed(run.target, asked, complaints, hint=f"full console log: {run.console}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Whose fault it is decides the colour: the bench is an *error*, what is under test *failed*, in whatever phase."""
    if PROGRESS in item.config.stash:
        item.config.stash[PROGRESS].clear()
    report = yield
    error = call.excinfo.value if call.excinfo else None
    if isinstance(error, Pi64Error):
        run = item.config.stash.get(RUN, None)
        report.longrepr = run.clean(str(error)) if run else printable(without_credentials(str(error)))
        if report.when != "teardown":
            report.when = "call" if isinstance(error, TargetError) else "setup"
    if RUN in item.config.stash and (report.when == "call" or report.outcome != "passed"):
        item.config.stash[RUN].case(report, error)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Judge the run and write the last of its record, before pytest writes its JUnit XML."""
    config = session.config
    xml = config.stash.get(xml_key, None)
    if RUN in config.stash:
        run = config.stash[RUN]
        record = run.finish(interrupted=exitstatus in {pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR})
        if exitstatus == pytest.ExitCode.OK and record.verdict and record.verdict.name is not VerdictName.PASS:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED  # nobody shall read one thing here and another there
        for name, value in junit.properties(record):
            if xml:
                xml.add_global_property(name, value)
        if xml and xml.logfile == PLACEHOLDER:
            xml.logfile = str(run.folder / "junit.xml")
    elif xml and xml.logfile == PLACEHOLDER:
        config.pluginmanager.unregister(xml)
        del config.stash[xml_key]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say the verdict first, then why, then where to look."""
    if RUN in config.stash:
        terminalreporter.section("pi64")
        run = config.stash[RUN]
        for line in summary.lines(attrs.evolve(run.record, console_log=os.path.relpath(run.console))):
            terminalreporter.line(line)
