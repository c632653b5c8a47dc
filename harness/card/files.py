"""The boot partition of a card image, or a folder in its place, the way ``bootfs`` wants to read one."""

from collections.abc import Collection
from functools import cached_property
from pathlib import Path, PurePosixPath

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


class FolderFiles:
    """A ``BootPartition`` that is a folder of the host: a mounted boot partition, or a TFTP tree."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def _paths(self) -> dict[str, Path]:
        found = sorted(path for path in self._folder.rglob("*") if path.is_file())
        return {str(path.relative_to(self._folder)).lower(): path for path in found}

    def read(self, name: str) -> bytes | None:
        """Return the content of file *name*, or None when there is none."""
        path = self._paths.get(clean(name).lower())
        return None if path is None else path.read_bytes()

    def exists(self, name: str) -> bool:
        """Tell whether there is a file *name*."""
        return clean(name).lower() in self._paths

    def names(self) -> Collection[str]:
        """Return the names of all files."""
        return tuple(str(path.relative_to(self._folder)) for path in self._paths.values())
