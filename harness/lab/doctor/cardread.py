"""What lies on a card, and what the firmware would make of it: bytes of a file or a disk in, answers out."""

import errno
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.bootfs import firmware
from harness.card import layout, partitions
from harness.card.disks import Disk
from harness.card.fat import FatPartition
from harness.card.files import CardFiles
from harness.card.partitions import Partition
from harness.errors import LabError, UsageError
from harness.lab.doctor.answer import Answer, fault, ok
from harness.model import BoardProfile

WRITE_ANEW = "deploy to it anew, or write its base image again"
WORN = "the card is worn out, or its contacts are dirty: take another one"


def judge_image(subject: str, path: Path, board: BoardProfile) -> Iterator[Answer]:
    """Judge the card at *path*, an image or a disk: its partitions, and whether *board* would boot from it."""
    try:
        with layout.reading(path) as read:
            table = partitions.parse(read)
            boot, root = partitions.find_boot(table, read), partitions.find_root(table, read)
            size = layout.size_bytes(path)
    except ValueError as error:
        yield fault(subject, f"no card of a Raspberry Pi: {error}", WRITE_ANEW)
        return
    except (OSError, UsageError) as error:
        yield _unreadable(subject, error)
        return
    yield judge_table(subject, table, boot, root, size=size)
    if boot:
        yield _firmware(subject, path, boot, board)


def judge_table(
    subject: str, table: tuple[Partition, ...], boot: Partition | None, root: Partition | None, *, size: int
) -> Answer:
    """Judge a partition table by what a Raspberry Pi needs, and by the *size* of the card in bytes."""
    listed = ", ".join(map(str, table)) or "an empty table"
    if boot is None:
        return fault(subject, f"no FAT partition to boot from: {listed}", WRITE_ANEW)
    if root is None:
        return fault(subject, f"no ext4 root filesystem: {listed}", WRITE_ANEW)
    if beyond := [part for part in table if part.end_bytes > size]:
        fact = f"partition {beyond[0].number} ends at byte {beyond[0].end_bytes}, the card at {size}"
        return fault(subject, fact, f"the card is too small, or a fake; {WRITE_ANEW}")
    return ok(subject, f"p{boot.number} FAT {_mib(boot)}, p{root.number} ext4 {_mib(root)}")


def judge_disk(subject: str, disk: Disk, uses: Sequence[str]) -> Iterator[Answer]:
    """Judge a card that is a *disk* of this host, before it is read; *uses* says who uses it."""
    if not disk.size_bytes:
        remedy = "put a card in; a mux must have it at the host side, and its contacts must be clean"
        yield fault(subject, "the reader is there, and no card is in it", remedy)
    if disk.read_only:
        yield fault(subject, "is read-only", "the slide at the adapter's side, or a card that has given up")
    if uses:
        remedy = "unmount it, and switch the desktop's automounter off for it (UDISKS_IGNORE)"
        yield fault(subject, f"is in use: {', '.join(uses)}", remedy)


def _firmware(subject: str, path: Path, boot: Partition, board: BoardProfile) -> Answer:
    try:
        plan = firmware.plan(CardFiles(FatPartition(path, boot.start_bytes)), board)
    except (LabError, OSError) as error:
        return _unreadable(subject, error)
    if plan.bootable:
        return ok(subject, f"the firmware would start {plan.kernel} with {plan.dtb}")
    return fault(subject, f"{board.name} would not boot: {plan.reason}", f"`pi64 bootfs {path} --model {board.name}`")


def _unreadable(subject: str, error: Exception) -> Answer:
    number = getattr(error, "errno", None) or getattr(error.__cause__, "errno", None)
    if number == errno.EIO:
        return fault(subject, f"cannot be read: {error}", WORN)
    if number in {errno.EACCES, errno.EPERM}:
        return fault(subject, f"cannot be read: {error}", "be in the group `disk`, or give it an udev rule")
    return fault(subject, f"cannot be read: {error}", WRITE_ANEW)


def _mib(part: Partition) -> str:
    return f"{part.size_bytes / 2**20:.0f} MiB"
