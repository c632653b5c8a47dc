"""Block maps: those of bmaptool are read, and anything else is refused before a byte is written."""

import hashlib
from pathlib import Path

import pytest
from bmapfile import make
from hypothesis import given
from hypothesis import strategies as st

from harness.card import bmap
from harness.card.bmap import Range
from harness.card.flashplan import map_beside

IMAGE = bytes(range(256)) * 16 * 10 + b"end"


@pytest.mark.parametrize(("version", "algorithm"), [("2.0", "sha256"), ("1.4", "sha1"), ("1.3", "sha1")])
def test_ranges_are_bytes_and_the_last_ends_with_the_image(version: str, algorithm: str) -> None:
    found = bmap.parse(make(IMAGE, [(0, 1), (5, 5), (9, 10)], version=version, algorithm=algorithm))
    assert [(part.start, part.size) for part in found.ranges] == [(0, 8192), (20480, 4096), (36864, 4099)]
    assert (found.image_bytes, found.algorithm, found.mapped_bytes) == (len(IMAGE), algorithm, 16387)
    assert found.ranges[1].checksum == hashlib.new(algorithm, IMAGE[20480:24576]).hexdigest()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((b"<bmap ", b"<bmop "), "not XML|<bmop>"),
        ((b'version="2.0"', b'version="3.0"'), "of version 3.0"),
        ((b"sha256", b"crc32!"), "unknown checksum type"),
        ((b"<BlockSize> 4096", b"<BlockSize> 4095"), "its own checksum is wrong"),
        ((b"0-1", b"0-2"), "its own checksum is wrong"),
        ((b"<bmap", b"<!DOCTYPE a [<!ENTITY b 'c'>]><bmap"), "declares a document type"),
        ((b"</bmap>", b""), "not XML"),
    ],
)
def test_a_map_that_is_none_is_refused_with_the_reason(change: tuple[bytes, bytes], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bmap.parse(make(IMAGE, [(0, 1)]).replace(*change, 1))


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ([(5, 4)], "not in an image"),
        ([(11, 12)], "not in an image"),
        ([(0, 4), (4, 5)], "overlap"),
        ([(4, 4), (0, 0)], "order"),
    ],
)
def test_ranges_outside_of_the_image_or_over_one_another_are_refused(
    ranges: list[tuple[int, int]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        bmap.parse(make(IMAGE, ranges))


def test_what_is_too_large_for_a_map_is_not_parsed() -> None:
    with pytest.raises(ValueError, match="more than"):
        bmap.parse(bytes(bmap.SIZE_LIMIT + 1))


@given(st.binary(max_size=400))
def test_any_bytes_are_a_map_or_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        bmap.parse(data)


def test_a_range_without_a_checksum_is_read() -> None:
    assert bmap.parse(make(IMAGE, [(0, 1)], sums=False)).ranges == (Range(0, 8192),)


def test_a_map_lies_beside_the_file_that_was_given(tmp_path: Path) -> None:
    image = tmp_path / "raspios.img.xz"
    assert map_beside(image) is None
    (tmp_path / "raspios.bmap").write_bytes(b"")
    assert map_beside(image) == tmp_path / "raspios.bmap"
    (tmp_path / "raspios.img.bmap").write_bytes(b"")
    assert map_beside(image) == tmp_path / "raspios.img.bmap"
