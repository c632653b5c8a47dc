"""What several attempts at one test say together: one row a story."""

from pathlib import Path

import attrs
import pytest

from harness.model import AttemptRecord, BootRecord, Verdict, VerdictName
from harness.verdict.attempts import PASSED, Evidence, compared, judge_run, worth_repeating
from harness.verdict.clues import Raised
from harness.verdict.findings import finding, scan
from harness.verdict.stages import restart

GOOD = BootRecord("pi", {"kernel": 0.3, "login": 20.0}, True, "", (), Path("console.log"), 1)
HUNG = BootRecord("pi", {"kernel": 0.3}, False, "60 s without a byte", (), Path("console.log"), 1)
MUTE = attrs.evolve(HUNG, stages={})
OOPS = scan(["Unable to handle kernel NULL pointer dereference at virtual address 0000000000000000"])[0]
CARD = scan(["mmc0: error -110 whilst initialising SD card"])[0]
MISMATCH = scan(["dummy: disagrees about version of symbol module_layout"])[0]
NOT_CUT = finding("power-not-cut", "the power does not cut", fault="LAB", severity="fatal")
RESTART = restart(300, "Booting Linux on physical CPU 0x0")
LOST = Raised("LAB", "pi: the serial line was hung up")
SILENT = Raised("INCONCLUSIVE", "pi: the board fell silent during `dd`", "fell-silent")
ASSERTED = Raised("KERNEL", "assert 1 == 2")
BOOT_FAILED = Raised("KERNEL", "pi: no login prompt")


def evidence(*parts: object) -> Evidence:
    boots = tuple(part for part in parts if isinstance(part, BootRecord))
    errors = tuple(part for part in parts if isinstance(part, Raised))
    return Evidence(boots, tuple(part for part in parts if part not in boots and part not in errors), errors)


@pytest.mark.parametrize(
    ("expected", "parts"),
    [
        (True, [LOST]),
        (True, [GOOD, LOST]),
        (True, [GOOD, SILENT]),
        (True, [MUTE, BOOT_FAILED]),
        (True, [GOOD, CARD, ASSERTED]),
        (True, [attrs.evolve(HUNG, findings=(CARD,)), BOOT_FAILED]),
        (True, [attrs.evolve(MUTE, findings=(NOT_CUT,)), LOST]),
        (True, [GOOD, RESTART]),
        (False, [GOOD, RESTART, OOPS]),
        (False, [HUNG, BOOT_FAILED]),
        (False, [GOOD, ASSERTED]),
        (False, [GOOD, OOPS, LOST]),
        (False, [GOOD, OOPS, SILENT]),
        (False, [GOOD, MISMATCH]),
        (False, [Raised("BUILD", "make returned 2")]),
        (False, [Raised("DEPLOY", "does not fit the partition")]),
        (False, [CARD, Raised("INCONCLUSIVE", "no such image", "usage")]),
        (False, [Raised("INCONCLUSIVE", "TypeError: a mistake in the test")]),
    ],
)
def test_only_what_the_bench_may_have_done_is_repeated(expected: bool, parts: list) -> None:
    assert worth_repeating(evidence(*parts)) is expected


@pytest.mark.parametrize(
    ("expected", "first", "second"),
    [
        ("INCONCLUSIVE", [LOST], [GOOD]),
        ("INCONCLUSIVE", [GOOD, SILENT], [GOOD]),
        ("LAB", [LOST], [LOST]),
        ("LAB", [MUTE, BOOT_FAILED], [MUTE, BOOT_FAILED]),
        ("LAB", [GOOD, SILENT], [MUTE, BOOT_FAILED]),
        ("LAB", [GOOD, SILENT], [LOST]),
        ("KERNEL", [LOST], [HUNG, BOOT_FAILED]),
        ("KERNEL", [LOST], [GOOD, OOPS]),
        ("DEPLOY", [LOST], [GOOD, MISMATCH]),
        ("KERNEL", [GOOD, SILENT], [GOOD, SILENT]),
        ("KERNEL", [GOOD, RESTART], [GOOD, RESTART]),
        ("INCONCLUSIVE", [GOOD, RESTART], [RESTART]),
        ("INCONCLUSIVE", [GOOD, RESTART], [GOOD]),
        ("INCONCLUSIVE", [LOST], [GOOD, RESTART]),
        ("INCONCLUSIVE", [GOOD, SILENT], [SILENT]),
        ("INCONCLUSIVE", [LOST], [GOOD, SILENT]),
        ("INCONCLUSIVE", [GOOD, SILENT], [GOOD, CARD, SILENT]),
        ("INCONCLUSIVE", [GOOD, CARD, ASSERTED], [GOOD, CARD, ASSERTED]),
        ("KERNEL", [GOOD, CARD, ASSERTED], [GOOD, ASSERTED]),
    ],
)
def test_two_attempts_have_one_verdict(expected: str, first: list, second: list) -> None:
    before, after = evidence(*first), compared(evidence(*first), evidence(*second))
    verdict = judge_run(after, [aside(before.verdict), last(after.verdict)])
    assert verdict.name == expected, verdict
    assert any("attempt 1 was" in line for line in (verdict.rule, *verdict.evidence))


def test_a_flake_names_the_test_and_both_attempts_and_shows_the_evidence_of_the_first() -> None:
    verdict = judge_run(evidence(GOOD), [aside(evidence(LOST).verdict), last(PASSED)])
    assert verdict.rule == "flake: test_x: attempt 1 was LAB (the bench failed), attempt 2 passed"
    assert verdict.evidence == (LOST.message,)


def test_an_attempt_that_no_other_followed_is_no_pass_and_no_flake_that_passed() -> None:
    verdict = judge_run(evidence(GOOD), [aside(evidence(LOST).verdict)])
    assert verdict.name == "INCONCLUSIVE"
    assert verdict.rule.endswith("no other attempt came to its end")


def test_a_board_that_falls_silent_twice_is_told_as_such() -> None:
    silent = evidence(GOOD, SILENT)
    rule = compared(silent, silent).verdict.rule
    assert rule == "the board fell silent twice at the same test, and the console spoke in between"


def test_without_attempts_a_run_is_judged_by_what_it_brought() -> None:
    assert judge_run(evidence(GOOD), []).name == "PASS"
    assert judge_run(evidence(HUNG), []).name == "KERNEL"


def aside(verdict: Verdict) -> AttemptRecord:
    return AttemptRecord("test_x", 1, VerdictName(verdict.name), verdict.rule, verdict.evidence, set_aside=True)


def last(verdict: Verdict) -> AttemptRecord:
    return AttemptRecord("test_x", 2, verdict.name, verdict.rule, verdict.evidence)
