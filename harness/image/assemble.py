"""Put a card image together from tars and boot files: no mount, no loop device, no root."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from harness import host
from harness.card.fat import FatPartition

MIB = 1 << 20
BOOT_START, BOOT_SIZE = 4 * MIB, 256 * MIB  # as on Raspberry Pi OS
ROOT_START, TOTAL = BOOT_START + BOOT_SIZE, 1 << 30  # QEMU wants a power of two

BOOT_LABEL, ROOT_LABEL = "BOOT", "rootfs"

FEATURES = "^orphan_file,^metadata_csum_seed"  # what e2fsprogs 1.47 would add, and kernels before 5.15 could not mount


def assemble(
    image: Path,
    *,
    disk_id: str,
    tars: Sequence[Path],
    leave_out: Sequence[str],
    boot: Mapping[PurePosixPath, bytes],
    work: Path,
) -> None:
    """Fill the empty file *image*; *disk_id* has eight hex digits, *work* is an empty folder for 200 MB of files.

    Of the *tars* the later ones win; *leave_out* names paths that none of them shall bring.
    """
    os.truncate(image, TOTAL)
    _partition(image, disk_id)
    _format_boot(image)
    FatPartition(image, BOOT_START).write(boot)
    tree = work / "tree"
    tree.mkdir()
    pretend_root = _pretend_root(work / "owners")
    excluded = [f"--exclude=./{path}" for path in ("dev/*", *leave_out)]  # devtmpfs makes the nodes
    for tar in tars:
        host.run([*pretend_root, "tar", "-xpf", tar, "-C", tree, *excluded])
    _format_root(image, tree, pretend_root)


def _format_boot(image: Path) -> None:
    # fmt: off
    host.run([
        "mkfs.vfat",
        "-F", "32",
        "-s", "4",  # clusters of 2 KiB, as on Raspberry Pi OS: with larger ones they would be too few for a FAT32
        "-n", BOOT_LABEL,
        "--offset", str(BOOT_START // 512),
        image,
        str(BOOT_SIZE // 1024),
    ])
    # fmt: on


def _format_root(image: Path, tree: Path, pretend_root: Sequence[str]) -> None:
    # fmt: off
    host.run([
        *pretend_root, host.find("mke2fs"),
        "-q",
        "-t", "ext4",
        "-L", ROOT_LABEL,
        "-O", FEATURES,
        "-E", f"offset={ROOT_START},lazy_itable_init=0,lazy_journal_init=0",  # else the first boot does it
        "-d", tree,
        image,
        f"{(TOTAL - ROOT_START) // 1024}k",
    ])
    # fmt: on


def _pretend_root(owners: Path) -> list[str]:
    """Return the words before a command whose files seem to be root's; fakeroot keeps in *owners* who owns what."""
    if os.geteuid() == 0:
        return []
    owners.touch()
    return ["fakeroot", "-i", str(owners), "-s", str(owners), "--"]


def _partition(image: Path, disk_id: str) -> None:
    table = (
        f"label: dos\nlabel-id: 0x{disk_id}\n"
        f"start={BOOT_START // 512}, size={BOOT_SIZE // 512}, type=c\n"
        f"start={ROOT_START // 512}, type=83\n"
    )
    host.run(["sfdisk", "-q", image], stdin=table.encode())
