"""What a boot looks like to the watcher: recorded logs of real kernels, played back as a board would send them."""

from pathlib import Path

import attrs
import pytest

from harness.console.watcher import BootWatch, Deadlines
from harness.model import BootRecord

DATA = Path(__file__).parent.parent / "data"
PROMPT = b"\r\nraspberrypi login: "


class Played:
    """A recording that is played: ten bytes a millisecond of its own clock, then nothing more."""

    def __init__(self, data: bytes) -> None:
        self.name, self.log = "played", Path("console.log")
        self._data, self.now = data, 0.0

    def read(self, position: int, *, timeout: float, limit: int = 700) -> bytes:
        piece = self._data[position : position + limit]
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


def test_a_stage_that_does_not_come_is_named_with_its_deadline() -> None:
    chatter = b"Booting Linux on physical CPU 0x0\n" + b"still alive\n" * 20_000
    assert watch(chatter, rootfs=10).reason == "no stage `rootfs` within 10 s of power-on"


def test_the_old_system_shutting_down_is_no_part_of_the_boot_after_a_reboot() -> None:
    old = b"systemd[1]: Stopping everything\nraspberrypi login: reboot: Restarting system\n"
    boot = watch(old + recorded("raspi3b-healthy"), started=None)
    assert boot.reached
    assert boot.first_line == 3
    assert min(boot.stages.values()) == pytest.approx(0)


def test_three_kernel_banners_without_a_login_are_a_boot_loop() -> None:
    once = b"Booting Linux on physical CPU 0x0\n" + b"trying\n" * 10
    assert watch(once * 3).reason == "boot loop: 3 kernel banners and no login prompt"
