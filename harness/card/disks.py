"""What kind of disk a block device is, and who uses it: the kernel's own words in sysfs and /proc, no guess from names.

Source: Documentation/ABI/stable/sysfs-block of the kernel; proc_pid_mountinfo(5).
"""

import os
import stat
from pathlib import Path

import attrs

from harness.errors import LabError, UsageError

SYSFS = Path("/sys")
SECTOR = 512  # sysfs counts in these whatever the disk does
TEXT_LIMIT = 64


@attrs.frozen
class Disk:
    """A whole disk, with the partitions on it."""

    name: str
    """E.g. ``sdb``."""
    numbers: tuple[str, ...]
    """``major:minor`` of the disk, then of its partitions."""
    size_bytes: int
    removable: bool
    """Whether the card can be taken out: a reader's medium, or an SD card in a slot; not an eMMC, not a USB disk."""
    read_only: bool
    bus: str
    """``usb``, ``mmc``, or empty for all others."""
    serial: str
    """Of the card, or of the USB device it is in; empty where it has none."""
    model: str
    holders: tuple[str, ...]
    """Devices that are made of this one or its partitions: LVM, RAID, dm-crypt."""

    def __str__(self) -> str:
        words = [f"/dev/{self.name}:", f"{self.size_bytes / 2**30:.1f} GiB", self.bus, self.model]
        return " ".join(filter(None, [*words, f"serial {self.serial}" if self.serial else ""]))


def look(device: Path, *, sysfs: Path = SYSFS) -> Disk:
    """Return the disk that *device* is; UsageError for a partition, or for what is no block device."""
    try:
        status = device.stat()
    except OSError as error:
        raise UsageError(f"{device}: {error.strerror}", hint="`lsblk` lists the disks of this host") from error
    if not stat.S_ISBLK(status.st_mode):
        raise UsageError(f"{device}: not a block device")
    return from_sysfs(sysfs, f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}")


def from_sysfs(sysfs: Path, number: str) -> Disk:
    """Return the disk ``major:minor`` as *sysfs* shows it; UsageError for a partition, LabError when there is none."""
    folder = (sysfs / "dev" / "block" / number).resolve()
    if not folder.is_dir():
        raise LabError(f"{folder}: block device {number} is not in sysfs: it was unplugged")
    if (folder / "partition").exists():
        raise UsageError(f"/dev/{folder.name} is a partition of /dev/{folder.parent.name}", hint="name the whole disk")
    parts = [folder, *sorted(part.parent for part in folder.glob("*/partition"))]
    bus = _bus(folder)
    return Disk(
        name=folder.name,
        numbers=tuple(_text(part / "dev") for part in parts),
        size_bytes=int(_text(folder / "size") or 0) * SECTOR,
        removable=_text(folder / "removable") == "1" or (bus == "mmc" and _text(folder / "device" / "type") == "SD"),
        read_only=_text(folder / "ro") == "1",
        bus=bus,
        serial=_serial(folder, bus),
        model=" ".join(filter(None, [_text(folder / "device" / "vendor"), _model(folder)])),
        holders=tuple(sorted(holder.name for part in parts for holder in _listed(part / "holders"))),
    )


def uses(disk: Disk, *, mountinfo: str, swaps: str, sysfs: Path = SYSFS) -> list[str]:
    """Return who uses *disk* or a partition of it; *mountinfo* and *swaps* are the texts of those files in /proc."""
    numbers = set(disk.numbers)
    found = [f"held by {holder}" for holder in disk.holders]
    for line in mountinfo.splitlines():
        fields = line.split(" ")
        if len(fields) > 4 and fields[2] in numbers:
            found.append(f"mounted at {_unescaped(fields[4])}")
    names = {(sysfs / "dev" / "block" / number).resolve().name for number in numbers}
    for line in swaps.splitlines()[1:]:
        path = line.split(" ")[0].split("\t")[0]
        if path.removeprefix("/dev/") in names:
            found.append(f"swap on {path}")
    return found


def in_use(device: Path) -> list[str]:
    """Return who uses *device* now; nobody uses an image file."""
    if not device.is_block_device():
        return []
    mountinfo, swaps = Path("/proc/self/mountinfo"), Path("/proc/swaps")
    return uses(
        look(device),
        mountinfo=mountinfo.read_text(errors="replace"),
        swaps=swaps.read_text(errors="replace") if swaps.exists() else "",
    )


def _bus(folder: Path) -> str:
    """Tell by the devices above the disk."""
    above = folder.parts
    if any(part.startswith("usb") and part[3:].isdecimal() for part in above):
        return "usb"
    return "mmc" if "mmc_host" in above else ""


def _model(folder: Path) -> str:
    return _text(folder / "device" / "model") or _text(folder / "device" / "name")


def _serial(folder: Path, bus: str) -> str:
    if bus != "usb":
        return _text(folder / "device" / "serial")
    device = next((above for above in folder.parents if (above / "idVendor").exists()), folder)
    return _text(device / "serial")


def _listed(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _text(path: Path) -> str:
    """Return what stands in a file of sysfs, without what a terminal would act upon: descriptors are not trusted."""
    try:
        text = path.read_bytes().decode(errors="replace").strip()
    except OSError:
        return ""
    return "".join(char if char.isprintable() else "?" for char in text)[:TEXT_LIMIT]


def _unescaped(text: str) -> str:
    """Return a path of mountinfo, where blanks and the like stand as octal codes, for people."""
    for code in ("\\040", "\\011", "\\012", "\\134"):
        text = text.replace(code, chr(int(code[1:], 8)))
    return "".join(char if char.isprintable() else "?" for char in text)
