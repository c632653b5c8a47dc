"""A card with bad blocks: they take what is written to them and give something else back."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kernelpair
import pytest
from labgrid import Target
from smallcard import BOOT_OFFSET, ROOT_OFFSET, make_card, tool

from harness import host
from harness.card.debugfs import Debugfs
from harness.card.fat import FatPartition
from harness.card.slot import CardImage
from harness.deploy.sdcard import CardImageDriver
from harness.errors import LabError
from harness.model import BaseImage

OLD, NEW = "6.12.1-old", "6.12.2-new"
BLOCK = 512
POINTS = 10


class BadBlock:
    """Spoils one block of a card after everything that was written to the card."""

    def __init__(self, card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.card, self.offset = card, None
        for owner, name in ((host, "run"), (Debugfs, "_run"), (FatPartition, "_patch")):
            monkeypatch.setattr(owner, name, self._spoiling(getattr(owner, name)))

    def _spoiling(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def act(*args: Any, **kwargs: Any) -> Any:
            try:
                return real(*args, **kwargs)
            finally:
                if self.offset is not None:
                    with self.card.open("r+b") as file:
                        file.seek(self.offset)
                        file.write(b"\xaa" * BLOCK)

        return act


@pytest.fixture
def driver(tmp_path) -> Iterator[CardImageDriver]:
    base = make_card(tmp_path / "base.img")
    kernelpair.stock(base, BOOT_OFFSET)
    target = Target("tiny")
    CardImage(target, name=None, file=str(tmp_path / "card.img"))
    driver = CardImageDriver(target, name=None)
    target.activate(driver)
    driver.use(BaseImage(base, BOOT_OFFSET, 1, ROOT_OFFSET, 2, 32, "base", "a test"))
    yield driver
    target.deactivate(driver)


@pytest.mark.parametrize("where", ["boot partition", "root filesystem"])
def test_a_block_that_does_not_keep_what_is_written_leaves_the_old_kernel_and_is_told(
    driver, tmp_path, monkeypatch, where
) -> None:
    driver.deploy(kernelpair.files(tmp_path / "a", OLD))
    new, card, before = kernelpair.files(tmp_path / "b", NEW), driver.slot.path, tmp_path / "before.img"
    tool(["cp", "--sparse=always", card, before])
    listed = card.with_name("card.img.json").read_text()
    driver.deploy(new)
    blocks = _of_contents(card, where)
    assert len(blocks) > POINTS
    bad = BadBlock(card, monkeypatch)
    for offset in blocks[:: len(blocks) // POINTS]:
        bad.offset = None
        tool(["cp", "--sparse=always", before, card])
        card.with_name("card.img.json").write_text(_of_copy(listed, card))
        bad.offset = offset
        with pytest.raises(LabError, match=r"read back|reads back|differ|damaged"):
            driver.deploy(new)
        bad.offset = None
        assert kernelpair.booting(card, BOOT_OFFSET, ROOT_OFFSET) == OLD
    driver.deploy(new)
    assert kernelpair.booting(card, BOOT_OFFSET, ROOT_OFFSET) == NEW


def _of_contents(card: Path, where: str) -> list[int]:
    """Return the blocks that are full of the new kernel, or of its modules."""
    data = card.read_bytes()
    part = range(BOOT_OFFSET, ROOT_OFFSET, BLOCK) if where == "boot partition" else range(ROOT_OFFSET, len(data), BLOCK)
    return [offset for offset in part if data.count(NEW.encode(), offset, offset + BLOCK) > BLOCK // 40]


def _of_copy(listed: str, card: Path) -> str:
    """The list of a card, for a copy of that card."""
    status = card.stat()
    return json.dumps(json.loads(listed) | {"card": [status.st_size, status.st_mtime_ns]})
