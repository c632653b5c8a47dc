"""A copy of a card has the same content, shares the holes, and never lands on an older file."""

from pathlib import Path

import pytest

from harness.card import copy
from harness.card.copy import copy_sparse, grow_to_power_of_two

MIB = 1 << 20


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.img"
    with path.open("xb") as file:
        for at in (0, 3 * MIB, 7 * MIB + 4096):
            file.seek(at)
            file.write(b"data" * 1024)
        file.truncate(9 * MIB + 512)
    return path


@pytest.mark.parametrize("clones", [True, False])
def test_a_copy_equals_its_source_and_keeps_its_holes(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clones: bool
) -> None:
    if not clones:  # as on ext4, whatever this disk is
        monkeypatch.setattr(copy, "FICLONE", 0)
    copy_sparse(source, tmp_path / "target.img")
    assert (tmp_path / "target.img").read_bytes() == source.read_bytes()
    assert (tmp_path / "target.img").stat().st_blocks <= source.stat().st_blocks + 64


def test_a_file_that_is_there_is_never_written_over(source: Path, tmp_path: Path) -> None:
    (tmp_path / "old.img").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        copy_sparse(source, tmp_path / "old.img")
    assert (tmp_path / "old.img").read_bytes() == b"old"


def test_a_copy_that_is_interrupted_leaves_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(copy, "FICLONE", 0)
    monkeypatch.setattr(copy.os, "copy_file_range", interrupted)
    with pytest.raises(KeyboardInterrupt):
        copy_sparse(source, tmp_path / "target.img")
    assert not (tmp_path / "target.img").exists()


def test_a_card_grows_to_the_next_power_of_two_and_no_further(source: Path) -> None:
    assert grow_to_power_of_two(source) == 16 * MIB
    assert grow_to_power_of_two(source) == source.stat().st_size == 16 * MIB
