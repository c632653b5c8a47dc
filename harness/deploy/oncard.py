"""Carries out an order on a card, a file or a block device, so that whoever cuts it short leaves one whole system.

Modules go into the folder of their own release, boot files into the slot that does not boot; config.txt switches. What
is not needed any more goes last. In-place files have no slot: there the guide's way is as risky as the guide's.
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import attrs

from harness.bootfs import slots
from harness.card.copy import settle
from harness.card.ext4 import Ext4Partition
from harness.card.fat import FatPartition
from harness.deploy.order import Content, Order, paths
from harness.host import Progress

TEXTS = ("config.txt", "cmdline.txt", "usercfg.txt", "distroconfig.txt", "extraconfig.txt")
"""What a stock config.txt is made of; larger files cannot change what the firmware decides."""


@attrs.frozen
class Card:
    """Where a card's two file systems lie."""

    path: Path
    boot_offset: int
    root_offset: int

    @property
    def fat(self) -> FatPartition:
        """The boot partition."""
        return FatPartition(self.path, self.boot_offset)

    @property
    def root(self) -> Ext4Partition:
        """The root filesystem."""
        return Ext4Partition(self.path, self.root_offset)

    def texts(self) -> dict[str, bytes]:
        """Return the text files of the boot partition that decide what boots."""
        found = {str(path): path for path in self.fat.sizes() if str(path).lower() in TEXTS}
        contents = self.fat.read_many(found.values())
        return {name: contents[name.lower()] for name in found}

    def live(self) -> str:
        """Return the slot that boots now; empty where none of ours does."""
        try:
            return slots.live(self.fat.read(slots.CONFIG))
        except FileNotFoundError:
            return ""


def carry_out(
    card: Card, order: Order, boot: Mapping[str, Content], modules: Mapping[str, Content], *, progress: Progress
) -> None:
    """Do what *order* says; *boot* and *modules* have the contents of what it writes. LabError, and nothing half done.

    Everything is read back before the next step, and the card has it all when the step that needs it begins.
    """
    root, fat = card.root, card.fat
    progress(f"deploy: {len(order.modules)} module files to write")
    root.write({path: modules[name] for path, name in zip(paths(order.modules), order.modules, strict=True)})
    progress(f"deploy: {len(order.boot) + order.config} boot files to write")
    fat.delete(map(PurePosixPath, order.clear))
    fat.write({PurePosixPath(name): boot[name] for name in order.boot})
    settle(card.path)
    if order.config:
        content = boot[slots.CONFIG]
        fat.switch(PurePosixPath(slots.CONFIG), content if isinstance(content, bytes) else content.read_bytes())
    fat.delete(map(PurePosixPath, order.stale_boot))
    root.delete(paths(order.stale_modules))
    settle(card.path)
