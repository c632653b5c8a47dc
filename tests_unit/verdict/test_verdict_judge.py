"""Whose fault it was: one row a story."""

from pathlib import Path

import attrs
import pytest

from harness.model import BootRecord, Finding
from harness.verdict.findings import finding, scan
from harness.verdict.judge import RULES, judge

GOOD = BootRecord("pi", {"kernel": 0.3, "login": 20.0}, True, "", (), Path("console.log"), 1)


def stopped(stage: str, *said: str, reason: str = "60 s without a byte", tail: str = "") -> BootRecord:
    order = ("none", "firmware", "kernel", "rootfs", "init")
    stages = dict.fromkeys(order[1 : order.index(stage) + 1], 1.0)
    return BootRecord("pi", stages, False, reason, tuple(scan(said)), Path("console.log"), 1, (tail,))


def found(line: str) -> Finding:
    return scan([line])[0]


OOPS = found("Unable to handle kernel NULL pointer dereference at virtual address 0000000000000000")
WARNING = found("WARNING: CPU: 2 PID: 94 at drivers/mmc/host/bcm2835.c:512 bcm2835_request+0x5c/0x2c0")
UNDER_VOLTAGE = found("hwmon hwmon1: Undervoltage detected!")
CARD = "mmc0: error -110 whilst initialising SD card"
MISMATCH = found("dummy: disagrees about version of symbol module_layout")
OTHER_KERNEL = finding("wrong-kernel", "runs 6.1, built was 6.12", fault="DEPLOY")
NO_ROOT = 'VFS: Cannot open root device "/dev/mmcblk0p2" or unknown-block(0,0): error -6'
NO_ROOT_ARGUMENT = 'VFS: Cannot open root device "" or unknown-block(0,0): error -6'

STORIES = [
    ("PASS", [GOOD], [], []),
    ("INCONCLUSIVE", [], [], []),
    ("BUILD", [], [], [("BUILD", "make returned 2")]),
    ("BUILD", [], [OOPS], [("LAB", "QEMU ended"), ("BUILD", "make returned 2")]),
    ("DEPLOY", [], [], [("DEPLOY", "the kernel does not fit the partition")]),
    ("LAB", [], [], [("LAB", "program `qemu-system-aarch64` is not on this host")]),
    ("LAB", [stopped("kernel")], [], [("LAB", "QEMU was killed")]),
    ("LAB", [GOOD], [], [("LAB", "the power switch does not answer")]),
    ("KERNEL", [GOOD], [OOPS], [("LAB", "the serial adapter is gone")]),
    ("KERNEL", [GOOD], [WARNING], []),
    ("KERNEL", [GOOD], [], [("KERNEL", "`modprobe x` returned 1")]),
    ("KERNEL", [stopped("kernel")], [], []),
    ("KERNEL", [stopped("init")], [], []),
    ("LAB", [stopped("none")], [], []),
    ("DEPLOY", [stopped("kernel", tail="[    1.0] printk: bootconsole [pl11] disabled")], [], []),
    ("KERNEL", [stopped("kernel", NO_ROOT)], [], []),
    ("INCONCLUSIVE", [stopped("kernel", CARD, NO_ROOT)], [], []),
    ("INCONCLUSIVE", [stopped("kernel", CARD, "Waiting for root device /dev/mmcblk0p2...")], [], []),
    ("KERNEL", [stopped("kernel", CARD, "SError Interrupt on CPU3, code 0x00000000bf000002 -- SError")], [], []),
    ("INCONCLUSIVE", [stopped("kernel")], [UNDER_VOLTAGE], []),
    ("INCONCLUSIVE", [GOOD], [UNDER_VOLTAGE, OOPS], []),
    ("LAB", [GOOD], [UNDER_VOLTAGE], []),
    ("KERNEL", [GOOD], [found(CARD), WARNING], []),
    ("DEPLOY", [GOOD], [MISMATCH], []),
    ("DEPLOY", [GOOD], [MISMATCH, WARNING], []),
    ("KERNEL", [GOOD], [MISMATCH, OOPS], []),
    ("DEPLOY", [GOOD], [OTHER_KERNEL, OOPS], []),
    ("INCONCLUSIVE", [GOOD], [], [("INCONCLUSIVE", "no such board")]),
    ("KERNEL", [GOOD, stopped("kernel")], [], []),
    ("KERNEL", [stopped("kernel")], [], [("KERNEL", "the board did not reach its login")]),
    ("DEPLOY", [stopped("kernel", NO_ROOT_ARGUMENT)], [], [("KERNEL", "the board did not reach its login")]),
    ("LAB", [stopped("kernel")], [], [("KERNEL", "did not reach its login"), ("LAB", "QEMU was killed")]),
]


@pytest.mark.parametrize(("expected", "boots", "findings", "errors"), STORIES)
def test_a_story_has_its_verdict(expected: str, boots: list, findings: list, errors: list) -> None:
    verdict = judge(boots, findings, errors)
    assert verdict.name == expected, verdict
    assert verdict.rule
    assert bool(verdict.evidence) == (bool(errors or findings) or any(not boot.reached for boot in boots))


def test_an_error_raised_again_by_every_test_is_evidence_once() -> None:
    assert judge([GOOD], [], [("LAB", "QEMU was killed")] * 9).evidence == ("QEMU was killed",)


def test_information_accuses_nobody() -> None:
    info = attrs.evolve(OOPS, severity="info")
    assert judge([attrs.evolve(GOOD, findings=(info,))], [info], []).name == "PASS"


def test_a_finding_of_a_boot_given_twice_is_evidence_once() -> None:
    verdict = judge([attrs.evolve(GOOD, findings=(OOPS,))], [OOPS], [])
    assert len(verdict.evidence) == 1


def test_evidence_names_lines() -> None:
    assert judge([GOOD], [OOPS], []).evidence == (f"line 1: {OOPS.message}",)


def test_every_verdict_but_pass_has_a_rule() -> None:
    assert {str(name) for name, _, _ in RULES} == {"BUILD", "DEPLOY", "LAB", "KERNEL", "INCONCLUSIVE"}
