"""Where the boot partition and the root filesystem of a card image file lie: found, not assumed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from harness.card import partitions
from harness.card.partitions import Partition, Read
from harness.errors import UsageError


@attrs.frozen
class Layout:
    """The two partitions that matter, and all there are."""

    boot: Partition
    root: Partition
    partitions: tuple[Partition, ...]


@contextmanager
def reading(path: Path) -> Iterator[Read]:
    """Yield a function that reads *path* at any place; UsageError when the file is not there."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        yield lambda offset, size: os.pread(handle, size, offset)
    finally:
        os.close(handle)


def size_bytes(path: Path) -> int:
    """Return how many bytes lie in *path*, a file or a block device, whose status says 0."""
    with path.open("rb") as file:
        return file.seek(0, os.SEEK_END)


def find(path: Path, *, name: Path | None = None) -> Layout:
    """Return the layout of a raw card image; UsageError with the numbers when it is not one, or not whole.

    *name* is the file the user knows, where *path* is unpacked from it.
    """
    with reading(path) as read:
        size = size_bytes(path)
        path = name or path
        try:
            table = partitions.parse(read)
        except ValueError as error:
            what = partitions.foreign(read(0, 16))
            hint = f"it looks like {what}" if what else "a raw card image (.img) begins with a partition table"
            raise UsageError(f"{path}: not a card image of {size} bytes: {error}", hint=hint) from error
        _check_whole(path, size, table)
        boot = partitions.find_boot(table, read)
        root = partitions.find_root(table, read)
    listed = tuple(map(str, table))
    if boot is None:
        raise UsageError(
            f"{path}: no FAT boot partition among its {len(table)} partitions",
            evidence=listed,
            hint="the firmware of a Raspberry Pi starts from FAT only",
        )
    if root is None:
        raise UsageError(
            f"{path}: no ext4 root filesystem among its {len(table)} partitions",
            evidence=listed,
            hint="an image with btrfs, f2fs or squashfs as root, and an installer (NOOBS), cannot be used here",
        )
    return Layout(boot, root, table)


def _check_whole(path: Path, size: int, table: tuple[Partition, ...]) -> None:
    for part in table:
        if part.end_bytes > size:
            raise UsageError(
                f"{path}: truncated: partition {part.number} ends at byte {part.end_bytes}, the file at {size}",
                evidence=tuple(map(str, table)),
                hint=f"{part.end_bytes - size} bytes are missing: download or unpack the image again",
            )
