"""Archives from elsewhere: all that is in one comes to lie below one new folder, or nothing does.

tarfile only reads the headers. Every file is written here, and links are made last, when nothing is written any more:
so no name, link or mode in an archive is obeyed before it has been looked at. Refused are absolute names, ``..``,
control characters, devices, sockets and pipes, links that lead out (followed through all other links of the archive),
hard links to anything but a file of the archive, a name that comes twice, and more bytes or members than allowed.
Owners are dropped; of the modes only "executable" is kept, so nothing is setuid.
"""

import errno
import fnmatch
import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import attrs

from harness import host
from harness.errors import LabError, UsageError
from harness.report.redact import printable

UNPACKERS = {
    b"\xfd7zXZ\0": ("xz", "--decompress", "--stdout"),
    b"\x1f\x8b": ("gzip", "--decompress", "--stdout"),
    b"BZh": ("bzip2", "--decompress", "--stdout"),
    b"\x28\xb5\x2f\xfd": ("zstd", "--decompress", "--stdout"),
    b"!<arch>\n": ("dpkg-deb", "--fsys-tarfile", "-"),
}
"""First bytes of an archive -> what makes a plain tar of it, from standard input; anything else is a plain tar."""
LIMIT_BYTES = 16 * 2**30
"""A kernel tree has 1.6 GB, the modules of a distribution's kernel with debug information 5 GB."""
LIMIT_MEMBERS = 1_000_000
HEADERS = 2**20  # bytes that the headers between two files may have; ordinary ones have 512 to 2048
LONGEST = 1024  # characters of a name or of a link's target
HOPS = 40  # links that Linux follows in one path
LATEST = 2**32 - 1  # seconds since 1970; file systems know no later time
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES, errno.EROFS, errno.EMFILE})
"""Errors that are this host's fault, not the archive's."""


def unpack(
    archive: Path,
    folder: Path,
    *,
    leave_out: Sequence[str] = (),
    limit_bytes: int = LIMIT_BYTES,
    limit_members: int = LIMIT_MEMBERS,
    progress: host.Progress = host.silent,
) -> None:
    """Unpack *archive* (a tar, also .xz, .gz, .bz2, .zst, or a Debian package) as the new *folder*.

    *folder* must not exist; it appears under its name when it is complete. *leave_out* holds patterns of names
    (``lib/modules/*/build``; ``*`` matches ``/`` too) that are passed over, whatever they are. UsageError for an
    archive that is damaged or refused, LabError when the disk is full or the program for its compression is missing.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with scratch(folder.parent) as beside:
        tree = _Tree(beside, limit_bytes, limit_members)
        try:
            _take_all(archive, tree, leave_out, progress)
            tree.link()
            beside.rename(folder)
        except _Refusal as error:
            hint = "use an archive that you trust"
            raise UsageError(printable(f"{archive}: refused because of {error}"), hint=hint) from error
        except OSError as error:
            if error.errno in DISK:
                raise LabError(f"{archive}: cannot be unpacked into {folder.parent}: {error.strerror}") from error
            raise UsageError(printable(f"{archive}: cannot be unpacked: {error}")) from error


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """Yield a new folder in *parent*; whatever is still there under its name is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=parent))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _take_all(archive: Path, tree: "_Tree", leave_out: Sequence[str], progress: host.Progress) -> None:
    size = archive.stat().st_size
    with archive.open("rb", buffering=0) as file, _plain(archive, file) as stream:
        for number, (member, content) in enumerate(_members(stream)):
            name = _name(member.name)
            if name and not any(fnmatch.fnmatchcase(name, pattern) for pattern in leave_out):
                tree.take(member, name, content)
            if number % 1000 == 0:  # the unpacking program reads through the same open file: its position is ours
                progress(f"unpacking {archive.name}: {os.lseek(file.fileno(), 0, os.SEEK_CUR) / max(size, 1):.0%}")


# --- reading ---------------------------------------------------------------------------------------------------------
@attrs.define
class _Stream:
    """A plain tar that gives no more bytes than were granted: a header of gigabytes would be read into memory."""

    file: IO[bytes]
    granted: int = HEADERS

    def read(self, size: int) -> bytes:
        """Return up to *size* bytes, as tarfile asks for them."""
        if self.granted <= 0:
            raise tarfile.ReadError(f"headers of more than {HEADERS} bytes")
        data = self.file.read(size)
        self.granted -= len(data)
        return data


@contextmanager
def _plain(archive: Path, file: io.FileIO) -> Iterator[_Stream]:
    """Yield the plain tar in *archive*; UsageError for damage, in the words of the program that unpacks it."""
    start = file.read(8)
    file.seek(0)
    command = next((command for magic, command in UNPACKERS.items() if start.startswith(magic)), ("cat",))
    argv, environment = [host.find(command[0]), *command[1:]], {**os.environ, "LC_ALL": "C"}
    damage, surplus = "", False
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(argv, stdin=file, stdout=subprocess.PIPE, stderr=said, env=environment)
        assert process.stdout is not None
        try:
            yield _Stream(process.stdout)
            surplus = len(process.stdout.read(HEADERS)) == HEADERS  # else what fills the last block
        except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
            damage = str(error) or type(error).__name__
        finally:
            process.stdout.close()
            status = process.wait()
        said.seek(0)
        lines = said.read(4096).decode(errors="replace").splitlines()[-3:]
    if status or damage or surplus:
        evidence = lines or [damage or "more data behind the end of the archive"]
        hint = "download it again, or check its checksum"
        raise UsageError(f"{archive}: cannot be unpacked", hint=hint, evidence=[printable(line) for line in evidence])


def _members(stream: _Stream) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    """Yield what is in the tar, each with its content."""
    with tarfile.open(fileobj=stream, mode="r|", errorlevel=2) as tar:  # type: ignore[call-overload]  # `read` is all
        for member in tar:
            if member.size < 0:
                raise tarfile.ReadError(f"a member of {member.size} bytes")
            stream.granted += member.size + HEADERS
            yield member, tar.extractfile(member) if member.isreg() else io.BytesIO()
            tar.members.clear()  # it would keep them all


def _name(raw: str) -> str:
    """Return the name without ``./`` and trailing slashes, empty for the top folder; _Refusal if it leads elsewhere."""
    parts = [part for part in raw.split("/") if part not in ("", ".")]
    if raw.startswith("/"):
        raise _Refusal(f"the absolute name {raw}")
    if ".." in parts:
        raise _Refusal(f"the name {raw}, which leads out")
    if len(raw) > LONGEST or CONTROL.search(raw):
        raise _Refusal(f"the name {raw[:80]!r}: longer than {LONGEST} characters, or with control characters")
    return "/".join(parts)


# --- writing ---------------------------------------------------------------------------------------------------------
class _Refusal(Exception):
    """What an archive must not hold."""


@attrs.define
class _Tree:
    """What has been taken out of an archive so far; no link is on the disk before all files are."""

    root: Path
    limit_bytes: int
    limit_members: int
    folders: set[str] = attrs.Factory(lambda: {""})
    files: set[str] = attrs.Factory(set)
    links: dict[str, str] = attrs.Factory(dict)

    def take(self, member: tarfile.TarInfo, name: str, content: IO[bytes]) -> None:
        """Put one member into its place."""
        self.limit_bytes -= member.size
        self.limit_members -= 1
        if self.limit_bytes < 0 or self.limit_members < 0:
            raise _Refusal(f"what is in it from {name} on: more bytes or files than allowed")
        if member.isdir():
            self._folder(name)
            return
        self._folder(name.rpartition("/")[0])
        if name in self.folders or name in self.files or name in self.links:
            raise _Refusal(f"{name}, which comes twice")
        if member.issym():
            self.links[name] = member.linkname
        elif member.isreg() or member.islnk():
            self._file(member, name, content)
        else:
            raise _Refusal(f"special file {name}")

    def link(self) -> None:
        """Make all links; _Refusal before any is made when one of them leads out."""
        for name, target in self.links.items():
            if len(target) > LONGEST or CONTROL.search(target) or leads_out(name, self.links):
                raise _Refusal(f"link {name} -> {target[:80]}, which leads out")
        for name, target in self.links.items():
            (self.root / name).symlink_to(target)

    def _folder(self, name: str) -> None:
        if name in self.folders:
            return
        if name in self.files or name in self.links:
            raise _Refusal(f"{name}, a file or link that has files below it")
        self._folder(name.rpartition("/")[0])
        (self.root / name).mkdir()
        self.folders.add(name)

    def _file(self, member: tarfile.TarInfo, name: str, content: IO[bytes]) -> None:
        path = self.root / name
        self.files.add(name)
        if member.islnk():
            target = _name(member.linkname)
            if target not in self.files:
                raise _Refusal(f"hard link {name} -> {target}, which is no file of the archive before it")
            path.hardlink_to(self.root / target)
            return
        with path.open("xb") as file:
            shutil.copyfileobj(content, file, 2**18)
            os.fchmod(file.fileno(), 0o755 if member.mode & 0o100 else 0o644)
        seconds = min(max(member.mtime, 0), LATEST)
        os.utime(path, (seconds, seconds))


def leads_out(name: str, links: Mapping[str, str]) -> bool:
    """Return whether the link *name* ends outside of the folder that holds *links*, followed as Linux follows it."""
    here = name.split("/")[:-1]
    ahead = links[name].split("/")[::-1]
    hops = 0
    if links[name].startswith("/"):
        return True
    while ahead:
        part = ahead.pop()
        if part == ".." and not here:
            return True
        if part == "..":
            here.pop()
        elif part not in ("", "."):
            here.append(part)
            target = links.get("/".join(here))
            if target is not None:
                hops += 1
                if target.startswith("/") or hops > HOPS:
                    return True
                here.pop()
                ahead.extend(target.split("/")[::-1])
    return False
