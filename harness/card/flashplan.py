"""What of an image has to be written onto a card: what its block map says, or else all of it, zeros too.

Without a map, what an older image has left on the card would shine through the holes.
"""

import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import attrs

from harness.card import bmap
from harness.card.bmap import Range
from harness.errors import UsageError
from harness.host import Progress

CHUNK = 4 << 20
ZEROS = bytes(CHUNK)


@attrs.frozen
class Plan:
    """What of an image is written."""

    image: Path
    size_bytes: int
    ranges: tuple[Range, ...]
    """In order; the algorithm of their checksums is *algorithm*."""
    algorithm: str
    origin: str
    """Where the map comes from, for people."""

    @property
    def bytes_to_write(self) -> int:
        """Sum of the ranges."""
        return sum(part.size for part in self.ranges)


def plan(image: Path, given: Path) -> Plan:
    """Return what of *image* to write; a .bmap file beside *given*, the file that the user named, says so.

    UsageError for a map that is damaged, or of another image.
    """
    size = image.stat().st_size
    beside = map_beside(given)
    if beside is None:
        return Plan(image, size, tuple(_extents(image, size)), "", "no block map: all of it")
    try:
        found = bmap.parse(beside.read_bytes())
        fault = "" if found.image_bytes == size else f"it is of an image of {found.image_bytes} bytes, this has {size}"
    except (OSError, ValueError) as error:
        fault = str(error)
    if fault:
        raise UsageError(
            f"{beside}: not the block map of {given.name}: {fault}", hint="remove it, or get the right one"
        )
    return Plan(image, size, found.ranges, found.algorithm, beside.name)


def _extents(image: Path, size: int) -> Iterator[Range]:
    """Yield data and holes of an image in turn."""
    at = 0
    with image.open("rb") as file:
        while at < size:
            try:
                data = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:  # only a hole is left
                data = size
            if data > at:
                yield Range(at, data - at, hole=True)
            if data < size:
                at = os.lseek(file.fileno(), data, os.SEEK_HOLE)
                yield Range(data, at - data)
            else:
                at = size


def map_beside(given: Path) -> Path | None:
    """Return the block map beside an image, where bmaptool looks: ``x.img.xz.bmap``, ``x.img.bmap``, ``x.bmap``."""
    stem = given
    while True:
        if (found := stem.with_name(f"{stem.name}.bmap")).is_file():
            return found
        if not stem.suffix:
            return None
        stem = stem.with_suffix("")


def check(plan: Plan, *, progress: Progress) -> None:
    """Compare the image with the checksums of its map before anything is written; UsageError for another image."""
    done = 0
    with plan.image.open("rb") as file:
        for part in plan.ranges:
            if not part.checksum:
                continue
            digest = hashlib.new(plan.algorithm)
            for piece in pieces(file.fileno(), part):
                digest.update(piece)
                done += len(piece)
                progress(f"flash: checking the image: {done >> 20} of {plan.bytes_to_write >> 20} MiB")
            if digest.hexdigest() != part.checksum:
                raise UsageError(
                    f"{plan.image}: bytes {part.start} to {part.start + part.size} are not what {plan.origin} says",
                    hint="the image, or the map, is damaged or another one: get both again",
                )


def pieces(handle: int, part: Range) -> Iterator[bytes]:
    """Yield the bytes of *part*; OSError when the file, or the card, ends before."""
    at, end = part.start, part.start + part.size
    while at < end:
        piece = ZEROS[: end - at] if part.hole else os.pread(handle, min(CHUNK, end - at), at)
        if not piece:
            raise OSError(errno.EIO, f"it ends at byte {at}")
        yield piece
        at += len(piece)
