"""There is room for builds, images, cards and records, and they can be written."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs

from harness import host
from harness.deadline import within
from harness.errors import LabError
from harness.lab.doctor.answer import Answer, fault, ok
from harness.lab.doctor.bench import Bench

ORDER = 40
ASK_S = 3.0  # a network disk that is gone answers never
MIB = 2**20
LEAST_INODES = 50_000  # a kernel tree has some 90,000 files, its objects 20,000
NEEDS_MIB = {"cache": 3072, "records": 100, "temporary files": 500}
"""The first run leaves 2.5 GiB in the cache (tree 1.7, image and card 0.5, objects 0.2); a record is below 1 MiB."""


@attrs.frozen
class Space:
    """What a file system has left."""

    free_bytes: int
    free_inodes: int
    """-1 where the file system does not count them."""
    read_only: bool = False
    writable: bool = True
    """Whether this user may write into the folder."""


def look(bench: Bench) -> Iterator[Answer]:
    """Ask the file systems below the folders that pi64 writes to."""
    folders = {"cache": host.cache_dir(), "records": bench.runs, "temporary files": Path(tempfile.gettempdir())}
    for purpose, folder in folders.items():
        there = next(path for path in (folder.absolute(), *folder.absolute().parents) if _is_there(path))
        subject = f"{purpose} in {folder}"
        try:
            space = within(ASK_S, lambda there=there: measure(there), str(there))  # type: ignore[misc]
        except (LabError, OSError) as error:
            yield fault(subject, str(error), "is it a network disk whose server is gone?")
        else:
            yield judge(subject, space, need_mib=NEEDS_MIB[purpose])


def judge(subject: str, space: Space, *, need_mib: int) -> Answer:
    """Judge what is left in one place."""
    free = space.free_bytes / MIB
    if space.read_only:
        return fault(subject, "its file system is read-only", "`dmesg` says why; a disk with errors is mounted so")
    if not space.writable:
        return fault(subject, "this user may not write there", "correct its owner, or name another folder")
    if free < need_mib:
        remedy = "free some space (`pi64 cache prune`), or point PI64_CACHE, --runs or TMPDIR at a larger disk"
        return fault(subject, f"{free:.0f} MiB free, {need_mib} MiB are needed", remedy)
    if 0 <= space.free_inodes < LEAST_INODES:
        remedy = "remove small files, or take a larger file system"
        return fault(subject, f"{space.free_inodes} files can still be made, a kernel tree has more", remedy)
    return ok(subject, f"{free / 1024:.1f} GiB free")


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # in a folder that this user may not enter
        return False


def measure(folder: Path) -> Space:
    """Return what is left where *folder* lies."""
    found = os.statvfs(folder)
    return Space(
        found.f_bavail * found.f_frsize,
        found.f_favail if found.f_files else -1,
        bool(found.f_flag & os.ST_RDONLY),
        os.access(folder, os.W_OK),
    )
