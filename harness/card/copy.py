"""Copies of card images: no block is written that does not have to be, and none of an older file shines through."""

import errno
import fcntl
import os
from pathlib import Path

from harness.errors import LabError

FICLONE = 0x40049409  # linux/fs.h: share all blocks until one side writes (btrfs, xfs)
NO_CLONE = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.EPERM})
CHUNK = 64 << 20


def copy_sparse(source: Path, target: Path) -> None:
    """Copy *source* to the new file *target*, sharing its blocks where the disk can, else skipping its holes.

    FileExistsError when *target* is there: holes written over an older image would leave its blocks, and ext4 would
    report checksum errors. LabError, and no *target*, when the disk is full.
    """
    with source.open("rb") as reader, target.open("xb") as writer:
        try:
            _clone(reader.fileno(), writer.fileno())
        except OSError as error:
            target.unlink()
            raise LabError(f"{target}: copy of {source} failed: {error.strerror}") from error
        except BaseException:  # Ctrl-C too leaves no half copy
            target.unlink()
            raise


def grow_to_power_of_two(path: Path) -> int:
    """Lengthen the card image to the next power of two, as QEMU demands of an SD card; return its size in bytes."""
    size = path.stat().st_size
    wanted = 1 << max(size - 1, 0).bit_length()
    if wanted != size:
        os.truncate(path, wanted)
    return wanted


def settle(path: Path) -> None:
    """Write out what the kernel holds of the block device *path*, so that the next read is the medium's own word.

    Nothing for an image file, which the kernel itself reads back. LabError when the medium does not take it.
    """
    if not path.is_block_device():
        return
    handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    except OSError as error:
        raise LabError(f"{path}: the medium does not take what was written: {error.strerror}") from error
    finally:
        os.close(handle)


def _clone(reader: int, writer: int) -> None:
    try:
        fcntl.ioctl(writer, FICLONE, reader)
    except OSError as error:
        if error.errno not in NO_CLONE:
            raise
        size = os.fstat(reader).st_size
        os.truncate(writer, size)
        _copy_data(reader, writer, size)


def _copy_data(reader: int, writer: int, size: int) -> None:
    """Copy from data to data; what lies between stays a hole."""
    at = 0
    while at < size:
        try:
            at = os.lseek(reader, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        end = min(os.lseek(reader, at, os.SEEK_HOLE), size)
        while at < end:
            copied = os.copy_file_range(reader, writer, min(end - at, CHUNK), at, at)
            if copied == 0:
                raise OSError(errno.EIO, "the source became shorter while it was copied")
            at += copied
