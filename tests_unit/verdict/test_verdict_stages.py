"""How far a boot came, told from lines as they really arrive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.verdict.stages import StageTracker

BOOTING = "[    0.000000] Booting Linux on physical CPU 0x0000000000 [0x410fd083]"
VERSION = "[    0.000000] Linux version 6.12.117 (root@host) (aarch64-linux-gnu-gcc) #1 SMP"


def feed(*lines: str) -> StageTracker:
    tracker = StageTracker()
    for second, line in enumerate(lines):
        tracker.feed(float(second), line)
    return tracker


@pytest.mark.parametrize(
    ("line", "stage"),
    [
        ("RPi: BOOTLOADER release VERSION:8ba17717 DATE: 2023/01/11", "firmware"),
        ("MESS:00:00:06.215373:0: brfs: File read: /mfs/sd/config.txt", "firmware"),
        (BOOTING, "kernel"),
        (VERSION, "kernel"),
        ("<5>Linux version 6.12.117 (root@host) (gcc) #1 SMP", "kernel"),
        ("[    0.000000][    T0] Booting Linux on physical CPU 0x0", "kernel"),
        ("<6>[    2.0][    T1] VFS: Mounted root (ext4 filesystem) readonly on device 179:2.", "rootfs"),
        ("VFS: Mounted root (ext4 filesystem) on device 179:2.", "rootfs"),
        ("[    2.100000] Run /sbin/init as init process", "init"),
        ("[    4.500000] systemd[1]: systemd 252.39 running in system mode (+PAM)", "init"),
        ("raspberrypi login: ", "login"),
        ("raspberrypi login:", "login"),
        ("raspberrypi login: pi", "login"),
        ("raspberrypi login: [   25.123456] random: crng init done", "login"),
        ("pi login: <6>[   25.123456][  T77] usb 1-1: new device", "login"),
        ("(none) login: ", "login"),
        ("raspberrypi login: pi (automatic login)", "login"),
        ("pi@raspberrypi:~$ ", "login"),
    ],
)
def test_a_line_shows_its_stage(line: str, stage: str) -> None:
    assert StageTracker().feed(1.0, line) == (stage,)


@pytest.mark.parametrize(
    "line",
    [
        "Last login: Mon Jul  1 12:00:00 UTC 2024 on ttyAMA0",
        "[  OK  ] Started systemd-logind.service",
        "Login incorrect",
        "hello",
    ],
)
def test_other_lines_show_none(line: str) -> None:
    assert StageTracker().feed(1.0, line) == ()


def test_a_glued_line_counts_for_both_sides_of_the_hand_over() -> None:
    tracker = feed("MESS:00:00:08.746506:0:[    0.000000] Booting Linux on physical CPU 0x0")
    assert tracker.stages == {"firmware": 0.0, "kernel": 0.0}


def test_a_stage_keeps_the_time_of_its_first_line() -> None:
    tracker = feed("MESS:00:00:01.1:0: a", "MESS:00:00:01.2:0: b", BOOTING, VERSION, "x login: ", "x login: ")
    assert tracker.stages == {"firmware": 0.0, "kernel": 2.0, "login": 4.0}
    assert len(tracker.boots) == 1


def test_a_second_banner_is_a_second_boot() -> None:
    tracker = feed(BOOTING, VERSION, "[    1.0] Kernel panic - not syncing: x", BOOTING, VERSION)
    assert tracker.banners == 2
    assert [boot.first_line for boot in tracker.boots] == [1, 4]


def test_a_boot_begins_with_its_firmware() -> None:
    boot = ("MESS:00:00:01.100000:0: brfs", "MESS:00:00:01.200000:0: arm_loader", BOOTING, VERSION)
    tracker = feed(*boot, *boot)
    assert [(boot.first_line, sorted(boot.stages)) for boot in tracker.boots] == [
        (1, ["firmware", "kernel"]),
        (5, ["firmware", "kernel"]),
    ]


def test_firmware_that_goes_on_talking_does_not_begin_a_boot() -> None:
    assert len(feed("MESS:00:00:01.1:0: a", BOOTING, "MESS:00:00:09.5:0: throttling").boots) == 1


def test_a_log_printed_again_on_the_real_console_is_one_boot() -> None:
    tracker = feed(BOOTING, VERSION, "[    1.7] printk: console [ttyAMA0] enabled", BOOTING, VERSION)
    assert len(tracker.boots) == 1


def test_a_growing_line_may_be_fed_again() -> None:
    tracker = StageTracker()
    assert tracker.feed(1.0, "raspberrypi log", number=7) == ()
    assert tracker.feed(1.1, "raspberrypi login: ", number=7) == ("login",)
    assert tracker.boots[0].first_line == 7


def test_lines_that_come_byte_by_byte_are_the_same_boots() -> None:
    boot = ("MESS:00:00:01.1:0: a", "MESS:00:00:08.746506:0:" + BOOTING, VERSION, "x login: ")
    tracker = StageTracker()
    for number, line in enumerate([*boot, *boot], start=1):
        for end in range(1, len(line) + 1):
            tracker.feed(float(number), line[:end], number=number)
    assert [boot.first_line for boot in tracker.boots] == [1, 5]


def test_nothing_seen_is_no_stage() -> None:
    assert StageTracker().last_stage == "none"


SAID = st.sampled_from([
    "MESS:00:00:01.1:0: a", "MESS:00:00:09.5:0: b", "RPi: BOOTLOADER release VERSION:8ba17717", BOOTING, VERSION, "",
    "MESS:00:00:08.746506:0:" + BOOTING, "[    1.7] printk: console [ttyAMA0] enabled", "hello", "x login: ",
    "[    2.1] VFS: Mounted root (ext4 filesystem)", "[    4.5] systemd[1]: Started x.", "root@raspberrypi:~# dmesg",
    "[    9.9] reboot: Restarting system",
])  # fmt: skip


@given(st.lists(SAID, max_size=40), st.integers(1, 15))
def test_lines_taken_many_at_once_are_the_same_boots(lines: list[str], size: int) -> None:
    many = StageTracker()
    for at in range(0, len(lines), size):
        many.feed_many(0.0, lines[at : at + size], "\n".join(lines[at : at + size]))
    one = StageTracker()
    for line in lines:
        one.feed(0.0, line)
    assert many.boots == one.boots
