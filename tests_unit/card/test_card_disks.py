"""What kind of disk a block device is: by what the kernel shows, whatever the device says of itself."""

from pathlib import Path

import pytest
from fakesysfs import MMC, Sysfs

from harness.card import disks
from harness.errors import LabError, UsageError

MOUNTINFO = """\
22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw
40 22 8:18 / /media/pi/root\\040fs rw,nosuid shared:20 - ext4 /dev/sdb2 rw
41 22 0:40 / /proc rw - proc proc rw
"""
SWAPS = (
    "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/dev/sdb1                               partition\t1024\t0\t-2\n"
)


@pytest.fixture
def sysfs(tmp_path: Path) -> Sysfs:
    return Sysfs(tmp_path)


def test_a_card_in_a_mux_is_a_removable_usb_disk_with_the_serial_of_its_usb_device(sysfs: Sysfs) -> None:
    sysfs.usb_disk("sdb", "8:16", removable=True)
    disk = disks.from_sysfs(sysfs.root, "8:16")
    assert (disk.bus, disk.removable, disk.serial, disk.numbers) == (
        "usb",
        True,
        "000000000042",
        ("8:16", "8:17", "8:18"),
    )
    assert str(disk) == "/dev/sdb: 32.0 GiB usb LinuxAut sdmux HS-SD/MMC serial 000000000042"


def test_a_usb_hard_disk_is_not_removable(sysfs: Sysfs) -> None:
    sysfs.usb_disk("sdb", "8:16", removable=False)
    assert not disks.from_sysfs(sysfs.root, "8:16").removable


@pytest.mark.parametrize(("kind", "removable"), [("SD\n", True), ("MMC\n", False)])
def test_an_sd_card_in_a_slot_is_removable_an_emmc_is_not(sysfs: Sysfs, kind: str, removable: bool) -> None:
    sysfs.disk("mmcblk0", "179:0", below=f"{MMC}/mmc0:aaaa", type=kind, serial="0x12345678", name="SC32G")
    disk = disks.from_sysfs(sysfs.root, "179:0")
    assert (disk.bus, disk.removable, disk.serial, disk.model) == ("mmc", removable, "0x12345678", "SC32G")


def test_a_partition_is_not_a_disk(sysfs: Sysfs) -> None:
    sysfs.usb_disk("sdb", "8:16")
    with pytest.raises(UsageError, match="/dev/sdb1 is a partition of /dev/sdb"):
        disks.from_sysfs(sysfs.root, "8:17")


def test_a_disk_that_was_unplugged_meanwhile_is_the_benchs_fault(sysfs: Sysfs) -> None:
    with pytest.raises(LabError, match="unplugged"):
        disks.from_sysfs(sysfs.root, "8:16")


def test_what_a_descriptor_says_cannot_reach_a_terminal(sysfs: Sysfs) -> None:
    sysfs.usb_disk("sdb", "8:16", serial="\x1b]0;owned\x07" + "x" * 1000)
    disk = disks.from_sysfs(sysfs.root, "8:16")
    assert disk.serial.isprintable()
    assert len(disk.serial) == 64


def test_every_use_of_a_disk_is_told(sysfs: Sysfs) -> None:
    folder = sysfs.usb_disk("sdb", "8:16")
    (folder / "sdb1" / "holders" / "dm-0").mkdir()
    disk = disks.from_sysfs(sysfs.root, "8:16")
    assert disks.uses(disk, mountinfo=MOUNTINFO, swaps=SWAPS, sysfs=sysfs.root) == [
        "held by dm-0",
        "mounted at /media/pi/root fs",
        "swap on /dev/sdb1",
    ]


def test_a_disk_that_nobody_uses_has_no_uses(sysfs: Sysfs) -> None:
    sysfs.usb_disk("sdc", "8:32")
    disk = disks.from_sysfs(sysfs.root, "8:32")
    assert disks.uses(disk, mountinfo=MOUNTINFO, swaps=SWAPS, sysfs=sysfs.root) == []


@pytest.mark.parametrize(("path", "message"), [("/dev/null", "not a block device"), ("/nowhere", "No such file")])
def test_what_is_no_disk_is_the_users_mistake(path: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        disks.look(Path(path))
