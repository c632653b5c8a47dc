"""Test programs on a board: the command, what becomes of the answer, and what stands in the record."""

import json
from pathlib import Path

import pytest

from harness.build.selftests import Program
from harness.errors import UsageError
from harness.lab import suites
from harness.lab.run import Run
from harness.model import CommandResult
from harness.verdict.ktap import Result
from harness.verdict.ltp import Entry

SAID = "TAP version 13\n1..3\nok 1 a\nnot ok 2 b\nok 3 c # SKIP no clock\n"


class OneAnswer:
    """A shell that answers everything alike."""

    target = "desk"

    def __init__(self, output: str = "", status: int = 0) -> None:
        self.asked: list[tuple[str, float]] = []
        self.output, self.status = output, status

    def run(self, command: str, *, timeout: float = 30.0) -> CommandResult:
        self.asked.append((command, timeout))
        return CommandResult(command, self.output, self.status, 1.5)

    def check(self, command: str, *, timeout: float = 30.0) -> str:
        return self.run(command, timeout=timeout).output


def test_a_program_has_its_targets_time_and_the_board_ends_it_first() -> None:
    shell = OneAnswer(SAID, 1)
    results, said, seconds = suites.selftest(shell, Program("arm64/abi", "odd name", 45.0), "6.12.1")
    command, timeout = shell.asked[0]
    assert command == ("cd /lib/modules/6.12.1/kselftest/arm64/abi && sudo timeout -k 5 45 ./'odd name' 2>&1")
    assert timeout > 45 + 5
    assert [result.outcome for result in results] == ["passed", "failed", "skipped", "failed"]
    assert (said, seconds) == (SAID, 1.5)


def test_however_many_tests_fail_it_is_one_finding_with_their_lines() -> None:
    failed = [Result((f"t{number}",), "failed") for number in range(5)]
    found = suites.objections("prog", [*failed, Result((), "failed", "5 of 5 failed")], "ok 1 x\nnot ok 2 t0\n")
    assert [each.message for each in found] == ["prog: 5 of 5 failed: t0, t1, t2 ..."]
    assert found[0].text == ("not ok 2 t0",)


def test_whatever_a_program_says_its_lines_stay_short_and_plain() -> None:
    found = suites.objections("prog", [Result((), "failed", "status 1")], f"\x1b[2J{'x' * 9999}\n")
    assert set(found[0].text[0]) == {"x"}
    assert len(found[0].text[0]) < 3000


def test_a_program_that_passed_or_was_skipped_meets_no_objection() -> None:
    for outcome in ("passed", "skipped"):
        assert suites.objections("prog", [Result((), outcome)], "") == []


def test_a_suite_that_the_image_has_not_is_a_mistake_and_not_the_kernels() -> None:
    with pytest.raises(UsageError, match="has no syscals"):
        suites.ltp_entries(OneAnswer("cat: No such file", 1), "syscals", ())


def test_each_test_stands_in_the_record_and_what_the_program_said_beside_it(tmp_path: Path) -> None:
    run = Run.begin(tmp_path, target="desk", model="rpi-3-b", argv=())
    run.keep_secret("hunter2")
    results, said, seconds = suites.selftest(OneAnswer(f"{SAID}hunter2 \x1b[2J\n", 1), Program("t", "p", 1), "r")
    run.note_results("tests_hw/test_kselftest.py::test_kselftest[arm64/abi]::p", results, said=said, seconds=seconds)
    told = json.loads((run.folder / "run.json").read_text())["tests"]
    assert [(case["nodeid"].rpartition("]")[2], case["outcome"], case["blame"], case["seconds"]) for case in told] == [
        ("::p::a", "passed", "", 0.0),
        ("::p::b", "failed", "KERNEL", 0.0),
        ("::p::c", "skipped", "", 0.0),
        ("::p", "failed", "KERNEL", 1.5),
    ]
    (log,) = (run.folder / "programs").iterdir()
    assert log.name == "test_kselftest-arm64-abi-p.log"
    assert "hunter2" not in log.read_text()
    assert "\x1b" not in log.read_text()


# --- LTP -------------------------------------------------------------------------------------------------------------
def test_of_a_suite_those_are_taken_that_are_named_in_the_order_of_the_names() -> None:
    shell = OneAnswer("# x\na01 a01\nb01 b01 -x\nc01 c01\n")
    assert suites.ltp_entries(shell, "syscalls", ["b01", "a01", "d"]) == (
        [Entry("b01", "b01 -x"), Entry("a01", "a01")],
        ["d"],
    )
    assert len(suites.ltp_entries(shell, "syscalls", [])[0]) == 3
    assert shell.asked[0][0] == "cat /opt/ltp/runtest/syscalls"


def test_a_line_of_ltp_is_a_shells() -> None:
    shell = OneAnswer("x.c:1: TPASS: fine\n")
    results, _, _ = suites.ltp_test(shell, Entry("b01", "b01 'x y' >/dev/null"))
    assert shell.asked[0][0] == (
        "cd /tmp && sudo timeout -k 5 300 env LTPROOT=/opt/ltp TMPDIR=/tmp PATH=/opt/ltp/testcases/bin:$PATH"
        " sh -c 'b01 '\"'\"'x y'\"'\"' >/dev/null' 2>&1"
    )
    assert results == [Result((), "passed")]
