"""A real card image of 64 MiB, with a kernel of a few hundred bytes on it, for boards that run in real QEMU."""

from pathlib import Path, PurePosixPath

import fakekernel
import libfdt
from smallcard import MIB, make_card

from harness.card.ext4 import Ext4Partition
from harness.card.fat import FatPartition

ARM_PROGRAM = b"\x7fELF\x01\x01\x01" + bytes(9) + b"\x02\x00\x28\x00"  # the head of a 32-bit program for Arm
CONFIG = "arm_64bit=1\nenable_uart=1\ndtoverlay=disable-bt\n"
DTB = {"bcm2837": "bcm2710-rpi-3-b.dtb", "bcm2711": "bcm2711-rpi-4-b.dtb"}


def dtb() -> bytes:
    """The smallest device tree that QEMU accepts."""
    tree = libfdt.Fdt.create_empty_tree(4096)
    tree.setprop_u32(0, "#address-cells", 1)
    tree.setprop_u32(0, "#size-cells", 1)
    tree.setprop_str(0, "compatible", "brcm,test")
    tree.pack()
    return bytes(tree.as_bytearray())


def make(path: Path, kernel: bytes | None, *, config: str = CONFIG, soc: str = "bcm2837") -> Path:
    """Make a card that boots *kernel*; without one the firmware finds none."""
    make_card(path, fat_mib=16, root_mib=8)
    with path.open("r+b") as file:
        file.truncate(64 * MIB)
    Ext4Partition(path, 17 * MIB).write({PurePosixPath("/bin/sh"): ARM_PROGRAM})
    put(path, "start4.elf", b"stub", "start.elf", b"stub", DTB[soc], dtb(), "cmdline.txt", b"console=serial0,115200\n")
    put(path, "config.txt", config.encode())
    if kernel is not None:
        put(path, "kernel8.img", kernel)
    return path


def put(path: Path, *names_and_contents: str | bytes) -> None:
    """Write files onto the card's boot partition: name, content, name, content ..."""
    pairs = zip(names_and_contents[::2], names_and_contents[1::2], strict=True)
    FatPartition(path, MIB).write({PurePosixPath(str(name)): bytes(content) for name, content in pairs})  # type: ignore[arg-type]


def healthy(release: str = "6.12.1-test", *, soc: str = "bcm2837", then: str = "keys") -> bytes:
    """A kernel that comes to its login prompt."""
    return fakekernel.image(fakekernel.text(release), soc=soc, then=then)
