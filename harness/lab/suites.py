"""Run test programs on the board, one command each, and read what they say."""

import shlex
from collections.abc import Callable, Iterable

from harness.build.selftests import Program
from harness.console.shell import Shell
from harness.deploy.modules import SELFTESTS
from harness.errors import UsageError
from harness.model import Finding
from harness.verdict import ktap, ltp
from harness.verdict.findings import finding
from harness.verdict.ktap import Result
from harness.verdict.lines import clean
from harness.verdict.ltp import Entry

LTP = "/opt/ltp"
LTP_TIMEOUT_S = 300.0  # of one test; most take less than one
KILL_S = 5  # after that timeout(1) kills what it could not end
SLACK_S = 30.0  # until the board's own timeout(1) has ended a program, and its answer has come
SHOWN = 12  # lines of a program in a finding; the whole of it lies beside the record
NAMED = 3  # tests in its message


def selftest(shell: Shell, program: Program, release: str) -> tuple[list[Result], str, float]:
    """Run one program of kselftest; return its tests (itself last), what it said, and how many seconds it took."""
    folder = f"/lib/modules/{release}/{SELFTESTS}/{program.target}"
    return _run(shell, folder, f"./{shlex.quote(program.name)}", program.timeout_s, ktap.read)


def ltp_entries(shell: Shell, suite: str, wanted: Iterable[str]) -> tuple[list[Entry], list[str]]:
    """Return the tests of *suite* that are *wanted*, all if none is named, and the names that it has not.

    UsageError where the image has no such suite: the kernel is not to blame for a name.
    """
    listed = shell.run(f"cat {LTP}/runtest/{shlex.quote(suite)}")
    if listed.status:
        there_are = " ".join(shell.run(f"ls {LTP}/runtest").output.split())
        raise UsageError(f"--ltp: {LTP}/runtest has no {suite}", hint=f"it has {there_are}"[:400])
    there, names = {entry.name: entry for entry in ltp.entries(listed.output)}, list(wanted)
    found = [there[name] for name in names if name in there] if names else list(there.values())
    return found, [name for name in names if name not in there]


def ltp_test(shell: Shell, entry: Entry) -> tuple[list[Result], str, float]:
    """Run one test of LTP, as root; as `selftest`."""
    # A line of runtest is a shell's: it may set variables and have redirections.
    command = f"env LTPROOT={LTP} TMPDIR=/tmp PATH={LTP}/testcases/bin:$PATH sh -c {shlex.quote(entry.command)}"
    return _run(shell, "/tmp", command, LTP_TIMEOUT_S, lambda text, status: [ltp.read(text, status)])  # noqa: S108 - the board's


def _run(
    shell: Shell, folder: str, command: str, timeout_s: float, read: Callable[[str, int], list[Result]]
) -> tuple[list[Result], str, float]:
    whole = f"cd {shlex.quote(folder)} && sudo timeout -k {KILL_S} {timeout_s:g} {command} 2>&1"
    done = shell.run(whole, timeout=timeout_s + KILL_S + SLACK_S)
    return read(done.output, done.status), done.output, done.seconds


def objections(test: str, results: Iterable[Result], said: str) -> list[Finding]:
    """Return what to object to program *test*: one finding, however many of its tests failed; the record has each."""
    *inner, whole = results
    if whole.outcome != ktap.FAILED:
        return []
    failed = ["::".join(result.path) for result in ktap.failures(inner)]
    named = f": {', '.join(failed[:NAMED])}{' ...' if failed[NAMED:] else ''}" if failed else ""
    lines = [line for line in said.splitlines() if "not ok" in line] if failed else said.splitlines()[-SHOWN:]
    text = map(clean, lines[:SHOWN])  # a program may say anything, in lines of any length
    return [finding("test-failed", f"{test}: {whole.said}{named}", fault="KERNEL", text=text)]
