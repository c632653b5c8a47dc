"""A base image as two folders: the boot partition for a TFTP server, the root filesystem for an NFS server.

debugfs copies the files out of the image, which takes neither a mount nor a loop device. Owners and modes are set here:
debugfs changes the owner after the mode, and with that a program like sudo loses its set-user-id bit. Extended
attributes (file capabilities) stay behind, as NFSv3 has none; so do device nodes, which devtmpfs makes at each boot.
"""

import os
import stat
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath

import attrs

from harness import host
from harness.card.debugfs import Debugfs, quoted
from harness.card.ext4 import Ext4Partition, Node
from harness.card.fat import FatPartition
from harness.deploy import netboot_folder
from harness.errors import LabError, UsageError
from harness.host import Progress
from harness.model import BaseImage

STILL_DAMAGED = "WARNING: Filesystem still has errors"  # e2fsck's last word, when it is not allowed to repair
RECIPE = 1
"""Raise when the same base image must give other folders."""
ON_THE_CARD = frozenset({"/", "/boot", "/boot/firmware", "none", "swap"})
"""Mount points of what a board without a card has not got; the last two are how swap is written."""
OUT = "# not on a board that boots by network: "


@attrs.frozen
class Unpacked:
    """A base image, copied out into folders that nobody writes to."""

    boot: Path
    root: Path


def unpack(base: BaseImage, progress: Progress) -> Unpacked:
    """Return *base* as folders, from the cache or made now (2 s for 130 MB).

    LabError when the image is damaged, or when this process may not give files to their owners, which takes root.
    """
    cache = host.cache_dir("netboot")
    cache.chmod(0o700)  # a copy of /etc/shadow lies there, and programs that are root's for everybody
    folder = cache / f"{base.digest[:16]}-{RECIPE}"
    with host.locked(folder.with_suffix(".lock")):
        if not folder.exists():
            host.need_space(cache, base.path.stat().st_blocks * 512, "the base image as folders")
            progress("deploy: unpacking the base image")
            beside = netboot_folder.beside_of(folder)
            netboot_folder.remove(beside)
            try:
                _unpack(base, beside)
                netboot_folder.put(beside, folder)
            finally:
                netboot_folder.remove(beside)
    return Unpacked(folder / "boot", folder / "root")


def make(source: Path, root: Path, progress: Progress) -> None:
    """Make *root* a copy of the folder *source*; what lies there is replaced. The copy shares no file with it."""
    host.need_space(root.parent, _disk_bytes(source), "a board's root filesystem")
    progress("deploy: copying the root filesystem")
    beside = netboot_folder.beside_of(root)
    netboot_folder.remove(beside)
    try:
        host.run(["cp", "-a", "--reflink=auto", source, beside])
        netboot_folder.put(beside, root)
    finally:
        netboot_folder.remove(beside)


def for_network(fstab: str) -> str:
    """Return *fstab* without what lies on the card, which systemd would wait for; the lines stay as comments."""
    lines = []
    for line in fstab.splitlines():
        fields = line.split()
        gone = len(fields) > 2 and not line.lstrip().startswith("#") and fields[1] in ON_THE_CARD
        lines.append(f"{OUT}{line}" if gone else line)
    return "".join(f"{line}\n" for line in lines)


def _unpack(base: BaseImage, folder: Path) -> None:
    (folder / "root").mkdir(parents=True)
    fat = FatPartition(base.path, base.boot_offset)
    contents = fat.read_many(sizes := fat.sizes())
    netboot_folder.replace(
        folder / "boot", {netboot_folder.checked(path): contents[str(path).lower()] for path in sizes}
    )
    _copy_root(base, folder / "root")
    fstab = netboot_folder.inside(folder / "root", "/etc/fstab")
    if fstab.is_file():
        fstab.write_text(for_network(fstab.read_text(errors="surrogateescape")), errors="surrogateescape")


def _copy_root(base: BaseImage, root: Path) -> None:
    part = Ext4Partition(base.path, base.root_offset)
    _need_sound(base)
    nodes = part.walk("/")
    _need_rights(root, {(node.uid, node.gid) for node in nodes.values()})
    Debugfs(base.path, base.root_offset).read([f'rdump "/" {quoted(root)}'])
    root.chmod(0o755)
    netboot_folder.remove(root / "lost+found")
    _set_owners(root, {path: node for path, node in nodes.items() if path.parts[1] != "lost+found"})


def _need_sound(base: BaseImage) -> None:
    """Raise UsageError for a damaged root filesystem: debugfs trusts the names in it, and follows ``..`` anywhere."""
    said = host.run(["e2fsck", "-f", "-n", f"{base.path}?offset={base.root_offset}"], accept=(0, 4)).decode("latin-1")
    if STILL_DAMAGED in said:
        raise UsageError(
            f"{base.origin}: the root filesystem of {base.path} is damaged",
            evidence=[line for line in said.splitlines() if line and not line.startswith("Pass ")][:8],
            hint="unpack or download the image again",
        )


def _need_rights(folder: Path, owners: Collection[tuple[int, int]]) -> None:
    """Raise LabError unless this process may give files in *folder* to all of *owners* (user, group)."""
    probe = folder / "probe"
    probe.touch()
    for user, group in sorted(owners):
        try:
            os.chown(probe, user, group)
        except OSError as error:
            raise LabError(
                f"{folder}: no file can be given to user {user}, group {group}: {error.strerror}",
                hint="run pi64 as root where a target boots by network: its root filesystem belongs to many users",
            ) from error
    probe.unlink()


def _set_owners(root: Path, nodes: Mapping[PurePosixPath, Node]) -> None:
    """Give each file its owner and mode, and read both back; folders last, for a mode may forbid to go in."""
    for path, node in reversed(list(nodes.items())):
        there = root / path.relative_to("/")
        if stat.S_IFMT(node.mode) not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
            continue
        os.lchown(there, node.uid, node.gid)
        if not node.is_link:
            there.chmod(stat.S_IMODE(node.mode))
        _check(there, node)


def _check(there: Path, node: Node) -> None:
    found = there.lstat()
    mode = found.st_mode if node.is_link else node.mode
    size = node.size_bytes if node.is_dir else found.st_size
    wanted = (mode, node.uid, node.gid, node.size_bytes)
    if (found.st_mode, found.st_uid, found.st_gid, size) != wanted:
        raise LabError(f"{there}: is not as in the base image: mode {found.st_mode:o} there, {node.mode:o} here")


def _disk_bytes(folder: Path) -> int:
    return sum(Path(top, name).lstat().st_blocks * 512 for top, _, names in os.walk(folder) for name in names)
