"""A boot partition to read from, and what a kernel file on it is.

Source: Documentation/arch/arm64/booting.rst of the kernel (header of an Image).
"""

import zlib
from collections.abc import Collection, Mapping
from typing import Protocol

from harness.model import BootFile


class BootPartition(Protocol):
    """A FAT partition to read from: names are relative to its root, with ``/``, and their case does not matter."""

    def read(self, name: str) -> bytes | None:
        """Return the content of file *name*, or None when there is none."""

    def exists(self, name: str) -> bool:
        """Tell whether there is a file *name*."""

    def names(self) -> Collection[str]:
        """Return the names of all files."""


class Files:
    """A boot partition in memory: of values, of files about to be written, of a dictionary in a test."""

    def __init__(self, files: Mapping[str, bytes | BootFile]) -> None:
        self._files = {clean(name).lower(): content for name, content in files.items()}
        self._names = tuple(map(clean, files))

    def read(self, name: str) -> bytes | None:
        """Return the content of file *name*, or None when there is none."""
        content = self._files.get(clean(name).lower())
        return content.read() if isinstance(content, BootFile) else content

    def exists(self, name: str) -> bool:
        """Tell whether there is a file *name*."""
        return clean(name).lower() in self._files

    def names(self) -> Collection[str]:
        """Return the names of all files."""
        return self._names


def clean(path: str) -> str:
    """Return *path* relative to the root of the partition, without empty parts."""
    return "/".join(part for part in path.split("/") if part not in {"", "."})


def kernel_kind(data: bytes | None) -> str:
    """Tell what a kernel file is by its first bytes."""
    if not data:
        return "missing" if data is None else "empty"
    packed = data.startswith(b"\x1f\x8b")
    if packed:
        try:
            data = zlib.decompressobj(wbits=31).decompress(data, 64)
        except zlib.error:
            return "damaged"
    if data[56:60] == b"ARM\x64":
        return "arm64 gzip" if packed else "arm64"
    return "arm32" if data[36:40] == b"\x18\x28\x6f\x01" else "unknown"  # zImage's magic, little endian
