"""Tests of the Linux Test Project, where the image has it: ``--ltp SUITE`` or ``--ltp SUITE:TEST,TEST``."""

import pytest

from harness.console.shell import Shell
from harness.errors import CheckFailed, UsageError
from harness.lab import suites
from harness.lab.run import Run
from harness.model import Finding


def test_ltp(ltp: str, shell: Shell, run: Run, request: pytest.FixtureRequest) -> None:
    if shell.run(f"test -d {suites.LTP}/runtest").status:
        pytest.skip(f"no LTP on this image: it would be in {suites.LTP}")
    suite, _, names = ltp.partition(":")
    entries, unknown = suites.ltp_entries(shell, suite, filter(None, names.split(",")))
    if unknown:
        raise UsageError(f"--ltp: {suites.LTP}/runtest/{suite} has no test {', '.join(unknown)}")
    found: list[Finding] = []
    for entry in entries:
        results, said, seconds = suites.ltp_test(shell, entry)
        run.note_results(f"{request.node.nodeid}::{entry.name}", results, said=said, seconds=seconds)
        found += suites.objections(entry.name, results, said)
    if found:
        raise CheckFailed(shell.target, f"LTP {suite}", found)
