"""What is asked of a running kernel beyond its boot: checks, inventories, restarts, and test suites by name.

The third part of the pytest plugin. Of a suite or a restart that nobody asked for there is no test at all.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import attrs
import pytest

from harness import checks
from harness.build import selftests as kselftest
from harness.build.selftests import Selftests
from harness.checks import Check, Inventory
from harness.console.shell import Shell
from harness.errors import BootFailed, CheckFailed
from harness.lab.run import Run
from harness.model import BoardProfile, BootRecord, Finding, KernelBuild
from harness.nightly import lastgood
from harness.progress import Progress
from harness.report import spread

GROUPS = ("identity", "inventory", "check")
ASKED_FOR = ("restart", "selftest", "ltp")
AGAIN_S = 5.0
"""Until an inventory is taken once more before it is objected to: a driver may wait for another, a service load it."""


@attrs.frozen
class Restart:
    """One more boot."""

    cold: bool
    """From power-on; else by ``reboot``."""
    number: int

    @property
    def kind(self) -> str:
        """As measurements call it."""
        return "cold" if self.cold else "warm"


# --- which tests there are -------------------------------------------------------------------------------------------
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test that asks for ``check``, ``restart``, ``selftest`` ... all there are; None where there is none."""
    option = metafunc.config.option
    taken = {name for mark in metafunc.definition.iter_markers("parametrize") for name in _named(mark)}
    wanted = {
        **{group: [check for check in checks.load_all() if check.group == group] for group in GROUPS},
        "restart": [Restart(cold, number) for number in range(1, option.boots + 1) for cold in (True, False)],
        "selftest": option.kselftest,
        "ltp": option.ltp,
    }
    for name in wanted.keys() & set(metafunc.fixturenames) - taken:
        metafunc.parametrize(name, wanted[name] or [None], ids=_called)


def _named(mark: pytest.Mark) -> set[str]:
    """Return the fixtures that a test's own ``parametrize`` gives."""
    names = mark.args[0] if mark.args else mark.kwargs.get("argnames", ())
    return {name.strip() for name in names.split(",")} if isinstance(names, str) else set(names)


def _called(value: object) -> str | None:
    if isinstance(value, Restart):
        return f"{value.kind}-{value.number}"
    return value.name if isinstance(value, Check) else None if value is None else str(value)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what nobody asked for: it is not skipped, for the board could do it."""
    items[:] = [item for item in items if not _unasked(getattr(getattr(item, "callspec", None), "params", {}))]


def _unasked(params: Mapping[str, object]) -> bool:
    return any(name in params and params[name] is None for name in (*GROUPS, *ASKED_FOR))


# --- checks and inventories ------------------------------------------------------------------------------------------
@pytest.fixture
def ask(
    request: pytest.FixtureRequest,
    shell: Shell,
    kernel: KernelBuild,
    board: BoardProfile,
    features: frozenset[str],
) -> Callable[[Check], None]:
    """Put a check's question to the running kernel; CheckFailed for a wrong answer, skipped where it does not apply."""

    def put(check: Check) -> None:
        if unfit := check.unfit(features):
            pytest.skip(f"{check.name}: {unfit}")
        found = judged(check)
        if found and check.inventory:
            time.sleep(AGAIN_S)
            found = judged(check)
        if found:
            raise CheckFailed(shell.target, check.name, found)

    def judged(check: Check) -> list[Finding]:
        output = shell.check(check.command(kernel), timeout=check.timeout_s)
        if check.inventory:
            compare: Callable[[Inventory, str], list[Finding]] = request.getfixturevalue("compared")
            return compare(check.inventory, output)
        return check.judge(output, kernel, board)

    return put


@pytest.fixture(scope="session")
def compared(request: pytest.FixtureRequest, run: Run) -> Callable[[Inventory, str], list[Finding]]:
    """Note what is there, and return what is worse than in the board's own last good run.

    Without a history, or a good run in it, there is nothing to compare with: the record says so, and nothing fails.
    """
    runs, accept = run.folder.parent, request.config.option.accept_changes
    problem = lastgood.catch_up(runs)

    def compare(inventory: Inventory, output: str) -> list[Finding]:
        there = run.note_inventory(inventory.kind, inventory.names(output))
        before = lastgood.before(runs, run.record, inventory.kind)
        changes = inventory.changes(there, [good.there for good in before.runs])
        told = f"{before.told} ({problem})" if problem and before.runs else before.told
        accepted = f"; accepted: {', '.join(changes)}" if changes and accept else ""
        run.note_comparison(inventory.kind, told + accepted)
        return [] if accept else inventory.objections(changes, before.told)

    return compare


# --- restarts --------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="session")
def restarted(run: Run) -> Iterator[Callable[[Restart, BootRecord], None]]:
    """Takes each boot that ``--boots`` asked for; in the end their spread is measured."""
    boots: dict[str, list[BootRecord]] = {"cold": [], "warm": []}
    yield lambda restart, boot: boots[restart.kind].append(boot)
    for measured in spread.measurements({kind: records for kind, records in boots.items() if records}):
        run.measure(measured)


@pytest.fixture
def up(boot: BootRecord, run: Run) -> None:
    """The kernel under test has booted once: BootFailed for whoever comes after it has not."""
    if not boot.reached:
        raise BootFailed(boot, brief=run.told(boot))


# --- suites ----------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="session")
def selftests(request: pytest.FixtureRequest, kernel: KernelBuild, run: Run, progress: Progress) -> Selftests | None:
    """The kernel's own tests of the targets that ``--kselftest`` names, built; None where it names none."""
    targets = request.config.option.kselftest
    if not targets:
        return None
    log: Path = run.folder / "kselftest.log"
    return kselftest.build(kernel, targets, log=log, progress=progress)
