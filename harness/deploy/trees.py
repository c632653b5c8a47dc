"""Two folders on a board, a slot and the modules of its kernel: what is wanted, what is there, what has to go over.

In the slot lies a list of both: ``pi64.sums``, which ``sha256sum -c`` understands, and ``pi64.stat`` with size and time
of each file as they were when the list was written. Where they are the same still, a file is what the list says. While
a deploy is at work there is no list, and nothing is believed without reading it.
"""

import gzip
import hashlib
import io
import re
import tarfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import IO

import attrs

from harness.bootfs import slots
from harness.deploy import listing
from harness.deploy.listing import LINK
from harness.errors import DeployError
from harness.model import BootFiles

MODULES = "lib/modules"
RELEASE = re.compile(r"\d[\w.+~:-]*", re.ASCII)  # no kernel's is a path
ODD = re.compile(r"[\\\n\r\t\0]")  # what would not stand in a list as it is
BLOCK = 4096  # bytes; files take whole ones
SPARE_BYTES = 1 << 20  # for the lists, and for what a FAT needs for itself
PACKED = 1  # gzip's least: a Pi's network is slower than either end at that


@attrs.frozen
class Piece:
    """One file as it shall be; a link where *digest* begins with LINK."""

    digest: str
    size_bytes: int
    source: Path | None = None
    data: bytes | None = None


@attrs.frozen
class Wanted:
    """All that shall lie in a slot and in the folder of its modules."""

    release: str
    slot: str
    """Below the root: ``boot/pi64``."""
    files: Mapping[str, Piece]
    """By their path below the root."""
    config: bytes
    """The config.txt that starts it; it is no file of the slot."""

    @property
    def body(self) -> str:
        """The list of the files, as ``sha256sum -c`` takes it in the root folder."""
        lines = (
            f"# {name} {piece.digest}" if piece.digest.startswith(LINK) else f"{piece.digest}  {name}"
            for name, piece in self.files.items()
        )
        return "".join(f"{line}\n" for line in lines)

    @property
    def key(self) -> str:
        """What tells this list from any other."""
        return hashlib.sha256(self.body.encode()).hexdigest()[:32]

    def within(self, name: str) -> bool:
        """Tell whether file *name* lies in one of the two folders, and not beside them on the boot partition."""
        return name.startswith((f"{self.slot}/", f"{MODULES}/{self.release}/"))

    def is_module(self, name: str) -> bool:
        """Tell whether *name* lies in the folder of the modules."""
        return name.startswith(f"{MODULES}/{self.release}/")


@attrs.frozen
class There:
    """What a board says about the two folders."""

    listed: Mapping[str, str] = attrs.field(factory=dict)
    """Digests by the list."""
    then: Mapping[str, str] = attrs.field(factory=dict)
    """What stat said of each file when the list was written."""
    now: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def known(self) -> dict[str, str]:
        """The digests that can be believed: of files that nobody has touched since they were listed."""
        links = {name: LINK + line.split("\t")[3] for name, line in self.now.items() if line.startswith("l\t")}
        same = {name: digest for name, digest in self.listed.items() if name in self.now}
        return links | {name: digest for name, digest in same.items() if self.then.get(name) == self.now[name]}

    def size_bytes(self, name: str) -> int:
        """Return what file *name* takes now."""
        return int(self.now[name].split("\t")[1]) if name in self.now else 0


@attrs.frozen
class Work:
    """What has to be done to bring one to the other."""

    write: tuple[str, ...]
    gone: tuple[str, ...]
    """Files of the two folders that are not wanted there."""


# --- what is wanted --------------------------------------------------------------------------------------------------
def gather(files: BootFiles, boot: str) -> Wanted:
    """Return what *files*, composed for a slot, want below the root; *boot* is the boot partition's folder, ``/boot``.

    DeployError for a release or a name that could not be written down.
    """
    folder, pieces, config = boot.strip("/"), {}, b""
    digests = listing.boot(files)
    for file in files.files:
        if str(file.path) == slots.CONFIG:
            config = file.read()
        else:
            size = file.source.stat().st_size if file.source else len(file.read())
            pieces[f"{folder}/{file.path}"] = Piece(digests[str(file.path)], size, file.source, file.data)
    pieces |= _modules(files.modules_root)
    odd = next((name for name in pieces if ODD.search(name)), None)
    if odd or not RELEASE.fullmatch(files.release):
        raise DeployError(f"kernel {files.release!r}: a name that cannot be deployed: {odd or files.release!r}")
    return Wanted(files.release, f"{folder}/{files.os_prefix.rstrip('/')}", pieces, config)


def _modules(root: Path) -> dict[str, Piece]:
    return {
        name: Piece(digest, 0 if digest.startswith(LINK) else (root / name).stat().st_size, root / name)
        for name, digest in listing.digests(root).items()
    }


# --- what is there ---------------------------------------------------------------------------------------------------
def parse(detail: bytes) -> There:
    """Read what ``detail`` of remote.sh says; what is no list entry is passed over."""
    sums, _, rest = detail.partition(b"\0@then\0")
    before, _, after = rest.partition(b"@now\0")
    text = sums.removeprefix(b"@sums\0").decode("utf-8", "surrogateescape")
    return There(dict(_listed(text)), _stated(before), _stated(after))


def _listed(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        digest, _, name = line.partition("  ")
        if re.fullmatch(r"[0-9a-f]{64}", digest) and name:
            yield name, digest


def _stated(records: bytes) -> dict[str, str]:
    """Return ``type, size, time, link, ./path`` by path."""
    found = {}
    for record in records.decode("utf-8", "surrogateescape").split("\0"):
        fields = record.split("\t")
        if len(fields) == 5 and fields[1].isdecimal():
            found[fields[4].removeprefix("./")] = record
    return found


def parse_sums(output: bytes) -> dict[str, str]:
    """Read what ``sha256sum -z`` says."""
    records = (record.partition("  ") for record in output.decode("utf-8", "surrogateescape").split("\0"))
    return {name: digest for digest, _, name in records if name}


def parse_free(df: bytes) -> list[tuple[str, int]]:
    """Return mount point and free bytes of each line of ``df -Pk``."""
    rows = [line.split(None, 5) for line in df.decode(errors="replace").splitlines()[1:]]
    return [(row[5], int(row[3]) * 1024) for row in rows if len(row) == 6 and row[3].isdecimal()]


# --- what has to be done ---------------------------------------------------------------------------------------------
def unsure(wanted: Wanted, there: There) -> list[str]:
    """Return which of the wanted files may be there already, so that only reading them can tell."""
    known = there.known
    return [name for name in wanted.files if name not in known and (name in there.now or not wanted.within(name))]


def compare(wanted: Wanted, there: There, read: Mapping[str, str]) -> Work:
    """Return what to do; *read* are the digests of files that had to be read."""
    known = there.known | dict(read)
    write = [name for name, piece in wanted.files.items() if known.get(name) != piece.digest]
    return Work(tuple(write), tuple(name for name in there.now if name not in wanted.files))


def need_bytes(wanted: Wanted, there: There, names: Collection[str]) -> int:
    """Return how much more *names* will take than what lies there under these names."""
    grown = (_blocks(wanted.files[name].size_bytes) - _blocks(there.size_bytes(name)) for name in names)
    return sum(grown) + SPARE_BYTES


def _blocks(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


# --- what goes over --------------------------------------------------------------------------------------------------
def pack(wanted: Wanted, names: Collection[str], into: IO[bytes]) -> None:
    """Write *names* to *into* as a packed tar, with the list, and what is to be read back of them."""
    lists = {
        "run/pi64.sums": f"# pi64 {wanted.key} {wanted.release}\n{wanted.body}",
        "run/pi64.check": "".join(
            f"{wanted.files[name].digest}  {name}\n" for name in names if not wanted.files[name].digest.startswith(LINK)
        ),
    }
    with (
        gzip.GzipFile(fileobj=into, mode="wb", compresslevel=PACKED, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.GNU_FORMAT) as archive,
    ):
        for name, text in lists.items():
            _add(archive, name, Piece("", len(text.encode()), data=text.encode()))
        for name in names:
            _add(archive, name, wanted.files[name])


def _add(archive: tarfile.TarFile, name: str, piece: Piece) -> None:
    member = tarfile.TarInfo(name)
    member.mode = 0o755  # as a mounted FAT shows its files; of modules nobody looks at it
    if piece.digest.startswith(LINK):
        member.type, member.linkname = tarfile.SYMTYPE, piece.digest.removeprefix(LINK)
        archive.addfile(member)
        return
    member.size = piece.size_bytes
    if piece.data is not None:
        archive.addfile(member, io.BytesIO(piece.data))
    else:
        assert piece.source is not None
        with piece.source.open("rb") as file:
            archive.addfile(member, file)
