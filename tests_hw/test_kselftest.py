"""The kernel's own tests, built from the tree of the kernel that runs: ``--kselftest TARGET,TARGET``."""

import pytest

from harness.build.selftests import Selftests
from harness.console.shell import Shell
from harness.errors import CheckFailed
from harness.lab import suites
from harness.lab.run import Run
from harness.model import Finding, KernelBuild


def test_kselftest(
    selftest: str,
    selftests: Selftests,
    shell: Shell,
    kernel: KernelBuild,
    run: Run,
    request: pytest.FixtureRequest,
) -> None:
    """Each of their tests stands in the record by itself; this one fails with the first of them."""
    found: list[Finding] = []
    for program in selftests.programs(selftest):
        results, said, seconds = suites.selftest(shell, program, kernel.release)
        run.note_results(f"{request.node.nodeid}::{program.name}", results, said=said, seconds=seconds)
        found += suites.objections(program.name, results, said)
    if found:
        raise CheckFailed(shell.target, f"kselftest {selftest}", found)
