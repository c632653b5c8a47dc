"""What lies on a FAT file system: bytes in, names and contents out; it never writes.

A reader of our own costs no process per file, and it proves independently what mtools wrote.
Source: Microsoft, "FAT: General Overview of On-Disk Format", 1.03.
"""

import struct
import sys
from array import array
from collections.abc import Iterator
from pathlib import PurePosixPath

import attrs

from harness.card.partitions import SECTOR, Read, is_fat

ENTRY = 32
LONG_NAME = 0x0F
VOLUME, DIRECTORY = 0x08, 0x10
LOWER_BASE, LOWER_EXTENSION = 0x08, 0x10  # Windows NT and Linux keep an all-lowercase 8.3 name this way


@attrs.frozen
class Entry:
    """One file or folder; a name keeps the case it was written with, and is found in any case."""

    path: PurePosixPath
    size_bytes: int
    """0 for a folder."""
    is_dir: bool
    cluster: int
    """First cluster; 0 where nothing is allocated."""
    record_at: int = 0
    """Byte of the image where its folder's record of it stands; 0 for the root."""


class FatReader:
    """A snapshot of the allocation table of the FAT at *offset*; make a new one after a write.

    Every method raises ValueError with the reason when the file system is damaged.
    """

    def __init__(self, read: Read, offset: int) -> None:
        if not is_fat(read, offset):
            raise ValueError(f"no FAT file system at byte {offset}")
        self._read, self._offset = read, offset
        sector: int
        per_cluster: int
        boot = read(offset, SECTOR)
        sector, per_cluster, reserved, fats, self._root_entries, small, _, fat16 = struct.unpack_from(
            "<HBHBHHBH", boot, 11
        )
        large, fat32, _, _, self._root_cluster = struct.unpack_from("<IIHHI", boot, 32)
        fat_sectors = fat16 or fat32
        self._cluster_bytes: int = sector * per_cluster
        self._root_start = (reserved + fats * fat_sectors) * sector
        self._data_start = self._root_start + -(-self._root_entries * ENTRY // sector) * sector
        self._clusters = ((small or large) * sector - self._data_start) // self._cluster_bytes
        # Microsoft counts clusters; Linux, the firmware and mkfs.vfat know small FAT32s too.
        self.bits = 32 if not fat16 else 12 if self._clusters < 4085 else 16
        self._table = self._load(read(offset + reserved * sector, fat_sectors * sector))

    @property
    def free_bytes(self) -> int:
        """Bytes in unallocated clusters."""
        return self._table[2 : self._clusters + 2].count(0) * self._cluster_bytes

    def clusters_bytes(self, size_bytes: int) -> int:
        """Return what a file of *size_bytes* takes."""
        return -(-size_bytes // self._cluster_bytes) * self._cluster_bytes

    def walk(self) -> Iterator[Entry]:
        """Yield every file and folder, a folder before what is in it."""
        waiting = [Entry(PurePosixPath(), 0, is_dir=True, cluster=self._root_cluster if self.bits == 32 else 0)]
        seen: set[int] = set()
        while waiting:
            folder = waiting.pop()
            if folder.cluster in seen:
                raise ValueError(f"folder {folder.path} contains itself")
            seen.add(folder.cluster)
            entries = list(self._folder(folder))
            yield from entries
            waiting += [entry for entry in entries if entry.is_dir]

    def content(self, entry: Entry) -> bytes:
        """Return the bytes of a file."""
        return self._chain(entry.cluster)[: entry.size_bytes] if entry.size_bytes else b""

    def _load(self, raw: bytes) -> "array[int]":
        if self.bits == 12:
            pairs = zip(raw[0::3], raw[1::3], raw[2::3], strict=False)
            return array("H", [n for a, b, c in pairs for n in (a | (b & 15) << 8, b >> 4 | c << 4)])
        table = array("H" if self.bits == 16 else "I")
        table.frombytes(raw[: len(raw) // table.itemsize * table.itemsize])
        if sys.byteorder == "big":
            table.byteswap()
        return array("I", [value & 0x0FFFFFFF for value in table]) if self.bits == 32 else table

    def _chain(self, cluster: int) -> bytes:
        """Return the content of a whole cluster chain."""
        return b"".join(self._read(at, size) for at, size in self._runs(cluster))

    def _runs(self, cluster: int) -> Iterator[tuple[int, int]]:
        """Yield (byte of the image, size) of a cluster chain, neighbours as one."""
        end = {12: 0xFF8, 16: 0xFFF8, 32: 0x0FFFFFF8}[self.bits]
        budget = self._clusters
        while cluster < end:
            first = cluster
            while True:
                if not 2 <= cluster < min(len(self._table), self._clusters + 2) or budget < 0:
                    raise ValueError(f"cluster chain runs into {cluster} of {self._clusters}")
                previous, cluster, budget = cluster, self._table[cluster], budget - 1
                if cluster != previous + 1:
                    break
            start = self._offset + self._data_start + (first - 2) * self._cluster_bytes
            yield start, (previous - first + 1) * self._cluster_bytes

    def _folder(self, folder: Entry) -> Iterator[Entry]:
        if folder.cluster:
            runs = list(self._runs(folder.cluster))
        else:  # the root of FAT12 and FAT16 has a place of its own
            runs = [(self._offset + self._root_start, self._root_entries * ENTRY)]
        places = [place for start, size in runs for place in range(start, start + size, ENTRY)]
        for index, name, record in _records(b"".join(self._read(at, size) for at, size in runs)):
            high, low, size = struct.unpack_from("<H4xHI", record, 20)
            is_dir = bool(record[11] & DIRECTORY)
            cluster = (high << 16) * (self.bits == 32) | low
            yield Entry(folder.path / name, 0 if is_dir else size, is_dir, cluster, places[index])


def _records(raw: bytes) -> Iterator[tuple[int, str, bytes]]:
    """Yield (index, name, directory record) of what a folder lists, without ``.``, ``..``, labels, deleted files."""
    parts: dict[int, bytes] = {}
    for at in range(0, len(raw) - ENTRY + 1, ENTRY):
        record = raw[at : at + ENTRY]
        if record[0] == 0:
            return
        if record[0] == 0xE5:
            parts.clear()
        elif record[11] & 0x3F == LONG_NAME:
            if record[0] & 0x40:  # the last piece comes first
                parts.clear()
            parts[record[0] & 0x1F] = record[1:11] + record[14:26] + record[28:32] + record[13:14]
        else:
            if not record[11] & VOLUME and record[0] != ord("."):
                yield at // ENTRY, _long_name(parts, record[:11]) or _short_name(record), record
            parts.clear()


def _long_name(parts: dict[int, bytes], short: bytes) -> str:
    """Join the pieces; empty when there are none, or when their checksum says that they belong to another file."""
    checksum = 0
    for byte in short:
        checksum = ((checksum & 1) << 7) + (checksum >> 1) + byte & 0xFF
    if sorted(parts) != list(range(1, len(parts) + 1)) or any(part[26] != checksum for part in parts.values()):
        return ""
    text = b"".join(parts[number][:26] for number in sorted(parts)).decode("utf-16-le", errors="replace")
    return text.split("\0", 1)[0]


def _short_name(record: bytes) -> str:
    raw = (b"\xe5" if record[0] == 0x05 else record[:1]) + record[1:11]
    base, extension = raw[:8].decode("cp437").rstrip(), raw[8:].decode("cp437").rstrip()
    base = base.lower() if record[12] & LOWER_BASE else base
    extension = extension.lower() if record[12] & LOWER_EXTENSION else extension
    return f"{base}.{extension}" if extension else base
