"""A card behind an SD mux: what is written there, when it is not, and whose fault that is.

labgrid's own driver switches a mux whose programs are scripted; the card is a file that comes and goes as a disk would.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import attrs
import kernelpair
import pytest
from cutshort import Killed, Steps
from labgrid import Target
from loopdev import looped
from scriptedmux import Mux, ScriptedPowerDriver
from smallcard import BOOT_OFFSET, ROOT_OFFSET, make_card, tool

from harness.card.ext4 import Ext4Partition
from harness.card.fat import FatPartition
from harness.deploy import oncard
from harness.deploy.reach import Reach
from harness.deploy.sdmux import SdMuxDeployDriver
from harness.errors import LabError
from harness.model import BaseImage

OLD, NEW = "6.12.1-old", "6.12.2-new"
P = PurePosixPath


@pytest.fixture(scope="module")
def flashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A card as it is after the base image was written to it."""
    path = make_card(tmp_path_factory.mktemp("base") / "base.img")
    kernelpair.stock(path, BOOT_OFFSET)
    return path


@pytest.fixture
def base(flashed: Path) -> BaseImage:
    return BaseImage(flashed, BOOT_OFFSET, 1, ROOT_OFFSET, 2, 32, "base", "raspios.img")


@pytest.fixture
def mux(tmp_path: Path, flashed: Path, monkeypatch: pytest.MonkeyPatch) -> Mux:
    mux = Mux(tmp_path / "mux", monkeypatch)
    tool(["cp", "--sparse=always", flashed, mux.card])
    return mux


@pytest.fixture
def power() -> list[ScriptedPowerDriver]:
    return []


@pytest.fixture
def driver(mux: Mux, base: BaseImage) -> Iterator[SdMuxDeployDriver]:
    target = Target("rpi4")
    mux.bind(target)
    ScriptedPowerDriver(target, name=None)
    driver = SdMuxDeployDriver(target, name=None, switch_timeout=1, medium_timeout=2)
    target.activate(driver)
    driver.use(base)
    yield driver
    target.deactivate(driver)


def booting(mux: Mux) -> str:
    return kernelpair.booting(mux.card, BOOT_OFFSET, ROOT_OFFSET)


# --- what it does ----------------------------------------------------------------------------------------------------
def test_the_board_has_the_card_back_with_the_new_kernel_on_it(
    driver: SdMuxDeployDriver, mux: Mux, tmp_path: Path
) -> None:
    manifest = driver.deploy(kernelpair.files(tmp_path / "a", NEW))
    assert (mux.turns, mux.mode, booting(mux)) == (["host", "dut"], "dut", NEW)
    assert f"lib/modules/{NEW}/modules.dep" in manifest.modules
    assert "pi64/kernel8.img" in manifest.written


def test_the_stock_texts_are_those_of_the_card_not_of_the_image(driver: SdMuxDeployDriver, mux: Mux) -> None:
    """The first boot of a Raspberry Pi OS gives the card a disk id of its own, and root= with it."""
    FatPartition(mux.card, BOOT_OFFSET).write({P("cmdline.txt"): b"root=PARTUUID=of-this-card\n"})
    assert driver.stock()["cmdline.txt"] == b"root=PARTUUID=of-this-card\n"
    assert mux.mode == "dut"


def test_the_same_again_writes_nothing(driver: SdMuxDeployDriver, mux: Mux, tmp_path: Path) -> None:
    files = kernelpair.files(tmp_path / "a", NEW)
    driver.deploy(files)
    content = mux.card.read_bytes()
    assert driver.deploy(files).written == ()
    assert mux.card.read_bytes() == content


def test_only_what_changed_is_written(driver: SdMuxDeployDriver, mux: Mux, tmp_path: Path) -> None:
    files = kernelpair.files(tmp_path / "a", NEW)
    driver.deploy(files)
    (files.modules_root / "lib/modules" / NEW / "kernel/d0/m0.ko").write_bytes(b"another")
    assert driver.deploy(files).written == (f"lib/modules/{NEW}/kernel/d0/m0.ko",)
    assert Ext4Partition(mux.card, ROOT_OFFSET).read(f"/lib/modules/{NEW}/kernel/d0/m0.ko") == b"another"


def test_what_the_board_has_lost_meanwhile_is_written_again(
    driver: SdMuxDeployDriver, mux: Mux, tmp_path: Path
) -> None:
    files = kernelpair.files(tmp_path / "a", NEW)
    driver.deploy(files)
    FatPartition(mux.card, BOOT_OFFSET).write({P("pi64/cmdline.txt"): b""})
    Ext4Partition(mux.card, ROOT_OFFSET).write({P("/lib/modules", NEW, "kernel/d0/m0.ko"): b"cut"})
    written = driver.deploy(files).written
    assert f"lib/modules/{NEW}/kernel/d0/m0.ko" in written
    assert booting(mux) == NEW


def test_a_list_copied_from_another_card_counts_for_nothing(
    driver: SdMuxDeployDriver, mux: Mux, tmp_path: Path
) -> None:
    files = kernelpair.files(tmp_path / "a", NEW)
    everything = driver.deploy(files).written
    with mux.card.open("r+b") as file:  # the disk id
        file.seek(440)
        file.write(b"\x01\x02\x03\x04")
    assert set(driver.deploy(files).written) == {name.replace("pi64/", "pi64-b/") for name in everything}


def test_old_kernels_leave_the_root_filesystem(driver: SdMuxDeployDriver, mux: Mux, tmp_path: Path) -> None:
    for number, release in enumerate((OLD, NEW, OLD, NEW)):
        driver.deploy(kernelpair.files(tmp_path / str(number), release))
        assert booting(mux) == release
    assert list(Ext4Partition(mux.card, ROOT_OFFSET).nodes("/lib/modules")) == [NEW]


@pytest.mark.parametrize("layout", ["side-by-side", "in-place"])
def test_restoring_leaves_the_card_as_it_was(
    driver: SdMuxDeployDriver, mux: Mux, tmp_path: Path, flashed: Path, layout: str
) -> None:
    for number, release in enumerate((OLD, NEW)):
        driver.deploy(kernelpair.files(tmp_path / str(number), release, layout=layout))
        assert booting(mux) == release
    driver.restore()
    fat, stock = (FatPartition(path, BOOT_OFFSET) for path in (mux.card, flashed))
    assert (fat.digests(), fat.folders()) == (stock.digests(), stock.folders())
    assert Ext4Partition(mux.card, ROOT_OFFSET).nodes("/lib/modules") == {}
    assert (booting(mux), mux.mode) == ("stock", "dut")
    driver.restore()
    assert booting(mux) == "stock"


def test_a_stock_file_that_was_written_over_comes_back_under_its_own_name(
    driver: SdMuxDeployDriver, mux: Mux, tmp_path: Path
) -> None:
    fat = FatPartition(mux.card, BOOT_OFFSET)
    fat.delete([P("kernel8.img")])
    fat.write({P("Kernel8.IMG"): kernelpair.STOCK["kernel8.img"]})
    driver.deploy(kernelpair.files(tmp_path / "a", NEW, layout="in-place"))
    driver.restore()
    assert fat.read("kernel8.img") == kernelpair.STOCK["kernel8.img"]


def test_a_card_whose_board_lost_its_power_is_repaired_first(
    driver: SdMuxDeployDriver, mux: Mux, tmp_path: Path
) -> None:
    tool(["debugfs", "-w", "-R", "set_super_value state 0", f"{mux.card}?offset={ROOT_OFFSET}"])
    driver.deploy(kernelpair.files(tmp_path / "a", NEW))
    assert booting(mux) == NEW
    tool(["e2fsck", "-fn", f"{mux.card}?offset={ROOT_OFFSET}"])


@pytest.mark.parametrize("points", [6, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_deploy_cut_short_at_any_step_leaves_one_whole_kernel_and_the_next_one_works(
    driver: SdMuxDeployDriver, mux: Mux, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, points: int
) -> None:
    driver.deploy(kernelpair.files(tmp_path / "a", OLD))
    new, before = kernelpair.files(tmp_path / "b", NEW), tmp_path / "before.img"
    tool(["cp", "--sparse=always", mux.card, before])
    steps, booted = Steps(monkeypatch), []
    driver.deploy(new)
    count = steps.done
    for limit in sorted({count * point // points for point in range(points)}):
        tool(["cp", "--sparse=always", before, mux.card])
        steps.end_at(limit)
        with pytest.raises(Killed):
            driver.deploy(new)
        steps.end_at(None)
        booted.append(booting(mux))
    assert count > 25
    assert booted == sorted(booted)
    assert set(booted) == {OLD, NEW}
    driver.deploy(new)
    assert booting(mux) == NEW
    assert list(Ext4Partition(mux.card, ROOT_OFFSET).nodes("/lib/modules")) == [NEW]


# --- what goes wrong -------------------------------------------------------------------------------------------------
def test_a_board_that_has_power_keeps_its_card(driver: SdMuxDeployDriver, mux: Mux, tmp_path: Path) -> None:
    driver.power.on()
    for what in (driver.stock, driver.restore, lambda: driver.deploy(kernelpair.files(tmp_path / "a", NEW))):
        with pytest.raises(LabError, match="rpi4: the board has power"):
            what()
    assert mux.turns == []


def test_a_mux_that_is_stuck_is_told_with_what_it_says(driver: SdMuxDeployDriver, mux: Mux, tmp_path: Path) -> None:
    mux.fault(stuck="dut")
    with pytest.raises(LabError, match=r"rpi4: the mux is stuck: told to hand the card to `host`, after 1 s .* `dut`"):
        driver.deploy(kernelpair.files(tmp_path / "a", NEW))


def test_a_mux_whose_program_fails_is_told_with_its_words(driver: SdMuxDeployDriver, mux: Mux) -> None:
    mux.fault(broken=True)
    with pytest.raises(LabError, match="the mux did not switch to host: its program returned 1") as caught:
        driver.stock()
    assert any("Could not open /dev/sg9" in line for line in caught.value.evidence)


def test_a_mux_without_its_program_is_told(
    driver: SdMuxDeployDriver, mux: Mux, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mux.folder / "bin" / "usbsdmux").unlink()
    with pytest.raises(LabError, match=r"the mux did not switch to host: .*No such file or directory: 'usbsdmux'"):
        driver.stock()


def test_a_disk_that_is_slow_to_appear_is_waited_for(driver: SdMuxDeployDriver, mux: Mux, tmp_path: Path) -> None:
    mux.fault(late_s=1)
    driver.deploy(kernelpair.files(tmp_path / "a", NEW))
    mux.fault(late_s=0)
    assert booting(mux) == NEW


def test_a_disk_that_never_appears_ends_the_wait_and_is_named(driver: SdMuxDeployDriver, mux: Mux) -> None:
    mux.fault(lost=True)
    with pytest.raises(LabError, match=r"no card at the host's side after 2 s: looked for .*dev/sdx, the card of rpi4"):
        driver.stock()


def test_a_reader_without_a_medium_ends_the_wait_as_well(driver: SdMuxDeployDriver, mux: Mux) -> None:
    mux.card.write_bytes(b"")
    with pytest.raises(LabError, match="without a medium"):
        driver.stock()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bytes(1 << 20), "wrong card\\? .*no 55 AA"),
        (b"PK\x03\x04" + bytes(1 << 20), "wrong card\\?"),
    ],
)
def test_a_card_without_a_boot_partition_is_not_touched(
    driver: SdMuxDeployDriver, mux: Mux, tmp_path: Path, content: bytes, message: str
) -> None:
    mux.card.write_bytes(content)
    with pytest.raises(LabError, match=message) as caught:
        driver.deploy(kernelpair.files(tmp_path / "a", NEW))
    assert mux.card.read_bytes() == content
    assert "pi64 flash" in caught.value.hint


def test_a_card_with_another_partition_table_is_not_touched(
    driver: SdMuxDeployDriver, mux: Mux, base: BaseImage, tmp_path: Path
) -> None:
    driver.use(attrs.evolve(base, root_offset=99 << 20))
    content = mux.card.read_bytes()
    with pytest.raises(LabError, match=r"wrong card\? the partitions on .* lie elsewhere than those of raspios.img"):
        driver.deploy(kernelpair.files(tmp_path / "a", NEW))
    assert mux.card.read_bytes() == content


def test_a_full_card_is_told_and_the_old_kernel_boots(driver: SdMuxDeployDriver, mux: Mux, tmp_path: Path) -> None:
    driver.deploy(kernelpair.files(tmp_path / "a", OLD))
    files = kernelpair.files(tmp_path / "b", NEW)
    (files.modules_root / "lib/modules" / NEW / "huge.ko").write_bytes(bytes(64 << 20))
    with pytest.raises(LabError, match=r"root filesystem has \d+\.\d MiB"):
        driver.deploy(files)
    assert (booting(mux), mux.mode) == (OLD, "dut")


def test_a_write_error_is_told_and_the_board_has_the_card_back(
    driver: SdMuxDeployDriver, mux: Mux, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.deploy(kernelpair.files(tmp_path / "a", OLD))

    def broken(_: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(oncard, "settle", broken)
    with pytest.raises(LabError, match=r"sdx: the card cannot be read or written: Input/output error"):
        driver.deploy(kernelpair.files(tmp_path / "b", NEW))
    assert mux.mode == "dut"


def test_a_mux_that_is_stuck_on_the_way_back_is_told(
    driver: SdMuxDeployDriver, mux: Mux, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SdMuxDeployDriver._reach

    def stuck_from_now_on(self: SdMuxDeployDriver) -> Reach:
        mux.fault(stuck="host")
        return real(self)

    monkeypatch.setattr(SdMuxDeployDriver, "_reach", stuck_from_now_on)
    with pytest.raises(LabError, match="told to hand the card to `dut`, after 1 s it says `host`"):
        driver.stock()


def test_of_two_failures_the_first_is_told(
    driver: SdMuxDeployDriver, mux: Mux, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: SdMuxDeployDriver) -> Reach:
        mux.fault(stuck="host")
        raise LabError("the first")

    monkeypatch.setattr(SdMuxDeployDriver, "_reach", failing)
    with pytest.raises(LabError, match="the first"):
        driver.stock()


@pytest.mark.parametrize("bind", ["bind_sdwire", "bind_sdwire3"])
def test_an_sdwire_is_switched_by_labgrids_driver_for_it(mux: Mux, base: BaseImage, tmp_path: Path, bind: str) -> None:
    """Their programs call the host's side TS."""
    target = Target("rpi4")
    getattr(mux, bind)(target)
    driver = SdMuxDeployDriver(target, name=None, switch_timeout=1, medium_timeout=2)
    target.activate(driver)
    driver.use(base)
    driver.deploy(kernelpair.files(tmp_path / "a", NEW))
    assert (mux.turns, booting(mux)) == (["host", "dut"], NEW)
    mux.fault(stuck="dut")
    with pytest.raises(LabError, match=r"told to hand the card to `host`, after 1 s it says `dut`"):
        driver.stock()


def test_the_disk_of_an_sdwire3_has_to_be_named(mux: Mux, base: BaseImage) -> None:
    """labgrid would take any disk of the same hub for it, somebody's backup say."""
    target = Target("rpi4")
    mux.bind_sdwire3(target)
    target.resources = [one for one in target.resources if one.name is None and "Reader" not in type(one).__name__]
    driver = SdMuxDeployDriver(target, name=None)
    target.activate(driver)
    driver.use(base)
    with pytest.raises(LabError, match="the disk of an SDWire3 has to be named") as caught:
        driver.stock()
    assert "USBMassStorage" in caught.value.hint


# --- a block device --------------------------------------------------------------------------------------------------
@contextmanager
def as_disk(mux: Mux, file: Path, *options: str) -> Iterator[Path]:
    """Let the mux's disk be the loop device of *file*, and stay where it is whatever the mux does."""
    with looped(file, *options) as device:
        mux.disk.symlink_to(device)
        mux.fault(mode="host", lost=True)
        yield device


def test_a_block_device_is_written_like_a_file(driver: SdMuxDeployDriver, mux: Mux, tmp_path: Path) -> None:
    with as_disk(mux, mux.card) as disk:
        driver.deploy(kernelpair.files(tmp_path / "a", NEW))
        assert kernelpair.booting(disk, BOOT_OFFSET, ROOT_OFFSET) == NEW
        tool(["e2fsck", "-fn", f"{disk}?offset={ROOT_OFFSET}"])


def test_what_the_board_left_in_its_journal_is_on_the_card_before_anything_is_written(
    driver: SdMuxDeployDriver, mux: Mux, tmp_path: Path
) -> None:
    """The kernel's own ext4 writes, and its power is cut: what a board does to its card at the end of each run."""
    (tmp_path / "mnt").mkdir()
    with looped(mux.card, "-o", str(ROOT_OFFSET)) as part:
        subprocess.run(["mount", part, tmp_path / "mnt"], check=True)
        try:
            (tmp_path / "mnt" / "etc").mkdir()
            (tmp_path / "mnt" / "etc" / "of-the-board").write_text("written by the board")
            subprocess.run(["sync", "-f", tmp_path / "mnt"], check=True)
            tool(["cp", "--sparse=always", mux.card, tmp_path / "cut.img"])
        finally:
            subprocess.run(["umount", tmp_path / "mnt"], check=True)
    mux.card.unlink()
    (tmp_path / "cut.img").rename(mux.card)
    with as_disk(mux, mux.card) as disk:
        driver.deploy(kernelpair.files(tmp_path / "a", NEW))
        assert Ext4Partition(disk, ROOT_OFFSET).read("/etc/of-the-board") == b"written by the board"
        assert kernelpair.booting(disk, BOOT_OFFSET, ROOT_OFFSET) == NEW
        tool(["e2fsck", "-fn", f"{disk}?offset={ROOT_OFFSET}"])


def test_a_disk_that_is_mounted_is_refused_with_where(driver: SdMuxDeployDriver, mux: Mux, tmp_path: Path) -> None:
    (tmp_path / "mnt").mkdir()
    other = tmp_path / "mounted.img"
    tool(["mke2fs", "-q", "-t", "ext4", other, "8M"])
    with as_disk(mux, other) as disk:
        subprocess.run(["mount", disk, tmp_path / "mnt"], check=True)
        try:
            with pytest.raises(LabError, match=f"in use: mounted at {tmp_path}/mnt"):
                driver.deploy(kernelpair.files(tmp_path / "a", NEW))
        finally:
            subprocess.run(["umount", tmp_path / "mnt"], check=True)


def test_a_read_only_disk_is_refused(driver: SdMuxDeployDriver, mux: Mux, tmp_path: Path) -> None:
    with as_disk(mux, mux.card, "-r"), pytest.raises(LabError, match="the card is read-only"):
        driver.deploy(kernelpair.files(tmp_path / "a", NEW))
