"""What of ours lies on a boot medium, file by file, and what has to change to make it another kernel."""

import functools
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from harness import host
from harness.model import BootFiles

LINK = "-> "
"""Stands in the place of a digest before what a symbolic link points to."""


def names(given: object) -> Mapping[str, str]:
    """Return *given* if it is path -> text; TypeError or ValueError for a path that leads elsewhere.

    Such a list comes from a card or from another computer, and what it names will be deleted some day.
    """
    if not isinstance(given, Mapping) or not all(isinstance(text, str) for pair in given.items() for text in pair):
        raise TypeError(given)
    if any(name.startswith("/") or {"..", ".", ""} & set(name.split("/")) for name in given):
        raise ValueError(given)
    return given


@attrs.frozen
class Listing:
    """Files by path, each with the SHA-256 of its content; of a link: ``-> `` and where it points."""

    boot: Mapping[str, str] = attrs.field(converter=names)
    """Relative to the root of the boot partition."""
    modules: Mapping[str, str] = attrs.field(converter=names)
    """Relative to the root filesystem: ``lib/modules/<release>/...``."""


NOTHING = Listing({}, {})


def of(files: BootFiles) -> Listing:
    """Return what lies on a medium when *files* have been written."""
    return Listing(boot(files), digests(files.modules_root))


def boot(files: BootFiles) -> dict[str, str]:
    """Return path -> digest of the files for the boot partition."""
    return {
        str(file.path): _digest(file.source) if file.source else hashlib.sha256(file.read()).hexdigest()
        for file in files.files
    }


def digests(root: Path) -> dict[str, str]:
    """Return path -> digest of every file and link below ``lib`` of *root*, relative to *root*, sorted."""
    return dict(sorted(_found(root / "lib", "lib/")))


def _found(folder: Path, prefix: str) -> Iterator[tuple[str, str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            name = f"{prefix}{entry.name}"
            if entry.is_symlink():
                yield name, f"{LINK}{Path(entry.path).readlink()}"
            elif entry.is_dir():
                yield from _found(Path(entry.path), f"{name}/")
            elif entry.is_file():
                yield name, _digest(Path(entry.path))


def _digest(path: Path) -> str:
    status = path.stat()
    return _sha256(path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=1 << 16)
def _sha256(path: Path, *_status: int) -> str:
    """Return the SHA-256 of a file, read once as long as its status stays."""
    return host.sha256(path)


def differ(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return what of *now* is not in *before*, or is another file there."""
    return [name for name, digest in now.items() if before.get(name) != digest]


def release(name: str) -> str:
    """Return ``<release>`` of ``lib/modules/<release>/...``."""
    return name.split("/")[2]


def gone(before: Mapping[str, str], now: Mapping[str, str]) -> set[str]:
    """Return which modules to delete: the folder of a release that is there no more, or its single files."""
    releases = {release(name) for name in now}
    return {name if release(name) in releases else f"lib/modules/{release(name)}" for name in before if name not in now}


def to_json(listing: Listing, **more: object) -> bytes:
    """Return *listing* and what else is known of the medium, for ``from_json``."""
    return json.dumps({**attrs.asdict(listing), **more}, indent=1).encode()


def from_json(text: str | bytes) -> tuple[Listing, dict[str, object]] | None:
    """Return the listing and the rest of what ``to_json`` was given; None for anything else."""
    try:
        found = json.loads(text)
        listing = Listing(found.pop("boot"), found.pop("modules"))
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    return listing, found
