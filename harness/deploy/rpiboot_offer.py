"""The files that a board may have over USB: those of the kernel, and below them the firmware's."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from harness.errors import LabError
from harness.model import BootFile


class Offer:
    """The files that a board may have: *files*, and below them those of *folder*; names as on a FAT, in any case.

    Of each, a file in the chip's own folder goes first (``2711/config.txt``), as with rpiboot.
    """

    def __init__(self, files: Iterable[BootFile], folder: Path) -> None:
        self._files = {str(file.path).lower(): file for file in files}
        root = folder.resolve()
        inside = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.resolve().is_relative_to(root))
        self._stock = {str(path.relative_to(folder)).lower(): path for path in inside}
        self._folder = folder

    def find(self, name: str, folder: str) -> tuple[str, bytes] | None:
        """Return the path of file *name* and its content; None when there is none. LabError if it is unreadable."""
        names = (f"{folder}/{name}".lower(), name.lower())
        for key in names:
            if key in self._files:
                return str(self._files[key].path), _content(self._files[key].read, key)
        for key in names:
            if key in self._stock:
                stock = self._stock[key]
                return str(stock.relative_to(self._folder)), _content(stock.read_bytes, stock)
        return None

    def texts(self, folder: str) -> Mapping[str, bytes]:
        """Return name -> content of the text files that the firmware would find; it decides by them what to start."""
        names = sorted({name.removeprefix(f"{folder}/") for name in self._stock if name.endswith(".txt")})
        return {name: found[1] for name in names if (found := self.find(name, folder))}


def _content(read: Callable[[], bytes], name: object) -> bytes:
    try:
        return read()
    except OSError as error:
        raise LabError(f"boot file {name}: {error.strerror}") from error
