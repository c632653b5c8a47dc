"""How a run ends: whose fault decides the colour of a test, and the verdict the exit status."""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager

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
PAGE = pytest.StashKey[str]()
"""A line that says where the page of this run lies, or why there is none."""
SIGNALLED = pytest.StashKey[float]()
"""There once a signal has told the run to end: when, on the monotonic clock."""
PLACEHOLDER = os.devnull  # where JUnit XML would go if there were no run; the run's folder is known later


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Take what the kernel complained about since the last test: it is not the next one's doing."""
    if RUN in item.config.stash:
        item.config.stash[RUN].take_complaints()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """Fail a test when the kernel complained while its fixtures were made, outside of a boot's own record."""
    with _listening(item, "the set-up of "):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Fail a test during which the kernel complained on the console."""
    with _listening(item):
        yield


@contextmanager
def _listening(item: pytest.Item, phase: str = "") -> Iterator[None]:
    """Fail for what the kernel complains about meanwhile; what ends otherwise goes on to, and it is only noted."""
    stash = item.config.stash
    before = stash[RUN].position() if RUN in stash else 0
    try:
        yield
    except BaseException as error:  # pytest's own skip, fail and xfail too
        if RUN in stash:
            stash[RUN].take_complaints(besides=error.findings if isinstance(error, CheckFailed) else ())
        raise
    run = stash.get(RUN, None)
    if run and not run.up:
        run.take_complaints()
    elif run and (complaints := run.complaints()):
        command = run.during(complaints[0], since=before)
        asked = f"the kernel complained during {phase}{item.name}" + (f", while `{command}` ran" if command else "")
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
    # What was logged holds what relays, servers and boards said, in their own words.
    report.sections = [(name, printable(text) if "log" in name else text) for name, text in report.sections]
    if RUN in item.config.stash and (report.when == "call" or report.outcome != "passed"):
        item.config.stash[RUN].case(
            report, AssertionError(error) if isinstance(error, pytest.fail.Exception) else error
        )
    return report


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> Generator[None]:
    """Let the board go, judge the run and write the last of its record, before pytest writes its JUnit XML."""
    try:
        session._setupstate.teardown_exact(None)  # noqa: SLF001 - what an interrupt left standing, the power too
    finally:
        _end(session, exitstatus)
    try:
        return (yield)
    except OSError as error:  # a full disk must not take the summary away
        if RUN not in session.config.stash:
            raise
        session.config.stash[RUN].fail_to_write(error)
        session.exitstatus = max(session.exitstatus, pytest.ExitCode.TESTS_FAILED)
    finally:
        if RUN in session.config.stash:
            session.config.stash[PAGE] = session.config.stash[RUN].publish()


def _end(session: pytest.Session, exitstatus: int) -> None:
    config = session.config
    xml = config.stash.get(xml_key, None)
    if RUN in config.stash:
        run = config.stash[RUN]
        ended = exitstatus in {pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR}
        record = run.finish(interrupted=ended or SIGNALLED in config.stash)
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
        if PAGE in config.stash:
            terminalreporter.line(config.stash[PAGE])
