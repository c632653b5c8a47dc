"""A whole image onto a card: what is written, what is refused, and what a card that lies looks like."""

import os
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from bmapfile import BLOCK, make
from loopdev import looped

from harness.card import flash, flashplan
from harness.card.disks import Disk
from harness.errors import LabError, UsageError

MIB = 1 << 20
CARD = Disk("sdb", ("8:16",), 64 * MIB, True, False, "usb", "42", "mux", ())


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Data, a hole, data, and an odd end."""
    path = tmp_path / "raspios.img"
    with path.open("xb") as file:
        file.write(os.urandom(5 * MIB))
        file.seek(20 * MIB)
        file.write(os.urandom(3 * MIB) + b"end")
    return path


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """A card on which an older system was."""
    path = tmp_path / "card"
    path.write_bytes(b"\xaa" * 32 * MIB)
    return path


def quiet(_: str) -> None:
    pass


def with_map(image: Path, ranges: list[tuple[int, int]]) -> flashplan.Plan:
    image.with_name("raspios.bmap").write_bytes(make(image.read_bytes(), ranges))
    return flashplan.plan(image, image)


def test_without_a_map_holes_are_written_as_zeros(image: Path, card: Path) -> None:
    plan = flashplan.plan(image, image)
    said: list[str] = []
    flash.write(card, plan, progress=said.append)
    size = image.stat().st_size
    assert card.read_bytes()[:size] == image.read_bytes()
    assert card.read_bytes()[size:] == b"\xaa" * (32 * MIB - size)
    assert any(part.hole for part in plan.ranges)
    assert said[-1] == "flash: 23 of 23 MiB read back"


def test_with_a_map_only_its_ranges_are_written(image: Path, card: Path) -> None:
    last = image.stat().st_size // BLOCK
    plan = with_map(image, [(0, 1279), (5120, last)])
    flashplan.check(plan, progress=quiet)
    flash.write(card, plan, progress=quiet)
    content = card.read_bytes()
    assert content[: 5 * MIB] == image.read_bytes()[: 5 * MIB]
    assert content[5 * MIB : 20 * MIB] == b"\xaa" * 15 * MIB
    assert content[20 * MIB : image.stat().st_size] == image.read_bytes()[20 * MIB :]
    assert plan.bytes_to_write < 9 * MIB


def test_an_image_that_is_not_what_its_map_says_is_refused_before_the_card_is_touched(image: Path) -> None:
    plan = with_map(image, [(0, 10)])
    with image.open("r+b") as file:
        file.seek(5000)
        file.write(b"another byte")
    with pytest.raises(UsageError, match=r"bytes 0 to 45056 are not what raspios\.bmap says"):
        flashplan.check(plan, progress=quiet)


def test_the_map_of_another_image_is_refused(image: Path) -> None:
    image.with_name("raspios.bmap").write_bytes(make(b"another" * 9999, [(0, 0)]))
    with pytest.raises(UsageError, match="it is of an image of 69993 bytes"):
        flashplan.plan(image, image)


def test_a_flash_cut_short_leaves_no_partition_table(image: Path, card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody takes the card for whole, and no deploy is written onto half a system."""
    real, done = os.pwrite, []

    def pwrite(handle: int, data: bytes, at: int) -> int:
        done.append(at)
        if len(done) == 4:
            raise KeyboardInterrupt
        return real(handle, data, at)

    monkeypatch.setattr(flash.os, "pwrite", pwrite)
    with pytest.raises(KeyboardInterrupt):
        flash.write(card, flashplan.plan(image, image), progress=quiet)
    assert card.read_bytes()[: 4 * MIB] == bytes(4 * MIB)


def test_a_card_that_gives_back_something_else_is_told(
    image: Path, card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A counterfeit wraps around: what is written at its end lands at its beginning."""
    real = os.pwrite
    monkeypatch.setattr(flash.os, "pwrite", lambda handle, data, at: real(handle, data, at % (16 * MIB)))
    with pytest.raises(LabError, match="gives back something else"):
        flash.write(card, flashplan.plan(image, image), progress=quiet)


@pytest.mark.parametrize(("number", "message"), [(28, "smaller than it says"), (5, "Input/output error")])
def test_a_write_error_is_told(
    image: Path, card: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    def pwrite(_: int, __: bytes, ___: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(flash.os, "pwrite", pwrite)
    with pytest.raises(LabError, match=message):
        flash.write(card, flashplan.plan(image, image), progress=quiet)


# --- which disk may be written over ----------------------------------------------------------------------------------
def test_a_free_removable_disk_may_be_written() -> None:
    flash.allow(CARD, size_bytes=64 * MIB, used=[])


@pytest.mark.parametrize("forced", ["", "42"])
def test_a_disk_in_use_may_not_whatever_was_said(forced: str) -> None:
    with pytest.raises(UsageError, match="in use: mounted at /"):
        flash.allow(CARD, size_bytes=MIB, forced=forced, used=["mounted at /"])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"size_bytes": 0}, LabError, "no medium"),
        ({"read_only": True}, LabError, "read-only"),
        ({"size_bytes": 32 * MIB}, LabError, "33554432 bytes, the image has 67108864"),
        ({"removable": False}, UsageError, "neither a removable medium nor an SD card"),
        ({"removable": False, "serial": ""}, UsageError, "may be somebody's disk"),
    ],
)
def test_another_disk_is_refused_with_the_reason(change: dict[str, object], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        flash.allow(attrs.evolve(CARD, **change), size_bytes=64 * MIB, used=[])


@pytest.mark.parametrize(("forced", "fine"), [("42", True), ("43", False), ("", False)])
def test_a_disk_that_is_not_removable_has_to_be_named_by_its_serial_number(forced: str, fine: bool) -> None:
    disk = attrs.evolve(CARD, removable=False)
    if fine:
        flash.allow(disk, size_bytes=MIB, forced=forced, used=[])
    else:
        with pytest.raises(UsageError, match="may be somebody's disk") as caught:
            flash.allow(disk, size_bytes=MIB, forced=forced, used=[])
        assert "its serial number is 42" in caught.value.hint


def test_a_disk_without_a_serial_number_cannot_be_forced() -> None:
    with pytest.raises(UsageError, match="may be somebody's disk"):
        flash.allow(attrs.evolve(CARD, removable=False, serial=""), size_bytes=MIB, forced="", used=[])


# --- a block device --------------------------------------------------------------------------------------------------
@pytest.fixture
def loop(card: Path) -> Iterator[Path]:
    with looped(card) as device:
        yield device


def test_a_block_device_is_written_and_read_back(image: Path, card: Path, loop: Path) -> None:
    flash.write(loop, flashplan.plan(image, image), progress=quiet)
    size = image.stat().st_size
    assert card.read_bytes()[:size] == image.read_bytes()


def test_a_disk_that_somebody_holds_is_refused(image: Path, loop: Path) -> None:
    handle = os.open(loop, os.O_RDONLY | os.O_EXCL)
    try:
        with pytest.raises(LabError, match="busy") as caught:
            flash.write(loop, flashplan.plan(image, image), progress=quiet)
    finally:
        os.close(handle)
    assert "another program holds it" in caught.value.hint


def test_a_loop_device_is_not_a_card_for_the_command_line(loop: Path) -> None:
    with pytest.raises(UsageError, match="neither a removable medium nor an SD card"):
        flash.refuse(loop, size_bytes=MIB)
