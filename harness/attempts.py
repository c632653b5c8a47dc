"""A test that the bench has spoilt is repeated once, after a cold start; every attempt stays in the record.

pytest-rerunfailures cannot do it: whether to repeat is a verdict over all that came on the console meanwhile, not an
exception's type; the board is to be started cold in between; and of the session's fixtures only some are to be made
anew, for the board, the kernel and the deployed card stay what they are.
"""

from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from _pytest.runner import call_and_report

from harness.errors import LabError
from harness.lab.run import Mark, Run
from harness.model import AttemptRecord, BootRecord, VerdictName
from harness.outcomes import PROGRESS, RUN
from harness.verdict.attempts import Evidence

LEFT = pytest.StashKey[int]()
"""How many tests of this run may still be repeated."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test on a board, twice if need be; all other tests are left to pytest."""
    if "ladder" not in getattr(item, "fixturenames", ()):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    mark, reports = _begin(item, 1)
    if _worth_repeating(item, reports, mark):
        first = item.config.stash[RUN].since(mark)
        _start_over(item, mark, reports)
        mark, reports = _begin(item, 2)
        _compare(item, mark, first)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    ends = item.session.shouldfail or item.session.shouldstop
    _end(item, None if ends else nextitem)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Show an attempt that another one follows as neither passed nor failed."""
    return ("retried", "R", "RETRY") if report.outcome == "rerun" else None  # type: ignore[comparison-overlap]


# --- one attempt, as _pytest.runner.runtestprotocol makes it, in two parts -------------------------------------------
def _begin(item: Any, number: int) -> tuple[Mark, list[pytest.TestReport]]:
    """Set up and call; return how much was known before, and the reports, of which nobody has been told yet."""
    run = item.config.stash.get(RUN, None)
    if run:
        run.attempt = number
    if not item._request:  # noqa: SLF001 - pytest takes it away after an attempt, and does this for plugins that repeat
        item._initrequest()  # noqa: SLF001
    mark = run.mark() if run else Mark()
    reports = [call_and_report(item, "setup", log=False)]
    if reports[0].passed and not item.config.getoption("setuponly", False):
        reports.append(call_and_report(item, "call", log=False))
    return mark, reports


def _end(item: Any, nextitem: pytest.Item | None, *, log: bool = True) -> None:
    try:
        call_and_report(item, "teardown", log=log, nextitem=nextitem)
    finally:
        item._request, item.funcargs = False, None  # noqa: SLF001


# --- from one attempt to the next ------------------------------------------------------------------------------------
def _worth_repeating(item: pytest.Item, reports: list[pytest.TestReport], mark: Mark) -> bool:
    left = item.config.stash.setdefault(LEFT, item.config.option.lab_retries)
    run = item.config.stash.get(RUN, None)
    failed = any(report.failed for report in reports)
    return failed and left > 0 and run is not None and run.worth_repeating(mark)


def _start_over(item: Any, mark: Mark, reports: list[pytest.TestReport]) -> None:
    """Tear down what belongs to the test, put its attempt aside, and bring the board to where a new one can begin."""
    run: Run = item.config.stash[RUN]
    item.config.stash[LEFT] -= 1
    _end(item, item.parent, log=False)
    attempt = run.set_aside(item.nodeid, mark)
    for report in reports:
        if report.failed:
            report.outcome = "rerun"  # type: ignore[assignment]  # pytest's own plugins take it for neither
            item.ihook.pytest_runtest_logreport(report=report)
    _tell(item.config, attempt)
    with suppress(LabError):  # the strategy remembers it and raises it again: the next attempt shall end by it
        run.start_over()
    _forget_failures(item)


def _compare(item: pytest.Item, mark: Mark, first: Evidence) -> None:
    """Note the second attempt; a bench that failed again is not asked a third time, by any test."""
    run = item.config.stash[RUN]
    second = run.end_attempt(item.nodeid, mark, first)
    run.attempt = 1
    if second.verdict in {VerdictName.LAB, VerdictName.INCONCLUSIVE}:
        item.config.stash[LEFT] = 0


def _tell(config: pytest.Config, attempt: AttemptRecord) -> None:
    if PROGRESS in config.stash:
        why = f"attempt {attempt.number} was {attempt.verdict} ({attempt.rule})"
        config.stash[PROGRESS](f"once more: {attempt.test}: {why}; the board is started cold")


def _forget_failures(item: Any) -> None:
    """Let fixtures be made anew that failed, or hold a boot that did; and with each all that was made of it."""
    known = item._fixtureinfo.name2fixturedefs  # noqa: SLF001 - pytest has no public way
    for fixture in [fixture for fixtures in known.values() for fixture in fixtures]:
        if fixture.cached_result is None:
            continue
        value, _, error = fixture.cached_result
        if error is not None or (isinstance(value, BootRecord) and not value.reached):
            fixture.finish(SimpleNamespace(node=item))
