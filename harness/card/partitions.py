"""What a partition table says, and which of its partitions a Raspberry Pi boots from: bytes in, values out.

Sources: https://en.wikipedia.org/wiki/Master_boot_record (table, extended chain); UEFI specification 2.10, 5.3 (GPT);
Microsoft's FAT specification of 2000 (boot sector); Linux' fs/ext4/ext4.h (superblock).
"""

import struct
import uuid
from collections.abc import Callable, Iterator

import attrs

Read = Callable[[int, int], bytes]
"""(offset, size) -> that many bytes of an image, fewer where it ends before."""

SECTOR = 512
FAT_TYPES = frozenset({"01", "04", "06", "0b", "0c", "0e", "ef"})
"""The boot ROM of a Pi 3 accepts the classic types only, that of a Pi 4 takes 0xef as well."""
GPT_FAT_TYPES = frozenset({"EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"})
EXTENDED = frozenset({"05", "0f", "85"})
LOGICAL_LIMIT = 60  # a damaged chain of extended partitions may run in a circle

FOREIGN = (
    (b"\xfd7zXZ\x00", "an .xz archive: `unxz FILE`, or give it its .xz suffix"),
    (b"PK\x03\x04", "a .zip archive: unpack it"),
    (b"\x1f\x8b", "a .gz archive: `gunzip FILE`, or give it its .gz suffix"),
    (b"(\xb5/\xfd", "a .zst archive: `unzstd FILE`"),
    (b"BZh", "a .bz2 archive: `bunzip2 FILE`"),
    (b"QFI\xfb", "a qcow2 image: `qemu-img convert -O raw FILE card.img`"),
    (b"<", "a web page: the download went wrong"),
)


@attrs.frozen
class Partition:
    """One line of a partition table."""

    number: int
    """As Linux counts, e.g. 2 for ``mmcblk0p2``; logical partitions start at 5."""
    start_bytes: int
    size_bytes: int
    type: str
    """Two hex digits of an MBR, e.g. ``0c``, or a GUID of a GPT."""

    @property
    def end_bytes(self) -> int:
        """First byte behind the partition."""
        return self.start_bytes + self.size_bytes

    def __str__(self) -> str:
        return f"p{self.number} type {self.type} at {self.start_bytes} size {self.size_bytes / 2**20:.1f} MiB"


def parse(read: Read) -> tuple[Partition, ...]:
    """Return the partitions of an image in the order of their numbers; ValueError saying why if it has none."""
    first = read(0, SECTOR)
    if len(first) < SECTOR or first[510:512] != b"\x55\xaa":
        raise ValueError("no 55 AA at its byte 510")
    if is_fat(read, 0):
        raise ValueError("it is a bare FAT file system without a partition table")
    if first[446 + 4] == 0xEE:
        return tuple(_gpt(read))
    return tuple(sorted(_mbr(read, first), key=lambda partition: partition.number))


def is_fat(read: Read, offset: int) -> bool:
    """Tell a FAT boot sector by what its BIOS parameter block must hold, not by the label that formatters leave."""
    sector = read(offset, SECTOR)
    if len(sector) < SECTOR or sector[510:512] != b"\x55\xaa" or sector[0] not in (0xEB, 0xE9):
        return False
    bytes_per_sector, per_cluster, reserved, fats = struct.unpack_from("<HBHB", sector, 11)
    return (
        bytes_per_sector in (512, 1024, 2048, 4096)
        and per_cluster > 0
        and per_cluster & (per_cluster - 1) == 0
        and reserved > 0
        and fats in (1, 2)
    )


def is_ext4(read: Read, offset: int) -> bool:
    """Tell an ext2, ext3 or ext4 superblock by its magic number."""
    return read(offset + 1024 + 56, 2) == b"\x53\xef"


def find_boot(partitions: tuple[Partition, ...], read: Read) -> Partition | None:
    """Return the first partition of a FAT type that holds a FAT: the one the boot ROM takes."""
    types = FAT_TYPES | GPT_FAT_TYPES
    return next((part for part in partitions if part.type in types and is_fat(read, part.start_bytes)), None)


def find_root(partitions: tuple[Partition, ...], read: Read) -> Partition | None:
    """Return the largest partition that holds an ext4: beside it lie at most small data partitions."""
    found = [part for part in partitions if is_ext4(read, part.start_bytes)]
    return max(found, key=lambda part: part.size_bytes, default=None)


def foreign(head: bytes) -> str:
    """Say what a file that is no card image looks like by its first bytes; empty when nothing is known about it."""
    return next((what for magic, what in FOREIGN if head.startswith(magic)), "")


def _mbr(read: Read, sector: bytes) -> Iterator[Partition]:
    for number in range(1, 5):
        kind, start, size = _entry(sector, number - 1)
        if kind in EXTENDED and size:
            yield from _logical(read, start)
        elif kind != "00" and size:
            yield Partition(number, start * SECTOR, size * SECTOR, kind)


def _logical(read: Read, extended: int) -> Iterator[Partition]:
    """Follow the chain of extended boot records: entry 0 is relative to its record, entry 1 to the whole extended."""
    record = extended
    for number in range(5, 5 + LOGICAL_LIMIT):
        sector = read(record * SECTOR, SECTOR)
        if len(sector) < SECTOR or sector[510:512] != b"\x55\xaa":
            return
        kind, start, size = _entry(sector, 0)
        if kind != "00" and size:
            yield Partition(number, (record + start) * SECTOR, size * SECTOR, kind)
        kind, start, size = _entry(sector, 1)
        if kind not in EXTENDED or not size:
            return
        record = extended + start


def _entry(sector: bytes, index: int) -> tuple[str, int, int]:
    """Return type, first sector and sectors of one of the four entries of a boot record."""
    at = 446 + 16 * index
    start, size = struct.unpack_from("<II", sector, at + 8)
    return f"{sector[at + 4]:02x}", start, size


def _gpt(read: Read) -> Iterator[Partition]:
    header = read(SECTOR, 92)
    if len(header) < 92 or header[:8] != b"EFI PART":
        raise ValueError("its MBR announces a GPT, and there is none")
    table, count, size = struct.unpack_from("<QII", header, 72)
    for number in range(1, min(count, 128) + 1):
        entry = read(table * SECTOR + (number - 1) * size, 128)
        if len(entry) == 128 and any(entry[:16]):
            first, last = struct.unpack_from("<QQ", entry, 32)
            kind = str(uuid.UUID(bytes_le=entry[:16])).upper()
            yield Partition(number, first * SECTOR, (last - first + 1) * SECTOR, kind)
