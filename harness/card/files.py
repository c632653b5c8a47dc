"""The boot partition of a card image, the way ``bootfs`` wants to read one."""

from collections.abc import Collection
from functools import cached_property
from pathlib import PurePosixPath

from harness.bootfs.partition import clean
from harness.card.fat import FatPartition


class CardFiles:
    """A ``BootPartition``; the list of names is read once, contents when they are asked for."""

    def __init__(self, fat: FatPartition) -> None:
        self._fat = fat

    @cached_property
    def _names(self) -> dict[str, PurePosixPath]:
        return {str(path).lower(): path for path in self._fat.sizes()}

    def read(self, name: str) -> bytes | None:
        """Return the content of file *name*, or None when there is none."""
        path = self._names.get(clean(name).lower())
        return None if path is None else self._fat.read(path)

    def exists(self, name: str) -> bool:
        """Tell whether there is a file *name*."""
        return clean(name).lower() in self._names

    def names(self) -> Collection[str]:
        """Return the names of all files."""
        return tuple(map(str, self._names.values()))
