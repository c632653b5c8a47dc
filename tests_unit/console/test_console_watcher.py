"""What a boot looks like to the watcher: recorded logs of real kernels, played back as a board would send them."""

import re
from contextlib import nullcontext
from pathlib import Path

import attrs
import pytest
from uart import missampled

from harness.console.watcher import BootWatch
from harness.errors import LabError
from harness.model import BootRecord, Deadlines
from harness.verdict.judge import judge

DATA = Path(__file__).parent.parent / "data"
PROMPT = b"\r\nraspberrypi login: "


class Played:
    """A recording that is played: ten bytes a millisecond of its own clock, then nothing more, or *lost*."""

    def __init__(self, data: bytes, lost: Exception | None = None) -> None:
        self.name, self.log = "played", Path("console.log")
        self._data, self.now, self._lost = data, 0.0, lost
        self.gathering = nullcontext

    def read(self, position: int, *, timeout: float, limit: int = 700) -> bytes:
        piece = self._data[position : position + limit]
        if self._lost and not piece:
            raise self._lost
        self.now += len(piece) / 10_000 if piece else timeout
        return piece

    def time_at(self, position: int) -> float:
        return position / 10_000

    def line_number(self, position: int) -> int:
        return self._data.count(b"\n", 0, position) + 1


def watch(data: bytes, *, position: int = 0, started: float | None = 0.0, **limits: float) -> BootRecord:
    deadlines = attrs.evolve(Deadlines(), **limits)
    return BootWatch(Played(data), deadlines, position=position, started=started).run()  # type: ignore[arg-type]


def recorded(name: str) -> bytes:
    return (DATA / f"{name}.log").read_bytes()


def test_a_healthy_boot_reaches_each_stage_in_order() -> None:
    boot = watch(recorded("raspi3b-healthy"))
    assert boot.reached
    assert list(boot.stages.values()) == sorted(boot.stages.values())
    assert boot.last_stage == "login"


def test_a_login_prompt_without_a_line_end_is_seen() -> None:
    boot = watch(b"Booting Linux on physical CPU 0x0\n" + PROMPT)
    assert boot.reached


def test_a_panic_ends_the_watch_and_its_trace_is_evidence() -> None:
    boot = watch(recorded("raspi3b-no-root"))
    assert not boot.reached
    assert boot.findings[-1].severity == "fatal"
    assert any("Kernel panic" in line for line in boot.findings[-1].text)


def test_no_byte_at_all_is_silence_at_stage_none() -> None:
    assert watch(b"", silence=5, firmware=60).reason == "silent for 5 s after stage `none`"


def test_silence_names_the_stage_and_the_last_line_without_what_a_terminal_obeys() -> None:
    boot = watch(b"Booting Linux on physical CPU 0x0\nmmc0: \x1b[31mtuning", silence=5)
    assert boot.reason == "silent for 5 s after stage `kernel`; last line: `mmc0: \\x1b[31mtuning`"
    assert boot.tail[-1].endswith("tuning")


def test_a_dead_boot_ends_when_its_silence_is_over_not_at_the_next_deadline() -> None:
    played = Played(b"Booting Linux on physical CPU 0x0\n")
    BootWatch(played, Deadlines(silence=20), position=0, started=0.0).run()  # type: ignore[arg-type]
    assert played.now < 21


FIRMWARE = b"MESS:00:00:01.140212:0: brfs: File read: /mfs/sd/config.txt\n"
KERNEL = b"Booting Linux on physical CPU 0x0\n"
ROOTFS = b"VFS: Mounted root (ext4 filesystem) readonly on device 179:2.\n"
INIT = b"Run /sbin/init as init process\n"


@pytest.mark.parametrize(
    ("heard", "missing"),
    [
        (b"", "firmware"),
        (FIRMWARE, "kernel"),
        (FIRMWARE + KERNEL, "rootfs"),
        (FIRMWARE + KERNEL + ROOTFS, "init"),
        (FIRMWARE + KERNEL + ROOTFS + INIT, "login"),
    ],
)
def test_a_stage_that_does_not_come_is_named_with_its_deadline(heard: bytes, missing: str) -> None:
    boot = watch(heard + b"still alive\n" * 12_000, **{missing: 10})
    assert boot.reason == f"no stage `{missing}` within 10 s of power-on"


def test_a_board_that_goes_from_firmware_to_a_late_stage_has_passed_those_between() -> None:
    """A quiet kernel shows no banner, and its root is mounted without a word."""
    assert watch(FIRMWARE + b"still alive\n" * 12_000 + PROMPT, kernel=200, rootfs=200, init=200).reached


def test_a_system_that_does_not_go_down_has_its_own_deadline() -> None:
    boot = watch(b"A stop job is running\n" * 12_000, started=None, shutdown=10)
    assert boot.reason == "the old system was not down within 10 s of the reboot"


def test_silence_of_a_system_that_goes_down_is_told_apart_from_a_boot() -> None:
    boot = watch(b"Stopping everything\n", started=None, silence=10)
    assert boot.reason == "silent for 10 s while the old system went down; last line: `Stopping everything`"


def test_a_line_glued_at_hand_over_is_both_firmware_and_kernel() -> None:
    boot = watch(b"MESS:00:00:08.746506:0:[    0.000000] Booting Linux on physical CPU 0x0\n", silence=5)
    assert list(boot.stages) == ["firmware", "kernel"]


def test_the_old_system_shutting_down_is_no_part_of_the_boot_after_a_reboot() -> None:
    old = b"systemd[1]: Stopping everything\nraspberrypi login: reboot: Restarting system\n"
    boot = watch(old + recorded("raspi3b-healthy"), started=None)
    assert boot.reached
    assert boot.first_line == 3
    assert min(boot.stages.values()) == pytest.approx(0)


def test_three_kernel_banners_without_a_login_are_a_boot_loop() -> None:
    once = b"Booting Linux on physical CPU 0x0\n" + b"trying\n" * 10
    assert watch(once * 3).reason == "boot loop: 3 kernel banners and no login prompt"


def test_of_a_boot_loop_the_boot_that_came_furthest_is_told() -> None:
    boot = watch(KERNEL + ROOTFS + (b"later\n" * 9 + KERNEL) * 2)
    assert boot.last_stage == "rootfs"
    assert boot.first_line == 1


EEPROM = b"RPi: BOOTLOADER release VERSION:8ba17717 DATE: 2023/01/11\n"
HANDED_OVER = b"MESS:00:00:02.340212:0: arm_loader: Starting ARM with 948MB\n"


@pytest.mark.parametrize("once", [EEPROM + b"Boot mode: SD (01) order f4\n", FIRMWARE + b"MESS:00:00:04.1:0: x\n"])
def test_a_firmware_that_restarts_without_a_kernel_is_a_boot_loop_of_the_bench(once: bytes) -> None:
    boot = watch(once * 20)
    assert re.fullmatch(r"boot loop: the firmware started \d+ times and no kernel came", boot.reason)
    assert boot.last_stage == "firmware"
    assert judge([boot], ()).name == "LAB"


def test_a_firmware_loop_for_want_of_a_device_tree_is_what_was_deployed() -> None:
    once = EEPROM + b"MESS:00:00:06.215373:0: dterror: Failed to load Device Tree file 'bcm2711-rpi-4-b.dtb'\n"
    assert judge([watch(once * 20)], ()).name == "DEPLOY"


def test_a_board_that_restarts_after_its_kernel_was_started_is_not_said_to_be_the_benchs_fault() -> None:
    boot = watch((FIRMWARE + HANDED_OVER) * 20)
    assert "boot loop" in boot.reason
    assert judge([boot], ()).name != "LAB"


def test_two_starts_of_the_firmware_are_an_update_of_the_eeprom() -> None:
    assert watch((EEPROM + FIRMWARE) * 2 + recorded("raspi3b-healthy")).reached


# --- what cannot be read ---------------------------------------------------------------------------------------------
def sent(name: str) -> bytes:
    """Return a recorded log as it was on the wire, several times over, for a boot on a real board says more."""
    return recorded(name).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") * 3


def test_a_console_at_another_rate_is_known_within_three_seconds_and_names_the_remedy() -> None:
    played = Played(missampled(sent("raspi3b-healthy"), 57600 / 115200))
    boot = BootWatch(played, Deadlines(), position=0, started=0.0).run()  # type: ignore[arg-type]
    assert played.now < 3
    assert [found.kind for found in boot.findings] == ["console-garbage"]
    assert all(word in boot.reason for word in ("enable_uart=1", "core_freq=250", "disable-bt", "lab.yaml"))
    assert judge([boot], ()).name == "LAB"


def test_a_mini_uart_whose_clock_moves_when_the_kernel_takes_over_is_known_too() -> None:
    readable, _, rest = sent("raspi3b-healthy").partition(b"Booting Linux")
    head = FIRMWARE * 20 + readable + b"Booting Linux on physical CPU 0x0\r\n"
    boot = watch(head + missampled(rest, 250 / 400))
    assert boot.findings[-1].kind == "console-garbage"
    assert boot.last_stage == "kernel"
    assert judge([boot], ()).name == "LAB"


def test_what_the_kernel_said_before_the_garbage_stands_beside_it() -> None:
    head = sent("raspi3b-module-oops").partition(b"---[ end trace")[0] + b"\r\n"
    head = head.replace(b" login:", b" ready:")
    boot = watch(head + missampled(recorded("raspi3b-healthy"), 2.0))
    kinds = {found.kind for found in boot.findings}
    assert {"oops", "console-garbage"} <= kinds


def test_a_clock_that_moves_for_a_moment_does_not_end_a_boot() -> None:
    head, tail = sent("raspi3b-healthy")[:5000], recorded("raspi3b-healthy")
    assert watch(head + missampled(head, 0.5) + tail).reached


def test_little_garbage_and_then_silence_is_told_as_garbage() -> None:
    boot = watch(missampled(b"raspberrypi login: " * 14, 0.5), silence=5)
    assert boot.findings[-1].kind == "console-garbage"


# --- what is left when the line dies ---------------------------------------------------------------------------------
def test_of_a_boot_whose_line_dies_stages_and_findings_are_kept() -> None:
    played = Played(recorded("raspi3b-module-oops").partition(b"---[ end trace")[0], LabError("the line is lost"))
    played._data = played._data.replace(b" login:", b" ready:")
    watch = BootWatch(played, Deadlines(), position=0, started=0.0)  # type: ignore[arg-type]
    with pytest.raises(LabError, match="the line is lost"):
        watch.run()
    assert watch.record.reason == "the line is lost"
    assert "kernel" in watch.record.stages
    assert "oops" in {found.kind for found in watch.record.findings}
    assert not watch.record.reached


def test_a_line_that_dies_after_the_panic_does_not_hide_it() -> None:
    """QEMU ends where a board would reset itself."""
    data = recorded("raspi3b-no-root").partition(b"Memory Limit")[0]
    boot = BootWatch(Played(data, LabError("QEMU ended")), Deadlines(), position=0, started=0.0).run()  # type: ignore[arg-type]
    assert boot.reason.startswith("VFS: Cannot open root device")


def test_a_watch_that_is_interrupted_leaves_a_boot_that_did_not_reach_its_login() -> None:
    watch = BootWatch(Played(KERNEL, KeyboardInterrupt()), Deadlines(), position=0, started=0.0)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        watch.run()
    assert watch.record.reason == "the watch was interrupted"
    assert watch.record.last_stage == "kernel"


# --- how long a death takes ------------------------------------------------------------------------------------------
def waits(data: bytes) -> float:
    """Return the seconds that were waited for more after all of *data* had come."""
    played = Played(data)
    BootWatch(played, Deadlines(), position=0, started=0.0).run()  # type: ignore[arg-type]
    return played.now - len(data) / 10_000


def test_the_last_words_of_a_panic_end_the_wait_for_its_trace() -> None:
    assert recorded("raspi3b-no-root").endswith(b"Rebooting in 1 seconds..\r\n")
    assert waits(recorded("raspi3b-no-root")) == pytest.approx(0)


def test_a_panic_that_is_cut_off_is_known_within_a_second() -> None:
    assert 0 < waits(KERNEL + b"[    2.0] Kernel panic - not syncing: Fatal exception\nCPU: 0 ") < 1


def test_a_boot_that_only_an_early_console_told_of_has_no_console() -> None:
    """console= names another port: init runs, and no getty speaks here."""
    data = recorded("raspi3b-healthy")
    early = b"[    0.000000] printk: legacy bootconsole [pl11] enabled\r\n"
    lines = [line for line in data.splitlines(keepends=True) if b"console [" not in line and b"login:" not in line]
    boot = watch(b"".join([*lines[:3], early, *lines[3:]]), silence=5)
    assert [found.kind for found in boot.findings if found.severity != "info"] == ["no-console"]
    assert judge([boot], []).name == "DEPLOY"
