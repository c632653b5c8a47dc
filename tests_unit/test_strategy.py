"""The ladder, on a virtual board in real QEMU with a tiny kernel: what it climbs, what it leaves behind."""

import os
import re
import signal
from pathlib import Path, PurePosixPath

import attrs
import fakekernel
import pytest
import tinycard
from labgrid import Target
from processes import qemus

from harness.card import layout
from harness.card.slot import CardImage
from harness.deploy.sdcard import CardImageDriver
from harness.errors import BootFailed, LabError, UsageError
from harness.model import Account, BaseImage, BootFile, BootFiles, Deadlines
from harness.strategy import Assignment, RaspberryPiStrategy
from harness.virtual.board import VirtualPiDriver

AMPLE = Deadlines(firmware=60, kernel=60, rootfs=60, init=60, login=60, silence=60)  # no test waits for one
PANIC = (
    "VFS: Cannot open root device\n"
    "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n"
    "---[ end Kernel panic - not syncing: VFS ]---\n"
)


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    card = tinycard.make(tmp_path_factory.mktemp("base") / "base.img", None)
    found = layout.find(card)
    return BaseImage(card, found.boot.start_bytes, 1, found.root.start_bytes, 2, 32, "tiny", "a test")


@pytest.fixture
def ladder(tmp_path, base):
    target = Target("tiny")
    CardImage(target, name=None, file=str(tmp_path / "card.img"))
    VirtualPiDriver(target, name=None, model="rpi-3-b")
    CardImageDriver(target, name=None)
    ladder = RaspberryPiStrategy(target, name=None)
    ladder.prepare(Assignment(tmp_path / "record", Account("pi", "x"), AMPLE), base)
    yield ladder
    ladder.close()


def files(tmp_path: Path, kernel: bytes, release: str = "6.12.1-test") -> BootFiles:
    root = tmp_path / f"modules-{release}"
    folder = root / "lib" / "modules" / release
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "modules.order").write_text("dummy.ko\n")
    return BootFiles(
        (BootFile(PurePosixPath("kernel8.img"), data=kernel),), release, root, layout="in-place", os_prefix=""
    )


def test_climbing_passes_each_rung_once(ladder, tmp_path) -> None:
    ladder.files = files(tmp_path, tinycard.healthy())
    assert ladder.transition("booted") == ["deployed", "booted"]
    assert ladder.transition("booted") == ["booted"]
    assert ladder.boot.reached
    assert list(ladder.boot.stages) == ["firmware", "kernel", "rootfs", "init", "login"]


def test_boots_the_kernel_deployed_last(ladder, tmp_path) -> None:
    for release in ("6.12.1-old", "6.12.2-new"):
        ladder.files = files(tmp_path, tinycard.healthy(release), release)
        ladder.transition("off")
        ladder.transition("booted")
        assert f"Linux version {release}" in ladder.boot.log.read_text().split("Starting ARM")[-1]


def test_a_panic_ends_the_boot_at_once_and_is_a_value(ladder, tmp_path) -> None:
    ladder.files = files(tmp_path, fakekernel.image(fakekernel.text("6.12.1-bad", PANIC), then="hang"))
    ladder.transition("booted")
    assert not ladder.boot.reached
    assert ladder.boot.last_stage == "kernel"
    assert ladder.boot.reason == "VFS: Cannot open root device"


def test_a_shell_on_a_board_that_did_not_boot_is_boot_failed_with_its_last_words(ladder, tmp_path) -> None:
    ladder.files = files(tmp_path, fakekernel.image(fakekernel.text("6.12.1-bad", PANIC), then="hang"))
    with pytest.raises(
        BootFailed, match=r"tiny: no login prompt: VFS: Cannot open root device; last stage: kernel, at"
    ) as caught:
        ladder.transition("shell")
    assert any("Unable to mount root fs" in line for line in caught.value.evidence)
    assert "console.log" in caught.value.hint


def test_a_kernel_that_resets_again_and_again_is_a_boot_loop(ladder, tmp_path) -> None:
    ladder.files = files(tmp_path, fakekernel.image(fakekernel.text("6.12.1-loop", "oh\n"), then="reset"))
    ladder.transition("booted")
    banners = re.match(r"boot loop: (\d) kernel banners", ladder.boot.reason)
    assert banners
    assert int(banners[1]) in {3, 4}  # it resets so fast that the fourth may come with the third


def test_a_silent_kernel_is_given_up_after_the_silence_deadline(ladder, tmp_path) -> None:
    ladder.files = files(tmp_path, fakekernel.image(fakekernel.text("6.12.1-hang", "and then\n"), then="hang"))
    ladder.assignment = attrs.evolve(ladder.assignment, deadlines=attrs.evolve(AMPLE, silence=2))
    ladder.transition("booted")
    assert ladder.boot.reason.startswith("silent for 2 s after stage `kernel`")


def test_after_a_failed_boot_the_next_transition_starts_from_off(ladder, tmp_path) -> None:
    ladder.files = files(tmp_path, fakekernel.image(fakekernel.text("6.12.1-bad", PANIC), then="hang"))
    ladder.transition("booted")
    assert ladder.transition("booted") == ["deployed", "booted"]
    assert len(ladder.boots) == 2


def test_a_cold_boot_keeps_the_card_and_adds_a_record(ladder, tmp_path) -> None:
    ladder.files = files(tmp_path, tinycard.healthy())
    ladder.transition("booted")
    assert ladder.cold_boot().reached
    assert len(ladder.boots) == 2


def test_the_first_lab_error_is_raised_again_at_once_and_the_board_is_off(ladder, tmp_path) -> None:
    ladder.files = files(tmp_path, tinycard.healthy())
    ladder.power.qemu_args = ["-nonsense"]
    with pytest.raises(LabError, match="QEMU did not start") as first:
        ladder.transition("booted")
    ladder.power.qemu_args = []
    with pytest.raises(LabError) as second:
        ladder.transition("booted")
    assert second.value is first.value
    assert ladder.power.get() is False


def test_a_serial_port_that_does_not_open_is_the_labs_fault_and_says_which(tmp_path, base) -> None:
    from labgrid.driver import SerialDriver
    from labgrid.driver.fake import FakePowerDriver
    from labgrid.resource import RawSerialPort

    target = Target("iron")
    RawSerialPort(target, name=None, port="/dev/pulled-out")
    SerialDriver(target, name=None)
    FakePowerDriver(target, name=None)
    ladder = RaspberryPiStrategy(target, name=None)
    ladder.prepare(Assignment(tmp_path / "record"), base)
    with pytest.raises(LabError, match=r"iron: .*/dev/pulled-out"):
        ladder.transition("booted")


def test_qemu_killed_while_booting_is_the_labs_fault(ladder, tmp_path) -> None:
    slow = fakekernel.image("Booting Linux on physical CPU 0x0\nLinux version 6.12.1-slow (x)\n", then="hang")
    ladder.files = files(tmp_path, slow)
    ladder.transition("deployed")

    def kill(text: str) -> None:
        if "stage kernel" in text:
            for pid in qemus(str(ladder.power._folder)):  # none the second time
                os.kill(pid, signal.SIGKILL)

    ladder.assignment = Assignment(tmp_path / "record", deadlines=AMPLE, progress=kill)
    with pytest.raises(LabError, match="serial line was hung up"):
        ladder.transition("booted")


def test_an_unknown_state_lists_the_known_ones(ladder) -> None:
    with pytest.raises(UsageError, match="off, deployed, booted, shell"):
        ladder.transition("asleep")


def test_two_runs_do_not_write_to_one_card(ladder, tmp_path) -> None:
    other = Target("other")
    CardImage(other, name=None, file=str(tmp_path / "card.img"))
    second = CardImageDriver(other, name=None)
    with pytest.raises(LabError, match=rf"other: its card .* is in use by another run \(process {os.getpid()}\)"):
        other.activate(second)


def test_deploying_the_same_files_again_writes_nothing(ladder, tmp_path) -> None:
    wanted = files(tmp_path, tinycard.healthy())
    ladder.target.activate(ladder.medium)
    assert ladder.medium.deploy(wanted).written == ("kernel8.img", "lib/modules/6.12.1-test/modules.order")
    assert ladder.medium.deploy(wanted).written == ()


def test_a_new_release_takes_the_old_ones_modules_off_the_card(ladder, tmp_path, base) -> None:
    from harness.card.ext4 import Ext4Partition

    ladder.target.activate(ladder.medium)
    ladder.medium.deploy(files(tmp_path, tinycard.healthy(), "6.12.1-old"))
    ladder.medium.deploy(files(tmp_path, tinycard.healthy("6.12.2-new"), "6.12.2-new"))
    card = Ext4Partition(tmp_path / "card.img", base.root_offset)
    assert list(card.nodes("/lib/modules")) == ["6.12.2-new"]


def test_a_stock_file_that_lay_under_ours_comes_back_when_ours_goes(ladder, tmp_path, base) -> None:
    from harness.card.fat import FatPartition

    own = files(tmp_path, tinycard.healthy())
    over = BootFile(PurePosixPath(tinycard.DTB["bcm2837"]), data=b"ours")
    ladder.target.activate(ladder.medium)
    ladder.medium.deploy(attrs.evolve(own, files=(*own.files, over)))
    ladder.medium.deploy(own)
    assert FatPartition(tmp_path / "card.img", base.boot_offset).read(tinycard.DTB["bcm2837"]) == tinycard.dtb()


def test_a_card_that_somebody_else_wrote_to_is_made_anew(ladder, tmp_path) -> None:
    wanted = files(tmp_path, tinycard.healthy())
    ladder.target.activate(ladder.medium)
    ladder.medium.deploy(wanted)
    os.utime(tmp_path / "card.img", (1, 1))
    assert "kernel8.img" in ladder.medium.deploy(wanted).written
