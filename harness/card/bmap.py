"""A block map: which blocks of an image hold something, with their checksums. Text in, values out.

Source: the format's description at the head of every such file, and bmaptool's code (versions 1.3 to 2.0). The file
comes from wherever the image came from: it is XML without declarations of its own, or it is refused.
"""

import hashlib
import itertools
import re
from xml.etree import ElementTree as ET

import attrs

SIZE_LIMIT = 32 << 20
VERSIONS = ("1.3", "1.4", "2.0")
HASHES = ("sha1", "sha256", "sha384", "sha512")


@attrs.frozen
class Range:
    """Bytes of an image that must be written."""

    start: int
    size: int
    checksum: str = ""
    """Hex digest by *algorithm* of the map; empty where the map has none."""
    hole: bool = False
    """Whether they are zeros that the image file does not even hold."""


@attrs.frozen
class Bmap:
    """What a block map says of an image."""

    image_bytes: int
    algorithm: str
    """Name of the checksums' hash function, e.g. ``sha256``."""
    ranges: tuple[Range, ...]

    @property
    def mapped_bytes(self) -> int:
        """How much must be written."""
        return sum(part.size for part in self.ranges)


def parse(data: bytes) -> Bmap:
    """Return what a .bmap file says; ValueError with the reason when it is none, or not whole."""
    if len(data) > SIZE_LIMIT:
        raise ValueError(f"it has {len(data)} bytes, more than {SIZE_LIMIT}")
    if re.search(rb"<!(DOCTYPE|ENTITY)", data):
        raise ValueError("it declares a document type, which a block map has not")
    try:
        root = ET.fromstring(data)  # noqa: S314 - without declarations there is nothing to expand
    except ET.ParseError as error:
        raise ValueError(f"not XML: {error}") from error
    version = root.get("version", "none")
    if root.tag != "bmap" or version not in VERSIONS:
        raise ValueError(f"a <{root.tag}> of version {version}, not a <bmap> of version {', '.join(VERSIONS)}")
    algorithm = "sha1" if version.startswith("1.3") else _text(root, "ChecksumType")
    if algorithm not in HASHES:
        raise ValueError(f"unknown checksum type {algorithm!r:.40}")
    _check_itself(data, root, algorithm)
    size, block = _number(root, "ImageSize"), _number(root, "BlockSize")
    if block < 512 or block & (block - 1) or not size:
        raise ValueError(f"{size} bytes in blocks of {block}")
    ranges = tuple(_range(node, block, size, algorithm) for node in root.iterfind("BlockMap/Range"))
    for before, after in itertools.pairwise(ranges):
        if after.start < before.start + before.size:
            raise ValueError(f"the ranges at bytes {before.start} and {after.start} overlap, or are not in order")
    return Bmap(size, algorithm, ranges)


def _check_itself(data: bytes, root: ET.Element, algorithm: str) -> None:
    """Compare the file's own checksum, which is that of the file with zeros in its place."""
    told = _text(
        root, "BmapFileSHA1" if algorithm == "sha1" and root.find("BmapFileSHA1") is not None else "BmapFileChecksum"
    )
    found = hashlib.new(algorithm, data.replace(told.encode(), b"0" * len(told), 1)).hexdigest()
    if found != told.lower():
        raise ValueError(f"its own checksum is wrong: {told[:16]}... in it, {found[:16]}... found")


def _range(node: ET.Element, block: int, size: int, algorithm: str) -> Range:
    text = (node.text or "").strip()
    match = re.fullmatch(r"(\d{1,12})(?:\s*-\s*(\d{1,12}))?", text)
    if not match:
        raise ValueError(f"no range of blocks: {text!r:.40}")
    first, last = int(match[1]), int(match[2] or match[1])
    start = first * block
    if last < first or start >= size:
        raise ValueError(f"blocks {text} are not in an image of {size} bytes")
    checksum = (node.get("chksum") or node.get("sha1") or "").strip().lower()
    if checksum and not re.fullmatch(rf"[0-9a-f]{{{hashlib.new(algorithm).digest_size * 2}}}", checksum):
        raise ValueError(f"blocks {text}: no {algorithm} checksum: {checksum!r:.40}")
    return Range(start, min((last + 1) * block, size) - start, checksum)


def _number(root: ET.Element, name: str) -> int:
    text = _text(root, name)
    if not re.fullmatch(r"\d{1,15}", text):
        raise ValueError(f"<{name}> is no number: {text!r:.40}")
    return int(text)


def _text(root: ET.Element, name: str) -> str:
    found = root.findtext(name)
    if not found or not found.strip():
        raise ValueError(f"it has no <{name}>")
    return found.strip()
