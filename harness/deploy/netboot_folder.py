"""A folder of the lab host that is replaced as a whole: written beside, read back, switched by one rename.

Whoever opens a file in it meanwhile gets one of the old tree or one of the new, and who is killed meanwhile leaves one
of the two; what he leaves of the new one lies in a folder beside it, which the next time removes.
"""

import ctypes
import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import attrs

from harness import host
from harness.errors import LabError

AT_FDCWD, RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h
ODD = "not a file"
"""Stands for the digest of what no deploy writes: a device, a pipe, a socket."""
LINK_LIMIT = 16

Content = bytes | Path
"""Bytes, or a file of the host; a link there is written as a link."""


def digests(folder: Path) -> dict[str, str]:
    """Return the digest of all below *folder* but folders, by relative path; no link is followed, not *folder* itself.

    Empty when there is no such folder.
    """
    return {name: digest(path) for name, path in files(folder).items()}


def files(folder: Path) -> dict[str, Path]:
    """Return all below *folder* but folders, by relative path: files, links, and what else there is."""
    return {} if folder.is_symlink() or not folder.is_dir() else dict(_walk(folder, ""))


def digest(content: Content) -> str:
    """Return the SHA-256 of *content*; of a link, where it points."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    mode = content.lstat().st_mode
    if stat.S_ISLNK(mode):
        return f"-> {content.readlink()}"
    return host.sha256(content) if stat.S_ISREG(mode) else ODD


@attrs.frozen
class Replaced:
    """What a folder holds now, by relative path, and what of it had to be written."""

    digests: Mapping[str, str]
    written: tuple[str, ...]


def replace(folder: Path, wanted: Mapping[str, Content]) -> Replaced:
    """Make *folder* hold *wanted*, by relative path, and nothing else.

    What is there already is taken over by a hard link. LabError when the disk is full, or something reads back
    different; *folder* is what it was then.
    """
    before = digests(folder)
    same = {name for name in before.keys() & wanted.keys() if digest(wanted[name]) == before[name]}
    if same == before.keys() == wanted.keys() and folder.is_dir():
        return Replaced(before, ())
    beside, new = beside_of(folder), {name: content for name, content in wanted.items() if name not in same}
    remove(beside)
    try:
        written = _fill(beside, folder, new, kept=same)
        wrong = [name for name, value in written.items() if digest(beside / name) != value]
        if wrong or files(beside).keys() != wanted.keys():
            raise LabError(f"{beside}: {', '.join(wrong[:3]) or 'a file'} reads back different from what was written")
        put(beside, folder)
    except OSError as error:
        raise LabError(f"{folder}: cannot be written: {error}", hint=_hint(error)) from error
    finally:
        remove(beside)
    return Replaced({name: before[name] for name in same} | written, tuple(written))


def put(beside: Path, folder: Path) -> None:
    """Let *beside* take the place of *folder*, all of it on the disk by then; what was there lies in *beside*."""
    host.run(["sync", "-f", beside])
    if folder.is_dir() and not folder.is_symlink():
        _exchange(beside, folder)
    else:
        folder.unlink(missing_ok=True)
        beside.rename(folder)
    handle = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def beside_of(folder: Path) -> Path:
    """Return where the new *folder* is made."""
    return folder.with_name(f".{folder.name}.new")


def remove(path: Path) -> None:
    """Remove a folder with all that is in it, or a file; what is not there is removed already."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)  # follows no link, whatever is swapped under it
    else:
        path.unlink(missing_ok=True)


def inside(root: Path, path: str) -> Path:
    """Return where *path* lies for whoever has *root* for his root folder; links are followed as he would.

    For trees that a board can write to: a link to ``/etc`` there means a folder below *root*.
    """
    at, parts, links = root, list(reversed(PurePosixPath(path).parts)), 0
    while parts:
        part = parts.pop()
        if part in ("/", ".."):
            at = root if part == "/" or at == root else at.parent
        elif (at / part).is_symlink():
            links += 1
            if links > LINK_LIMIT:
                raise LabError(f"{root}: {path} there is a link to itself")
            parts += reversed(PurePosixPath((at / part).readlink()).parts)
        else:
            at /= part
    return at


def checked(name: PurePosixPath | str) -> str:
    """Return *name* if it may be a path below some folder; LabError for one that leads out of it, or into a log."""
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or not str(path).isprintable():
        raise LabError(f"{str(name)!r}: not a name for a file below a folder")
    return str(path)


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path), f"{prefix}{entry.name}/")
            else:
                yield f"{prefix}{entry.name}", Path(entry.path)


def _fill(beside: Path, folder: Path, new: Mapping[str, Content], *, kept: set[str]) -> dict[str, str]:
    """Return the digests of what was written.

    Whatever the umask: a TFTP server gives nobody's files only, and a board is nobody too.
    """
    holding = {PurePosixPath(checked(name).rpartition("/")[0]) for name in (*new, *kept)}
    for path in sorted({PurePosixPath()}.union(holding, *(each.parents for each in holding))):
        (beside / path).mkdir()
        (beside / path).chmod(0o755)
    for name in kept:
        os.link(folder / name, beside / name, follow_symlinks=False)
    return {name: _write(beside / name, content) for name, content in new.items()}


def _write(path: Path, content: Content) -> str:
    """Write a new file, and return the digest of what was written: read once, a thousand modules take half as long."""
    if isinstance(content, Path) and content.is_symlink():
        path.symlink_to(content.readlink())
        return digest(content)
    mode = 0o644
    if isinstance(content, bytes):
        data = content
    elif not content.is_file():
        raise shutil.SpecialFileError(f"{content}: not a file")  # a pipe would be waited for
    else:
        with content.open("rb", buffering=0) as source:
            data = source.readall()
            mode = 0o755 if os.fstat(source.fileno()).st_mode & 0o100 else mode
    with path.open("xb") as sink:
        sink.write(data)
        os.fchmod(sink.fileno(), mode)
    return digest(data)


def _exchange(one: Path, other: Path) -> None:
    """Swap two folders in one step; Python's own rename takes no flags."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(other))


def _hint(error: OSError) -> str:
    return {
        errno.ENOSPC: "free some space: the new tree lies beside the old one until it takes its place",
        errno.EDQUOT: "free some space: the new tree lies beside the old one until it takes its place",
        errno.EACCES: "it must belong to whoever runs pi64",
        errno.EPERM: "it must belong to whoever runs pi64",
        errno.EROFS: "its file system is mounted read-only",
        errno.EINVAL: "its file system cannot swap two folders (ext4, btrfs, xfs and tmpfs can)",
    }.get(error.errno or 0, "")
