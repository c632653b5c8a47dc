"""The GNU build id of an ELF file: bytes in, hex out, no I/O.

Source: https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html and ``man 5 elf``.
"""

import struct
from collections.abc import Iterator
from mmap import mmap

PT_NOTE = 4
NT_GNU_BUILD_ID = 3


def build_id(elf: bytes | mmap) -> str:
    """Return the build id of a 64-bit little-endian ELF file as hex.

    A running kernel shows the same note in ``/sys/kernel/notes`` (see `note_build_id`). Raises ValueError if *elf* is
    no such file or carries none.
    """
    for start, size in _note_segments(elf):
        found = note_build_id(bytes(elf[start : start + size]))
        if found:
            return found
    raise ValueError("no GNU build id among the notes")


def note_build_id(notes: bytes) -> str:
    """Return the build id among a run of ELF notes (``/sys/kernel/notes`` is one); empty if there is none."""
    for name, kind, payload in _notes(notes):
        if name == b"GNU\0" and kind == NT_GNU_BUILD_ID:
            return payload.hex()
    return ""


def _note_segments(elf: bytes | mmap) -> Iterator[tuple[int, int]]:
    """Yield (offset, size) of each PT_NOTE segment."""
    if elf[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not a 64-bit little-endian ELF file")
    try:
        (table,) = struct.unpack_from("<Q", elf, 32)  # e_phoff
        entry, count = struct.unpack_from("<HH", elf, 54)  # e_phentsize, e_phnum
        for number in range(count):
            kind, _, offset, _, _, size = struct.unpack_from("<IIQQQQ", elf, table + number * entry)
            if kind == PT_NOTE:
                yield offset, size
    except struct.error as error:
        raise ValueError("ELF file ends within its program headers") from error


def _notes(notes: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """Yield (name, type, description) of each note; stops where the data stop making sense."""
    at = 0
    while at + 12 <= len(notes):
        name_size, size, kind = struct.unpack_from("<III", notes, at)
        name_at = at + 12
        start = name_at + _aligned(name_size)
        yield notes[name_at : name_at + name_size], kind, notes[start : start + size]
        at = start + _aligned(size)


def _aligned(size: int) -> int:
    return (size + 3) & ~3
