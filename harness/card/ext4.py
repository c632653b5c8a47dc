"""The root filesystem inside a card image file: list, read, write, delete, without root and without mounting.

debugfs (e2fsprogs) does the work, many commands a process. It returns 0 whatever happened and carries on after an
error, hence: whatever it says on its standard error is an error, folders are made and checked before files are written
into them, and everything written is read back. It writes past the journal, hence: while it does, the file system is
marked as one that has to be checked.
"""

import hashlib
import stat
import struct
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from types import MappingProxyType

import attrs

from harness.card.copy import settle
from harness.card.debugfs import Debugfs, cd, inside, quoted
from harness.card.layout import reading
from harness.card.partitions import is_ext4
from harness.errors import LabError

Content = bytes | Path
ROOT = PurePosixPath("/")
LINK_LIMIT = 16
FAST_LINK = 60  # a shorter target lies in the inode itself
NEEDS_RECOVERY, CLEAN, ERRORS = 0x0004, 0x0001, 0x0002


@attrs.frozen
class Node:
    """One line of a folder."""

    name: str
    mode: int
    """Type and permission bits, as in ``stat.st_mode``."""
    uid: int
    gid: int
    size_bytes: int

    @property
    def is_dir(self) -> bool:
        """Whether it is a folder itself, not a link to one."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.mode)


@attrs.frozen
class Rights:
    """Whose file it is, and who may do what with it."""

    mode: int
    """Permission bits, e.g. 0o640."""
    uid: int = 0
    gid: int = 0
    folder: bool = False


NO_RIGHTS: Mapping[PurePosixPath, Rights] = MappingProxyType({})


class Ext4Partition:
    """The ext4 file system at *offset* of *image*; paths are absolute, and links in folders are followed.

    The program that writes must be the only one. Methods raise LabError when the file system is damaged or full,
    FileNotFoundError when a path is not there.
    """

    def __init__(self, image: Path, offset: int) -> None:
        self.image, self.offset = image, offset
        self._debugfs = Debugfs(image, offset)
        self._changes = 0  # how many of our methods are in the midst of writing

    # --- read ---------------------------------------------------------------------------------------------------
    def nodes(self, folder: PurePosixPath | str) -> dict[str, Node]:
        """Return what *folder* holds, by name."""
        found = self._listings([PurePosixPath(folder)])[PurePosixPath(folder)]
        if found is None:
            raise FileNotFoundError(f"folder {folder} is not on the root filesystem of {self.image}")
        return found

    def is_folder(self, path: PurePosixPath | str) -> bool:
        """Tell whether *path* is a folder, or a link to one."""
        return self._listings([PurePosixPath(path)])[PurePosixPath(path)] is not None

    def exists(self, path: PurePosixPath | str) -> bool:
        """Tell whether *path* is there; a dangling link is."""
        path = PurePosixPath(path)
        return path.name in (self._listings([path.parent])[path.parent] or {}) or path == ROOT

    def walk(self, top: PurePosixPath | str) -> dict[PurePosixPath, Node]:
        """Return all below *top* by absolute path, a folder before what is in it; empty when *top* is not there."""
        found: dict[PurePosixPath, Node] = {}
        level = [PurePosixPath(top)]
        while level:
            listings = self._listings(level)
            inside = {folder / name: node for folder, nodes in listings.items() for name, node in (nodes or {}).items()}
            found |= inside
            level = [path for path, node in inside.items() if node.is_dir]
        return found

    def resolve(self, path: PurePosixPath | str) -> PurePosixPath:
        """Follow the link that *path* may be to what it means; FileNotFoundError if that is not there."""
        at = PurePosixPath(path)
        for _ in range(LINK_LIMIT):
            node = (self._listings([at.parent])[at.parent] or {}).get(at.name)
            if node is None:
                raise FileNotFoundError(f"{at} is not on the root filesystem of {self.image}")
            if not node.is_link:
                return at
            at = at.parent / self._link_target(at, node)
        raise LabError(f"{self.image}: {path} is a link to itself")

    def read(self, path: PurePosixPath | str) -> bytes:
        """Return the content of a file, following links."""
        with self._dumped([self.resolve(path)]) as copies:
            return copies[0].read_bytes()

    def digests(self, top: PurePosixPath | str) -> dict[PurePosixPath, str]:
        """Return the SHA-256 of every regular file below *top*, by absolute path."""
        files = {path: node.size_bytes for path, node in self.walk(top).items() if stat.S_ISREG(node.mode)}
        with self._debugfs.contents(list(files)) as streams:
            return {
                path: hashlib.sha256(stream.read(size)).hexdigest()
                for (path, size), stream in zip(files.items(), streams, strict=True)
            }

    # --- write --------------------------------------------------------------------------------------------------
    def write(
        self, files: Mapping[PurePosixPath, Content], *, rights: Mapping[PurePosixPath, Rights] = NO_RIGHTS
    ) -> None:
        """Write *files*, owned by root unless *rights* say otherwise, making their folders, replacing what is there.

        A path on the host gives its executable bit; one that is a link is written as a link. LabError before anything
        is touched when they do not fit. A crash in between leaves files missing, so write what names them last.
        """
        if not files:
            return
        self.repair()
        self._check_room(files)
        with self._changing():
            self.mkdir({path.parent for path in files})
            self.delete(files)
            with tempfile.TemporaryDirectory(prefix="pi64-ext4-") as stage:
                self._debugfs.write([*_write_commands(files, Path(stage)), *_rights_commands(rights)])
            settle(self.image)
            self._verify(files)

    def write_tree(self, source: Path, target: PurePosixPath) -> None:
        """Write the folder *source* of the host as *target*; files there that *source* has not stay."""
        inside = sorted(source.rglob("*"))
        self.mkdir(
            [target, *(target / path.relative_to(source) for path in inside if path.is_dir() and not path.is_symlink())]
        )
        self.write({target / path.relative_to(source): path for path in inside if path.is_symlink() or path.is_file()})

    def mkdir(self, folders: Iterable[PurePosixPath]) -> None:
        """Make *folders* and those above them, mode 0755; what is there, or is a link to a folder, stays."""
        wanted = sorted({folder for given in folders for folder in (given, *given.parents)})
        missing = [folder for folder, nodes in self._listings(wanted).items() if nodes is None]
        if missing:
            self.repair()
            with self._changing():
                self._debugfs.write(
                    [line for path in missing for line in (cd(path.parent), f"mkdir {quoted(path.name)}")]
                )

    def delete(self, paths: Iterable[PurePosixPath]) -> None:
        """Delete files, links, and folders with all they hold; a path that is not there is already deleted."""
        wanted = set(paths)
        listings = self._listings({path.parent for path in wanted})
        found = {path: node for path in wanted if (node := (listings[path.parent] or {}).get(path.name))}
        commands = []
        for path, node in sorted(found.items()):
            inside = self.walk(path) if node.is_dir else {}
            for inner, kind in [*reversed(inside.items()), (path, node)]:
                commands.append(f"{'rmdir' if kind.is_dir else 'rm'} {quoted(inner)}")
        if commands:
            self.repair()
            with self._changing():
                self._debugfs.write(commands)

    def repair(self) -> bool:
        """Check a card that lost its power, or was left while it was written (``e2fsck``); tell whether it was."""
        superblock = self._superblock()
        (state,), (incompatible,) = (
            struct.unpack_from("<H", superblock, 0x3A),
            struct.unpack_from("<I", superblock, 0x60),
        )
        if self._changes or (state & CLEAN and not state & ERRORS and not incompatible & NEEDS_RECOVERY):
            return False
        self._debugfs.check(ours=not state & ERRORS)
        return True

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Mark the file system as one to be checked while it changes, for debugfs has no journal.

        Whoever finds it so afterwards, our next call or the board at its next boot, repairs it before using it.
        """
        if not self._changes:
            self._debugfs.write(["set_super_value state 0"])
        self._changes += 1
        try:
            yield
        finally:
            self._changes -= 1
        if not self._changes:
            self._debugfs.write([f"set_super_value state {CLEAN}"])

    # --- inside -------------------------------------------------------------------------------------------------
    def _superblock(self) -> bytes:
        with reading(self.image) as read:
            if not is_ext4(read, self.offset):
                raise LabError(f"{self.image}: no ext4 file system at byte {self.offset}")
            return read(self.offset + 1024, 1024)

    def _check_room(self, files: Mapping[PurePosixPath, Content]) -> None:
        superblock = self._superblock()
        free, inodes = struct.unpack_from("<II", superblock, 0x0C)
        block = _block_bytes(superblock)
        needed = sum(-(-_size(content) // block) + 1 for content in files.values()) * block
        if needed > free * block or len(files) > inodes:
            raise LabError(
                f"{self.image}: root filesystem has {free * block / 2**20:.1f} MiB and {inodes} inodes free, "
                f"{len(files)} files need {needed / 2**20:.1f} MiB",
                hint="delete old folders of /lib/modules from it, or use a larger image",
            )

    def _listings(self, folders: Iterable[PurePosixPath]) -> dict[PurePosixPath, dict[str, Node] | None]:
        asked = list(folders)
        sections = self._debugfs.read([f"ls -p {inside(folder)}" for folder in asked], missing_ok=True)
        return {folder: _parse_listing(lines) for folder, lines in zip(asked, sections, strict=True)}

    def _link_target(self, path: PurePosixPath, node: Node) -> str:
        if node.size_bytes < FAST_LINK:
            (lines,) = self._debugfs.read([f"stat {quoted(path)}"])
            return next(line.split('"', 1)[1].removesuffix('"') for line in lines if line.startswith("Fast link dest:"))
        with self._dumped([path]) as copies:
            return copies[0].read_bytes().rstrip(b"\0").decode()

    @contextmanager
    def _dumped(self, paths: Sequence[PurePosixPath]) -> Iterator[list[Path]]:
        """Yield copies of files on the host, in the order of *paths*; no owner is set, so no root is needed."""
        with tempfile.TemporaryDirectory(prefix="pi64-ext4-") as name:
            copies = [Path(name) / str(number) for number in range(len(paths))]
            self._debugfs.read(f"dump {quoted(path)} {quoted(copy)}" for path, copy in zip(paths, copies, strict=True))
            yield copies

    def _verify(self, files: Mapping[PurePosixPath, Content]) -> None:
        plain = {
            path: content for path, content in files.items() if isinstance(content, bytes) or not content.is_symlink()
        }
        with self._debugfs.contents(list(plain)) as streams:
            for stream, (path, content) in zip(streams, plain.items(), strict=True):
                wanted = content if isinstance(content, bytes) else content.read_bytes()
                if stream.read(len(wanted)) != wanted:
                    raise LabError(f"{self.image}: {path} reads back different from what was written")


def _block_bytes(superblock: bytes) -> int:
    return 1024 << int(struct.unpack_from("<I", superblock, 0x18)[0])


def _parse_listing(lines: Sequence[str]) -> dict[str, Node] | None:
    """Read ``/inode/mode/uid/gid/name/size/``; None where nothing was printed, for a folder always lists itself."""
    nodes = {}
    for line in filter(None, lines):
        _, _, mode, uid, gid, name, size, *_ = line.split("/")
        nodes[name] = Node(name, int(mode, 8), int(uid), int(gid), int(size or 0))
    return {name: node for name, node in nodes.items() if name not in (".", "..")} if nodes else None


def _write_commands(files: Mapping[PurePosixPath, Content], stage: Path) -> Iterator[str]:
    """Yield the commands that write *files*; bytes go through a file in *stage*."""
    folder = None
    for number, (path, content) in enumerate(sorted(files.items(), key=lambda item: item[0].parent)):
        if path.parent != folder:
            folder = path.parent
            yield cd(folder)
        if isinstance(content, Path) and content.is_symlink():
            yield f"symlink {quoted(path.name)} {quoted(content.readlink())}"
            continue
        source = content if isinstance(content, Path) else stage / str(number)
        if isinstance(content, bytes):
            source.write_bytes(content)
        given = stat.S_IMODE(source.stat().st_mode)
        wanted = 0o755 if isinstance(content, Path) and given & stat.S_IXUSR else 0o644
        yield f"write {quoted(source)} {quoted(path.name)}"
        if given != wanted:  # debugfs takes it over from the file
            yield f"set_inode_field {quoted(path)} mode 0100{wanted:o}"


def _rights_commands(rights: Mapping[PurePosixPath, Rights]) -> Iterator[str]:
    for path, right in rights.items():
        yield f"set_inode_field {quoted(path)} mode 0{(stat.S_IFDIR if right.folder else stat.S_IFREG) | right.mode:o}"
        yield f"set_inode_field {quoted(path)} uid {right.uid}"
        yield f"set_inode_field {quoted(path)} gid {right.gid}"


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.lstat().st_size
