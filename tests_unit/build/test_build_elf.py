import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.build import elf


def note(name: bytes, kind: int, payload: bytes) -> bytes:
    pad = b"\0" * (-len(payload) % 4)
    return struct.pack("<III", len(name), len(payload), kind) + name + b"\0" * (-len(name) % 4) + payload + pad


def test_the_build_id_is_found_behind_other_notes() -> None:
    notes = note(b"Linux\0", 256, b"\1\2\3") + note(b"GNU\0", 3, b"\xab" * 20)
    assert elf.note_build_id(notes) == "ab" * 20


def test_notes_without_a_build_id_say_so() -> None:
    assert elf.note_build_id(note(b"Xen\0", 3, b"xxxx")) == ""


def test_what_is_no_elf_file_is_refused() -> None:
    with pytest.raises(ValueError, match="not a 64-bit"):
        elf.build_id(b"MZ" + bytes(200))


def test_an_elf_file_that_ends_early_is_refused() -> None:
    header = b"\x7fELF\x02\x01" + bytes(26) + struct.pack("<Q", 64) + bytes(14) + struct.pack("<HH", 56, 1) + bytes(6)
    with pytest.raises(ValueError, match="ends within"):
        elf.build_id(header)


@given(st.binary(max_size=200))
def test_any_bytes_are_notes_or_not_but_never_a_crash(notes: bytes) -> None:
    elf.note_build_id(notes)
