"""Partitions are found by what they hold; what is no card says so with numbers."""

import contextlib
import struct
import subprocess
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.card import layout, partitions
from harness.errors import UsageError

MIB = 1 << 20


def reader(data: bytes) -> partitions.Read:
    return lambda offset, size: data[offset : offset + size]


def sfdisk(path: Path, table: str, mib: int = 64) -> Path:
    with path.open("xb") as file:
        file.truncate(mib * MIB)
    subprocess.run(["/usr/sbin/sfdisk", "-q", path], input=table, text=True, check=True, capture_output=True)
    return path


def put(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


FAT = b"\xeb\x3c\x90mkfs.fat" + struct.pack("<HBHB", 512, 4, 1, 2) + bytes(493) + b"\x55\xaa"
EXT4 = bytes(1024 + 56) + b"\x53\xef"


def test_a_pristine_card_has_its_fat_first_and_its_ext4_second(pristine: Path) -> None:
    found = layout.find(pristine)
    assert (found.boot.number, found.boot.start_bytes, found.boot.type) == (1, 1 * MIB, "0c")
    assert (found.root.number, found.root.start_bytes, found.root.size_bytes) == (2, 17 * MIB, 24 * MIB)


def test_partitions_are_found_in_an_extended_one_and_numbered_as_linux_does(tmp_path: Path) -> None:
    """NOOBS cards look like this: recovery in p1, boot in p6, root in p7."""
    table = "label: dos\n1M,8M,83\n9M,54M,5\n10M,4M,83\n15M,16M,c\n32M,16M,83\n"
    image = sfdisk(tmp_path / "noobs.img", table)
    put(image, 15 * MIB, FAT)
    put(image, 10 * MIB, EXT4)
    put(image, 32 * MIB, EXT4)
    found = layout.find(image)
    assert (found.boot.number, found.root.number) == (6, 7)
    assert found.root.start_bytes == 32 * MIB


def test_a_gpt_is_read_too(tmp_path: Path) -> None:
    image = sfdisk(tmp_path / "gpt.img", "label: gpt\n1M,16M,U\n17M,16M,L\n")
    put(image, 1 * MIB, FAT)
    put(image, 17 * MIB, EXT4)
    found = layout.find(image)
    assert (found.boot.number, found.root.number, found.root.size_bytes) == (1, 2, 16 * MIB)
    assert uuid.UUID(found.boot.type)


def test_the_type_alone_makes_no_boot_partition(tmp_path: Path) -> None:
    image = sfdisk(tmp_path / "a.img", "label: dos\n1M,8M,c\n9M,8M,c\n17M,8M,83\n")
    put(image, 9 * MIB, FAT)
    put(image, 17 * MIB, EXT4)
    assert layout.find(image).boot.number == 2


@pytest.mark.parametrize(
    ("table", "content", "fact"),
    [
        (
            "label: dos\n1M,8M,83\n",
            EXT4,
            r"no FAT boot partition among its 1 partitions\n  \| p1 type 83 at 1048576 size 8\.0 MiB",
        ),
        ("label: dos\n1M,8M,c\n", FAT, "no ext4 root filesystem among its 1 partitions"),
    ],
)
def test_what_is_missing_is_named_with_what_is_there(tmp_path: Path, table: str, content: bytes, fact: str) -> None:
    image = sfdisk(tmp_path / "a.img", table)
    put(image, MIB, content)
    with pytest.raises(UsageError, match=fact):
        layout.find(image)


def test_a_truncated_image_says_how_much_is_missing(card: Path) -> None:
    with card.open("r+b") as file:
        file.truncate(20 * MIB)
    with pytest.raises(UsageError, match=rf"truncated: partition 2 ends at byte {41 * MIB}, the file at {20 * MIB}"):
        layout.find(card)


@pytest.mark.parametrize(
    ("head", "hint"),
    [
        (b"\xfd7zXZ\x00" + bytes(600), "an .xz archive"),
        (b"PK\x03\x04" + bytes(600), "a .zip archive"),
        (b"<!DOCTYPE html>" + bytes(600), "a web page"),
        (b"QFI\xfb" + bytes(600), "a qcow2 image"),
        (bytes(600), r"begins with a partition table"),
        (b"", r"begins with a partition table"),
        (FAT, r"begins with a partition table"),
    ],
)
def test_what_is_no_card_image_is_told_by_what_it_looks_like(tmp_path: Path, head: bytes, hint: str) -> None:
    image = tmp_path / "a.img"
    image.write_bytes(head)
    with pytest.raises(UsageError, match="not a card image") as caught:
        layout.find(image)
    assert hint in caught.value.hint


def test_a_missing_file_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nope\.img: cannot be read: No such file"):
        layout.find(tmp_path / "nope.img")


@given(st.binary(min_size=512, max_size=2048))
def test_any_bytes_are_a_table_or_a_reason(data: bytes) -> None:
    sector = bytearray(data)
    sector[510:512] = b"\x55\xaa"
    with contextlib.suppress(ValueError):
        assert isinstance(partitions.parse(reader(bytes(sector))), tuple)
