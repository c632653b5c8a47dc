"""Whose fault it was: one row a story."""

from pathlib import Path

import attrs
import pytest

from harness.model import BootRecord, Finding
from harness.verdict.clues import EXPLAINS, Raised
from harness.verdict.findings import finding, scan
from harness.verdict.judge import RULES, judge
from harness.verdict.rules import ROWS
from harness.verdict.stages import restart

GOOD = BootRecord("pi", {"kernel": 0.3, "login": 20.0}, True, "", (), Path("console.log"), 1)


def stopped(stage: str, *said: str | Finding, reason: str = "60 s without a byte", tail: str = "") -> BootRecord:
    order = ("none", "firmware", "kernel", "rootfs", "init")
    stages = dict.fromkeys(order[1 : order.index(stage) + 1], 1.0)
    findings = (*(it for it in said if isinstance(it, Finding)), *scan(it for it in said if isinstance(it, str)))
    return BootRecord("pi", stages, False, reason, findings, Path("console.log"), 1, (tail,))


def found(line: str) -> Finding:
    return scan([line])[0]


OOPS = found("Unable to handle kernel NULL pointer dereference at virtual address 0000000000000000")
WARNING = found("WARNING: CPU: 2 PID: 94 at drivers/mmc/host/bcm2835.c:512 bcm2835_request+0x5c/0x2c0")
OTHER_WARNING = found("WARNING: CPU: 2 PID: 94 at kernel/fork.c:42 copy_process+0x10/0x20")
[CARD_OOPS] = scan(
    [
        "[ 1.000000] Unable to handle kernel NULL pointer dereference at virtual address 0000000000000014",
        "[ 1.000001] Workqueue: events bcm2835_dma_complete_work",
        "[ 1.000002] pc : kfree+0x24/0x68",
    ]
)
UNDER_VOLTAGE = found("hwmon hwmon1: Undervoltage detected!")
CARD = "mmc0: error -110 whilst initialising SD card"
MISMATCH = found("dummy: disagrees about version of symbol module_layout")
EXEC_FORMAT = found("-bash: /usr/bin/true: cannot execute binary file: Exec format error")
RESTART = restart(300, "Booting Linux on physical CPU 0x0")
OTHER_KERNEL = finding("wrong-kernel", "runs 6.1, built was 6.12", fault="DEPLOY")
NO_ROOT = 'VFS: Cannot open root device "/dev/mmcblk0p2" or unknown-block(0,0): error -6'
NO_ROOT_ARGUMENT = 'VFS: Cannot open root device "" or unknown-block(0,0): error -6'
WAITS = "Waiting for root device /dev/mmcblk0p2..."
WAITS_BY_ID = "Waiting for root device PARTUUID=3c9361c4-02..."
[NO_ROOT_BUT_A_DISK] = scan(
    [
        'VFS: Cannot open root device "/dev/mmcblk0p2" or unknown-block(0,0): error -19',
        "b300         1048576 mmcblk0 driver: mmcblk",
        "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
    ]
)
HANDED_OVER = "[    1.000000] printk: legacy bootconsole [pl11] disabled"
GARBAGE = finding("console-garbage", "unreadable console", fault="LAB", severity="fatal")
NOT_CUT = finding("power-not-cut", "the power does not cut", fault="LAB", severity="fatal")
SILENT = Raised("INCONCLUSIVE", "the board fell silent during `dd`", "fell-silent")
SILENT_AGAIN = SILENT._replace(fault="KERNEL", kind="fell-silent-again")
BOOTED_AGAIN = Raised("INCONCLUSIVE", "control boot of 6.12-good: login after 20.0 s", "booted-again")
CONTROL = attrs.evolve(GOOD, control=True, release="6.12-good")
NO_CONTROL = attrs.evolve(stopped("kernel"), control=True, release="6.12-good")

STORIES = [
    ("PASS", [GOOD], [], []),
    ("INCONCLUSIVE", [], [], []),
    ("BUILD", [], [], [("BUILD", "make returned 2")]),
    ("BUILD", [], [OOPS], [("LAB", "QEMU ended"), ("BUILD", "make returned 2")]),
    ("DEPLOY", [], [], [("DEPLOY", "the kernel does not fit the partition")]),
    ("LAB", [], [], [("LAB", "program `qemu-system-aarch64` is not on this host")]),
    ("LAB", [stopped("kernel", reason="QEMU was killed")], [], [("LAB", "QEMU was killed")]),
    ("INCONCLUSIVE", [stopped("kernel")], [], [("LAB", "the power switch does not answer")]),
    ("LAB", [GOOD], [], [("LAB", "the power switch does not answer")]),
    ("KERNEL", [GOOD], [OOPS], [("LAB", "the serial adapter is gone")]),
    ("KERNEL", [GOOD], [WARNING], []),
    ("KERNEL", [GOOD], [], [("KERNEL", "`modprobe x` returned 1")]),
    ("KERNEL", [stopped("kernel")], [], []),
    ("KERNEL", [stopped("init")], [], []),
    ("LAB", [stopped("none")], [], []),
    ("DEPLOY", [stopped("kernel", tail="[    1.0] printk: bootconsole [pl11] disabled")], [], []),
    ("KERNEL", [stopped("kernel", tail=HANDED_OVER), CONTROL], [], []),  # the same command line, and it was heard
    ("KERNEL", [stopped("kernel", NO_ROOT)], [], []),
    ("DEPLOY", [stopped("kernel", WAITS, NO_ROOT_BUT_A_DISK)], [], []),
    ("KERNEL", [stopped("kernel", WAITS)], [], []),
    ("DEPLOY", [stopped("kernel", WAITS, tail="[    5.400000]  mmcblk0: p1")], [], []),
    ("KERNEL", [stopped("kernel", WAITS, tail="[    5.400000]  mmcblk0: p1 p2")], [], []),
    ("KERNEL", [stopped("kernel", WAITS, tail="[    5.400000]  sda: sda1 sda2")], [], []),
    ("KERNEL", [stopped("kernel", WAITS, tail="[    5.400000]  mmcblk0: p1"), CONTROL], [], []),
    ("DEPLOY", [stopped("kernel", WAITS_BY_ID, tail="[    5.400000]  mmcblk0: p1 p2")], [], []),
    ("INCONCLUSIVE", [stopped("kernel", CARD, NO_ROOT)], [], []),
    ("INCONCLUSIVE", [stopped("kernel", CARD, "Waiting for root device /dev/mmcblk0p2...")], [], []),
    ("KERNEL", [stopped("kernel", CARD, "SError Interrupt on CPU3, code 0x00000000bf000002 -- SError")], [], []),
    ("INCONCLUSIVE", [stopped("kernel")], [UNDER_VOLTAGE], []),
    ("INCONCLUSIVE", [GOOD], [UNDER_VOLTAGE, OOPS], []),
    ("LAB", [GOOD], [UNDER_VOLTAGE], []),
    ("KERNEL", [GOOD], [found(CARD), OTHER_WARNING], []),
    ("INCONCLUSIVE", [GOOD], [found(CARD), WARNING], []),  # in the driver of the card that does not answer
    ("INCONCLUSIVE", [GOOD], [found(CARD), CARD_OOPS], []),
    ("KERNEL", [GOOD], [found(CARD), OOPS], []),
    ("KERNEL", [GOOD], [CARD_OOPS], []),
    ("DEPLOY", [GOOD], [MISMATCH], []),
    ("DEPLOY", [GOOD], [MISMATCH, WARNING], []),
    ("KERNEL", [GOOD], [MISMATCH, OOPS], []),
    ("DEPLOY", [GOOD], [OTHER_KERNEL, OOPS], []),
    ("INCONCLUSIVE", [GOOD], [], [("INCONCLUSIVE", "no such board")]),
    ("KERNEL", [GOOD, stopped("kernel")], [], []),
    ("KERNEL", [stopped("kernel")], [], [("KERNEL", "the board did not reach its login")]),
    ("DEPLOY", [stopped("kernel", NO_ROOT_ARGUMENT)], [], [("KERNEL", "the board did not reach its login")]),
    ("LAB", [stopped("kernel", reason="gone")], [], [("KERNEL", "did not reach its login"), ("LAB", "pi: gone")]),
    ("KERNEL", [GOOD], [], [("KERNEL", "`modprobe x` returned 1"), ("LAB", "the serial adapter is gone")]),
    ("LAB", [stopped("kernel", GARBAGE, reason="unreadable console")], [], []),
    ("INCONCLUSIVE", [stopped("kernel"), stopped("firmware", GARBAGE)], [], []),
    ("KERNEL", [stopped("kernel", GARBAGE)], [OOPS], []),
    ("LAB", [stopped("none", NOT_CUT)], [], []),
    ("INCONCLUSIVE", [stopped("kernel", NOT_CUT)], [OOPS], []),
    ("INCONCLUSIVE", [GOOD], [], [SILENT]),
    ("INCONCLUSIVE", [GOOD], [found(CARD)], [SILENT]),
    ("INCONCLUSIVE", [GOOD], [], [SILENT, ("LAB", "the serial adapter is gone")]),
    ("KERNEL", [GOOD], [OOPS], [SILENT]),
    ("KERNEL", [GOOD], [], [SILENT_AGAIN]),
    ("INCONCLUSIVE", [GOOD], [UNDER_VOLTAGE], [SILENT_AGAIN]),
    ("DEPLOY", [GOOD], [MISMATCH, EXEC_FORMAT], []),
    ("INCONCLUSIVE", [GOOD], [RESTART], []),
    ("INCONCLUSIVE", [GOOD], [RESTART, UNDER_VOLTAGE], []),
    ("KERNEL", [GOOD], [RESTART, OOPS], []),
    ("INCONCLUSIVE", [stopped("kernel", reason="")], [], []),
    ("INCONCLUSIVE", [stopped("rootfs", reason="")], [], []),
    ("KERNEL", [stopped("kernel", WAITS, reason="")], [], []),
    # control boots
    ("KERNEL", [stopped("none"), CONTROL], [], []),
    ("KERNEL", [stopped("kernel"), CONTROL], [], []),
    ("DEPLOY", [stopped("kernel", NO_ROOT_ARGUMENT), CONTROL], [], []),
    ("INCONCLUSIVE", [stopped("kernel", CARD, NO_ROOT), CONTROL], [], []),
    ("LAB", [stopped("kernel"), NO_CONTROL], [], []),
    ("LAB", [stopped("kernel", NO_ROOT_ARGUMENT), NO_CONTROL], [], [("KERNEL", "did not reach its login")]),
    ("LAB", [stopped("none"), NO_CONTROL], [], []),
    ("KERNEL", [GOOD, stopped("kernel"), NO_CONTROL], [OOPS], []),
    ("BUILD", [NO_CONTROL], [], [("BUILD", "make returned 2")]),
    ("INCONCLUSIVE", [CONTROL], [], []),
    ("INCONCLUSIVE", [stopped("kernel"), CONTROL], [], [BOOTED_AGAIN, ("KERNEL", "did not reach its login")]),
    ("KERNEL", [stopped("kernel"), GOOD, CONTROL], [OOPS], [BOOTED_AGAIN]),
]


@pytest.mark.parametrize(("expected", "boots", "findings", "errors"), STORIES)
def test_a_story_has_its_verdict(expected: str, boots: list, findings: list, errors: list) -> None:
    verdict = judge(boots, findings, errors)
    assert verdict.name == expected, verdict
    assert verdict.rule
    assert bool(verdict.evidence) == (bool(errors or findings) or any(not boot.reached for boot in boots))


def test_a_control_boot_that_came_to_its_login_is_told_with_its_seconds() -> None:
    verdict = judge([stopped("none"), CONTROL], [], [])
    assert verdict.rule == "not one line, and the known-good kernel speaks on the same rig"
    assert verdict.evidence[-1] == "control boot of 6.12-good: login after 20.0 s"


def test_when_the_known_good_kernel_does_not_boot_either_the_rule_says_so() -> None:
    verdict = judge([stopped("kernel"), NO_CONTROL], [], [])
    assert verdict.rule == "the known-good kernel does not boot on this rig either"
    assert verdict.evidence[0] == "control boot of 6.12-good stopped at stage kernel: 60 s without a byte"


def test_what_the_control_boot_complains_about_is_not_held_against_the_kernel_under_test() -> None:
    loud = attrs.evolve(CONTROL, findings=(OOPS,))
    assert judge([GOOD, loud], [], []).name == "PASS"


def test_every_row_that_accuses_the_bench_says_what_it_may_explain() -> None:
    """Whoever adds one thinks of it here: without an entry the kernel is blamed for what the bench did."""
    assert {row.kind for row in ROWS if row.fault == "LAB" and row.severity != "info"} <= EXPLAINS.keys()


@pytest.mark.parametrize("kind", ["under-voltage", "mmc-error", "console-garbage", "bench", "power-not-cut"])
def test_every_fault_of_the_bench_explains_a_boot_that_stopped_and_a_board_that_fell_silent(kind: str) -> None:
    explained = EXPLAINS[kind]
    assert "*" in explained or {"boot-stopped", "fell-silent"} <= explained


def test_an_error_raised_again_by_every_test_is_evidence_once() -> None:
    assert judge([GOOD], [], [("LAB", "QEMU was killed")] * 9).evidence == ("QEMU was killed",)


def test_information_accuses_nobody() -> None:
    info = attrs.evolve(OOPS, severity="info")
    assert judge([attrs.evolve(GOOD, findings=(info,))], [info], []).name == "PASS"


def test_a_finding_of_a_boot_given_twice_is_evidence_once() -> None:
    verdict = judge([attrs.evolve(GOOD, findings=(OOPS,))], [OOPS], [])
    assert len(verdict.evidence) == 1


def test_a_hang_after_both_consoles_said_goodbye_is_no_lost_console() -> None:
    """What stands there twice was heard on the new console too."""
    twice = attrs.evolve(stopped("kernel"), tail=(HANDED_OVER, HANDED_OVER))
    assert judge([twice], [], []).name == "KERNEL"
    assert judge([attrs.evolve(twice, tail=(HANDED_OVER,))], [], []).name == "DEPLOY"


def test_a_warning_that_nothing_explains_is_told_with_what_was_deployed_wrongly() -> None:
    verdict = judge([GOOD], [*[attrs.evolve(MISMATCH, first_line=line) for line in range(9)], OTHER_WARNING], [])
    assert verdict.name == "DEPLOY"
    assert OTHER_WARNING.message in verdict.evidence[-1]


def test_what_explains_nothing_is_no_reason_for_doubt() -> None:
    verdict = judge([GOOD], [CARD_OOPS, found(CARD)], [("LAB", "the serial adapter is gone")])
    assert verdict.rule == "mmc-error may explain oops"


def test_evidence_names_lines() -> None:
    assert judge([GOOD], [OOPS], []).evidence == (f"line 1: {OOPS.message}",)


def test_every_verdict_but_pass_has_a_rule() -> None:
    assert {str(name) for name, _, _ in RULES} == {"BUILD", "DEPLOY", "LAB", "KERNEL", "INCONCLUSIVE"}
