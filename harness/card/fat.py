"""The boot partition inside a card image file: list, read, write, delete, without root and without mounting."""

import hashlib
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from harness import host
from harness.card.copy import settle
from harness.card.fat_read import ENTRY, Entry, FatReader
from harness.card.layout import reading
from harness.errors import LabError

BESIDE = "pi64-new.tmp"
"""New files are written into this folder of the FAT and moved into place: no boot file is ever half written."""
OTHER = PurePosixPath("pi64-old.tmp")
"""The file whose content ``switch`` exchanges."""
CONTENT = slice(20, 32)
"""Of a directory record: first cluster, time of the last change, and size, all that says where the content lies."""

ENVIRONMENT = {
    "MTOOLS_SKIP_CHECK": "1",  # mkfs.vfat's small FAT32s have fewer clusters than mtools likes
    "MTOOLSRC": "/dev/null",  # a user's drive table must not matter
}

FORBIDDEN = frozenset('*?[]\\:"<>|') | frozenset(map(chr, range(32)))

Content = bytes | Path


class FatPartition:
    """The FAT file system at *offset* of *image*; names are found in any case, as the firmware finds them.

    The program that writes must be the only one: nothing here stops a running QEMU from writing to the same file.
    Methods raise LabError when the file system is damaged or full, or mtools fails.
    """

    def __init__(self, image: Path, offset: int) -> None:
        self.image, self.offset = image, offset

    def sizes(self) -> dict[PurePosixPath, int]:
        """Return every file with its size in bytes."""
        with self._reader() as reader:
            return {entry.path: entry.size_bytes for entry in reader.walk() if not entry.is_dir}

    def folders(self) -> list[PurePosixPath]:
        """Return every folder below the root, a folder before what is in it."""
        with self._reader() as reader:
            return [entry.path for entry in reader.walk() if entry.is_dir]

    def free_bytes(self) -> int:
        """Return what is free."""
        with self._reader() as reader:
            return reader.free_bytes

    def read(self, path: PurePosixPath | str) -> bytes:
        """Return the content of one file; FileNotFoundError when there is none."""
        return self.read_many([path])[_key(path)]

    def read_many(self, paths: Iterable[PurePosixPath | str]) -> dict[str, bytes]:
        """Return contents by lower-case path; FileNotFoundError naming the first that is missing."""
        wanted = [_key(path) for path in paths]
        with self._reader() as reader:
            found = {_key(entry.path): entry for entry in reader.walk() if not entry.is_dir}
            missing = [path for path in wanted if path not in found]
            if missing:
                raise FileNotFoundError(f"{missing[0]} is not on the boot partition of {self.image}")
            return {path: reader.content(found[path]) for path in wanted}

    def digests(self, only: Collection[str] | None = None) -> dict[PurePosixPath, str]:
        """Return the SHA-256 of every file, or of those whose lower-case paths are in *only*."""
        with self._reader() as reader:
            files = [
                entry for entry in reader.walk() if not entry.is_dir and (only is None or _key(entry.path) in only)
            ]
            return {entry.path: hashlib.sha256(reader.content(entry)).hexdigest() for entry in files}

    def write(self, files: Mapping[PurePosixPath, Content]) -> None:
        """Write *files*, making their folders; files in the root go into place last, so that config.txt switches.

        Every file is whole when it appears under its name, and is read back. LabError when they do not fit: nothing
        has been touched then.
        """
        if not files:
            return
        _check_names(files)
        self._forget_other()
        self.delete([PurePosixPath(BESIDE)])
        self._check_room(files)
        self.mkdir({path.parent for path in files})
        with tempfile.TemporaryDirectory(prefix="pi64-fat-") as name:
            stage = Path(name) / BESIDE
            for path, content in files.items():
                _stage(stage / path, content)
            self._mtools("mcopy", "-s", str(stage), "::")
        for folder in sorted({path.parent for path in files}, key=lambda path: -len(path.parts)):
            sources = [_fat(BESIDE / path) for path in files if path.parent == folder]
            self._mtools("mmove", "-D", "o", *sources, _fat(folder))
        self.delete([PurePosixPath(BESIDE)])
        settle(self.image)
        self._verify(files)

    def switch(self, path: PurePosixPath, content: bytes) -> None:
        """Write one file so that whoever reads it, whenever the writer dies, finds the old content or the new.

        The new content is written as another file; then the two records, of 32 bytes in a sector each, exchange what
        they say of their contents, *path* first.
        """
        before = self._entries().get(_key(path))
        if before is None or before.is_dir:
            self.write({path: content})
            return
        self.write({OTHER: content})
        after = self._entries()[_key(OTHER)]
        old, new = self._record(before), self._record(after)
        self._patch(before, old[: CONTENT.start] + new[CONTENT])
        self._patch(after, new[: CONTENT.start] + old[CONTENT])
        self._forget_other()
        settle(self.image)
        self._verify({path: content})

    def _forget_other(self) -> None:
        """Delete what a ``switch`` leaves; where it was cut short in the middle, both files have one content."""
        entries = self._entries()
        other = entries.pop(_key(OTHER), None)
        if other is None:
            return
        if other.cluster and other.cluster in {entry.cluster for entry in entries.values()}:
            self._patch(other, self._record(other)[: CONTENT.start] + bytes(12))
        self.delete([OTHER])

    def _entries(self) -> dict[str, Entry]:
        with self._reader() as reader:
            return {_key(entry.path): entry for entry in reader.walk()}

    def _record(self, entry: Entry) -> bytes:
        with reading(self.image) as read:
            return read(entry.record_at, ENTRY)

    def _patch(self, entry: Entry, record: bytes) -> None:
        """Write one directory record: it lies within a sector, so it is never half written."""
        with self.image.open("r+b", buffering=0) as file:
            file.seek(entry.record_at)
            file.write(record)
        settle(self.image)

    def mkdir(self, folders: Iterable[PurePosixPath]) -> None:
        """Make *folders* and those above them; what is there stays."""
        wanted = {folder for given in folders for folder in (given, *given.parents)} - {PurePosixPath()}
        with self._reader() as reader:
            kinds = {_key(entry.path): entry.is_dir for entry in reader.walk()}
        blocked = [folder for folder in sorted(wanted) if not kinds.get(_key(folder), True)]
        if blocked:
            raise LabError(f"{self.image}: {blocked[0]} on the boot partition is a file, not a folder")
        new = {_key(folder): folder for folder in sorted(wanted) if _key(folder) not in kinds}
        if new:
            self._mtools("mmd", *map(_fat, sorted(new.values(), key=lambda path: len(path.parts))))

    def delete(self, paths: Iterable[PurePosixPath]) -> None:
        """Delete files, and folders with all they hold; a path that is not there is already deleted."""
        wanted = {_key(path) for path in paths}
        with self._reader() as reader:
            found = [entry.path for entry in reader.walk() if _key(entry.path) in wanted]
        inner = [path for path in found if not wanted & {_key(parent) for parent in path.parents}]
        if inner:
            self._mtools("mdeltree", *map(_fat, inner))

    @contextmanager
    def _reader(self) -> Iterator[FatReader]:
        with reading(self.image) as read:
            try:
                yield FatReader(read, self.offset)
            except ValueError as error:
                raise LabError(f"{self.image}: boot partition at byte {self.offset} is damaged: {error}") from error

    def _mtools(self, program: str, *arguments: str) -> None:
        host.run([program, "-i", f"{self.image}@@{self.offset}", *arguments], env=ENVIRONMENT)

    def _check_room(self, files: Mapping[PurePosixPath, Content]) -> None:
        """Old and new lie side by side for a moment, so all of *files* must fit into what is free."""
        with self._reader() as reader:
            free = reader.free_bytes
            needed = sum(reader.clusters_bytes(_size(content)) for content in files.values())
            needed += reader.clusters_bytes(1) * 2 * len({path.parent for path in files})
            folders = {_key(entry.path) for entry in reader.walk() if entry.is_dir}
        if needed > free:
            raise LabError(
                f"{self.image}: boot partition has {free / 2**20:.1f} MiB free, "
                f"{len(files)} files need {needed / 2**20:.1f} MiB",
                hint="delete old kernels from it, or use an image with a larger boot partition",
            )
        taken = [path for path in files if _key(path) in folders]
        if taken:
            raise LabError(f"{self.image}: {taken[0]} on the boot partition is a folder, not a file")

    def _verify(self, files: Mapping[PurePosixPath, Content]) -> None:
        written = self.read_many(files)
        for path, content in files.items():
            if written[_key(path)] != (content if isinstance(content, bytes) else content.read_bytes()):
                raise LabError(f"{self.image}: {path} reads back different from what was written")


def _key(path: PurePosixPath | str) -> str:
    """FAT keeps the case of a name and ignores it when looking for one."""
    return str(PurePosixPath(path)).lower().lstrip("/")


def _fat(path: PurePosixPath) -> str:
    return "::" if path == PurePosixPath() else f"::/{path}"


def _check_names(paths: Iterable[PurePosixPath]) -> None:
    """Refuse what FAT cannot hold, among it all that mtools would take for a pattern."""
    for path in paths:
        if path.is_absolute() or ".." in path.parts or set(str(path)) & FORBIDDEN:
            raise LabError(f"{str(path)!r}: not a name for the boot partition")


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _stage(path: Path, content: Content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.symlink_to(content.absolute())
