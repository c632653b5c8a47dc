"""A whole image onto a card: read back, and nothing that boots before all of it is there."""

import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import attrs

from harness.card import device, disks
from harness.card.bmap import Range
from harness.card.copy import settle
from harness.card.disks import Disk
from harness.card.flashplan import ZEROS, Plan, pieces
from harness.errors import LabError, UsageError
from harness.host import Progress

HEAD = 4 << 20
"""What is written last: with the partition table in it, nobody takes a card for whole that is not."""
SYNC_EVERY = 64 << 20  # so that progress is that of the card, and not of this computer's memory


def allow(disk: Disk, *, size_bytes: int, forced: str = "", used: list[str]) -> None:
    """Raise UsageError unless *disk* may be written over by an image of *size_bytes*.

    *forced* is the serial number of a disk that may be although it is none that one takes out; *used* says who uses it.
    """
    if used:
        raise UsageError(
            f"{disk}: in use: {', '.join(used)}", hint="a disk in use is never written to; unmount it first"
        )
    if not disk.size_bytes:
        raise LabError(f"{disk}: no medium in it")
    if disk.read_only:
        raise LabError(f"{disk}: read-only", hint="the lock slide of the card or its adapter")
    if disk.size_bytes < size_bytes:
        raise LabError(f"{disk}: {disk.size_bytes} bytes, the image has {size_bytes}", hint="use a larger card")
    if not disk.removable and not (forced and forced == disk.serial):
        named = f"its serial number is {disk.serial}" if disk.serial else "it has no serial number to name it by"
        raise UsageError(
            f"{disk}: neither a removable medium nor an SD card: it may be somebody's disk",
            hint=f"--force-device SERIAL, if you are certain; {named}",
        )


def write(path: Path, plan: Plan, *, progress: Progress) -> str:
    """Write the image to *path*, a block device or a file in its place, and read it back; return its SHA-256.

    The digest is that of all ranges one after the other. LabError when the card does not take it, or gives back
    something else.
    """
    with plan.image.open("rb") as file:
        return write_from(path, plan.ranges, lambda part: pieces(file.fileno(), part), progress=progress)


def write_from(
    path: Path, ranges: Iterable[Range], read: Callable[[Range], Iterator[bytes]], *, progress: Progress
) -> str:
    """Write what *read* gives for each of *ranges*, in order, to *path*; see ``write``."""
    parts = tuple(ranges)
    with device.claimed(path):
        try:
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                wanted = _write_all(handle, parts, read, progress)
            finally:
                os.close(handle)
            settle(path)
            _read_back(path, parts, wanted, progress)
        except OSError as error:
            raise LabError(f"{path}: {_words(error)}", hint="the card is not whole now: flash it again") from error
    device.leave(path)
    return wanted


def _write_all(
    handle: int, parts: tuple[Range, ...], read: Callable[[Range], Iterator[bytes]], progress: Progress
) -> str:
    """Write all but the head, then the head; return the digest of all in the order of *parts*."""
    total, done, head = sum(part.size for part in parts), 0, []
    digest = hashlib.sha256()
    _put(handle, ZEROS[:HEAD], 0)  # no partition table until the end
    os.fsync(handle)
    for part in parts:
        at = part.start
        for piece in read(part):
            digest.update(piece)
            if at < HEAD:
                head.append((at, piece))
            else:
                _put(handle, piece, at)
            at += len(piece)
            before, done = done, done + len(piece)
            if before // SYNC_EVERY != done // SYNC_EVERY:
                os.fdatasync(handle)
            progress(f"flash: {done >> 20} of {total >> 20} MiB written")
    os.fsync(handle)
    for at, piece in reversed(head):
        _put(handle, piece, at)
    os.fsync(handle)
    return digest.hexdigest()


def _read_back(path: Path, parts: tuple[Range, ...], wanted: str, progress: Progress) -> None:
    total, done, digest = sum(part.size for part in parts), 0, hashlib.sha256()
    with path.open("rb") as file:
        for part in parts:
            for piece in pieces(file.fileno(), attrs.evolve(part, hole=False)):
                digest.update(piece)
                done += len(piece)
                progress(f"flash: {done >> 20} of {total >> 20} MiB read back")
    if digest.hexdigest() != wanted:
        raise LabError(
            f"{path}: the card gives back something else than was written to it",
            hint="a worn or counterfeit card (it claims a size that it has not): use another one",
        )


def _put(handle: int, data: bytes, at: int) -> None:
    while data:
        count = os.pwrite(handle, data, at)
        data, at = data[count:], at + count


def _words(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "the card is full: it is smaller than it says"
    return error.strerror or str(error)


def refuse(path: Path, *, size_bytes: int, forced: str = "") -> Disk | None:
    """Raise unless *path* may be written over; return the disk it is, None for a file in the place of one."""
    if not path.is_block_device():
        if not path.is_file():
            raise UsageError(f"{path}: no such device", hint="`lsblk` lists the disks of this host")
        return None
    disk = disks.look(path)
    allow(disk, size_bytes=size_bytes, forced=forced, used=disks.in_use(path))
    return disk
