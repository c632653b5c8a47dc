"""Every row of the table finds what it is there for, and nothing that is known to be harmless."""

import re

import pytest

from harness.verdict.findings import Scanner, scan, signature
from harness.verdict.rules import BENIGN, ROWS
from harness.verdict.sieve import Row

HARMLESS = """\
[    3.1] brcmfmac mmc1:0001:1: Direct firmware load for brcm/x.raspberrypi,4-model-b.txt failed with error -2
[    2.0] random: crng init done
[    9.0] snd_bcm2835: module is from the staging directory, the quality is unknown, you have been warned.
[    2.1] raspberrypi-exp-gpio soc:firmware:gpio: Failed to get GPIO 0 config (0 80)
[    2.2] pwrseq_simple: probe of wifi-pwrseq failed with error -5
[    1.9] bcm2835-power bcm2835-power: ASB register ID returned 0x00000000
[    4.0] FAT-fs (mmcblk0p1): Volume was not properly unmounted. Some data may be corrupt. Please run fsck.
[    4.0] EXT4-fs (mmcblk0p2): recovery complete
[    1.0] DEBUG: pi64 says hello
[   30.0] hwmon hwmon1: Voltage normalised
pi@raspberrypi:~$ dmesg | grep -E 'BUG: |Kernel panic - not syncing'
pi@raspberrypi:~$ grep 'BUG: ' log
[    0.0] Kernel command line: console=ttyAMA0 root=/dev/mmcblk0p2 rootwait panic=10 oops=panic
WARNING: apt does not have a stable CLI interface. Use with caution in scripts.
[    0.5] rcu: Hierarchical SRCU implementation.
throttled=0x0
""".splitlines()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.kind}: {row.literal}")
def test_a_row_finds_its_example(row: Row) -> None:
    [found] = scan([f"[   12.345678] {row.example}"])
    assert (found.kind, found.severity, found.fault) == (row.kind, row.severity, row.fault)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.kind}: {row.literal}")
def test_a_row_names_a_literal_of_its_example_and_its_source(row: Row) -> None:
    assert row.literal in row.example
    assert row.source
    assert row.severity in {"info", "warning", "error", "fatal"}


@pytest.mark.parametrize("line", HARMLESS)
def test_known_noise_is_no_finding(line: str) -> None:
    assert scan([line]) == []


@pytest.mark.parametrize(
    "line",
    [
        "pi@raspberrypi:~$ echo foo[   12.000000] Kernel panic - not syncing: x",
        "pi@raspberrypi:~$ echo foo[   12.000000] WARNING: CPU: 0 PID: 1 at kernel/fork.c:42 copy_process+0x10/0x20",
        "pi@raspberrypi:~$ echo Kernel panic - not syncing: x",
        "[    1.000000] dwc2: FIFO closed: BUG: Bad page state in process x",
        "dwc2: FIFO closed: BUG: Bad page state in process x",
    ],
)
def test_words_that_a_command_might_hold_do_not_hide_what_a_kernel_says(line: str) -> None:
    assert len(scan([line])) == 1


def test_benign_patterns_and_rows_do_not_meet() -> None:
    for row in ROWS:
        assert not any(pattern.search(row.example) for pattern in BENIGN), row.example


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.kind}: {row.literal}")
def test_a_signature_has_no_digits(row: Row) -> None:
    assert not re.search(r"\d", scan([row.example])[0].signature)


def test_a_signature_is_equal_for_other_numbers_and_addresses() -> None:
    one = "Unable to handle kernel paging request at virtual address ffff800081234567 (in foo+0x1c/0x30)"
    two = "Unable to handle kernel paging request at virtual address dead000000000108 (in foo+0x20/0x34)"
    assert signature("oops", one) == signature("oops", two)


def test_expected_kinds_come_out_as_information() -> None:
    scanner = Scanner(expected=["modules-missing"])
    [found] = scanner.feed("modprobe: FATAL: Module dummy not found in directory /lib/modules/6.12.117")
    assert found.severity == "info"


def test_a_module_that_systemd_cannot_load_is_no_program_that_the_kernel_cannot_run() -> None:
    [found] = scan(["[    7.1] systemd[1]: Failed to insert module 'autofs4': Exec format error"])
    assert (found.kind, found.fault) == ("module-mismatch", "DEPLOY")


def test_a_panic_is_pending_at_its_first_line() -> None:
    scanner = Scanner()
    assert scanner.feed("[    1.0] Kernel panic - not syncing: Fatal exception in interrupt") == []
    assert scanner.pending is not None
    assert scanner.pending.severity == "fatal"


def test_the_same_finding_comes_a_few_times_only() -> None:
    scanner = Scanner()
    found = [it for n in range(1000) for it in scanner.feed(f"I/O error, dev mmcblk0, sector {n}")]
    assert len(found) == 5
    assert scanner.suppressed == 995
