"""Kernel tarballs: their digest, and the folder in the cache where each is unpacked once."""

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import host
from harness.errors import LabError, UsageError

GROWTH = 13
"""Unpacked size over packed size; Linux as ``.tar.xz`` has 11.5."""


def digest(tarball: Path) -> str:
    """Return the SHA-256 of *tarball*; remembered by path, size and mtime, since reading 150 MB takes half a second."""
    state = tarball.stat()
    identity = f"{tarball}\0{state.st_size}\0{state.st_mtime_ns}"
    memo = host.cache_dir("sources", "digests") / hashlib.sha256(identity.encode()).hexdigest()[:32]
    if not memo.is_file():
        host.write_atomic(memo, host.sha256(tarball).encode())
    return memo.read_text()


def unpack(tarball: Path, sha256: str, progress: host.Progress) -> Path:
    """Return the tree in *tarball*, unpacked into the cache unless it lies there already.

    The folder appears under its name only when complete, so an interrupted run leaves nothing that looks whole.
    """
    sources = host.cache_dir("sources").resolve()
    target = sources / f"tar-{sha256[:16]}"
    if target.is_dir():
        return target
    with host.locked(sources / f"tar-{sha256[:16]}.lock"):
        if not target.is_dir():
            host.need_space(sources, tarball.stat().st_size * GROWTH, f"unpacking {tarball.name}")
            progress(f"source: unpacking {tarball.name} ({tarball.stat().st_size / 2**20:.0f} MiB)")
            with _scratch(sources) as scratch:
                _extract(tarball, scratch)
                _top(scratch).rename(target)
    return target


def _extract(tarball: Path, folder: Path) -> None:
    """Unpack; tar itself strips leading slashes, and refuses ``..`` and links that would lead it out."""
    options = ["--no-same-owner", "--no-same-permissions"]
    command = ["tar", "--extract", *options, "--file", str(tarball), "--directory", str(folder)]
    try:
        host.run(command, env={"LC_ALL": "C"})
    except LabError as error:
        if any("No space left" in line for line in error.evidence):
            raise
        hint = "download it again, or check its checksum"
        raise UsageError(f"{tarball}: cannot be unpacked", hint=hint, evidence=error.evidence[-3:]) from error
    for odd in _odd_entries(folder):
        raise UsageError(f"{tarball}: refused: {odd} has no place in a source tree", hint="use a tarball you trust")


def _odd_entries(folder: Path) -> Iterator[str]:
    """Yield what is neither file, folder nor a link that stays inside."""
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(parent, name)
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                if not path.resolve().is_relative_to(folder.resolve()):
                    yield f"link {path.relative_to(folder)} -> {path.readlink()}"
            elif not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                yield f"special file {path.relative_to(folder)}"


def _top(folder: Path) -> Path:
    """Return the one folder in *folder* if there is nothing beside it, as in every released kernel, else *folder*."""
    entries = list(folder.iterdir())
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else folder


@contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=parent))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
