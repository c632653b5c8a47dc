"""Kernel tarballs: their digest, and the folder in the cache where each is unpacked once."""

import hashlib
import re
from pathlib import Path
from urllib.parse import urlsplit

from harness import host
from harness.build import archive, download, lease
from harness.build.address import Address
from harness.errors import UsageError

GROWTH = 13
"""Unpacked size over packed size; Linux as ``.tar.xz`` has 11.5."""


def digest(tarball: Path) -> str:
    """Return the SHA-256 of *tarball*; remembered by path, size and mtime, since reading 150 MB takes half a second."""
    state = tarball.stat()
    identity = f"{tarball}\0{state.st_size}\0{state.st_mtime_ns}"
    memo = host.cache_dir("sources", "digests") / hashlib.sha256(identity.encode()).hexdigest()[:32]
    known = memo.read_text() if memo.is_file() else ""
    if not re.fullmatch(r"[0-9a-f]{64}", known):
        known = host.sha256(tarball)
        host.write_atomic(memo, known.encode())
    return known


def fetched(address: Address, progress: host.Progress) -> Path:
    """Return the tarball that lies at a URL, from the cache or fetched now; one that was damaged since is replaced."""
    name = re.sub(r"[^\w.+-]", "_", urlsplit(address.where).path.rpartition("/")[2], flags=re.ASCII)
    sha256 = str(address.sha256)
    target = host.cache_dir("downloads") / f"{sha256[:16]}-{name}"
    if target.is_file() and digest(target) != sha256:
        target.unlink()
    return download.fetch(address.where, sha256, target, progress)


def verify(tarball: Path, wanted: str | None) -> str:
    """Return the SHA-256 of *tarball*; UsageError when another one is *wanted*."""
    found = digest(tarball)
    if wanted not in (None, found):
        evidence = [f"wanted SHA-256 {wanted}", f"found  SHA-256 {found}"]
        raise UsageError(f"{tarball}: not the file that was asked for", hint="correct one of them", evidence=evidence)
    return found


def tree(tarball: Path, sha256: str, progress: host.Progress) -> Path:
    """Return the tree in *tarball*, unpacked into the cache unless it lies there already, and kept from being pruned.

    The folder appears under its name only when complete, so an interrupted run leaves nothing that looks whole.
    """
    sources = host.cache_dir("sources").resolve()
    target = sources / f"tar-{sha256[:16]}"
    lease.hold(target)
    if target.is_dir():
        return target
    with host.locked(sources / f"tar-{sha256[:16]}.lock"):
        if not target.is_dir():
            host.need_space(sources, tarball.stat().st_size * GROWTH, f"unpacking {tarball.name}")
            with archive.scratch(sources) as beside:
                archive.unpack(tarball, beside / "tree", progress=lambda text: progress(f"source: {text}"))
                _top(beside / "tree").rename(target)
    return target


def _top(folder: Path) -> Path:
    """Return the one folder in *folder* if there is nothing beside it, as in every released kernel, else *folder*."""
    entries = list(folder.iterdir())
    return entries[0] if len(entries) == 1 and entries[0].is_dir() and not entries[0].is_symlink() else folder
