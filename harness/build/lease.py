"""Who uses an entry of the cache, and when it was used last: a mark beside it that each user locks and touches.

The mark of ``kernels/ab12`` is ``kernels/ab12.used``: its time is that of the last use, its text the size in bytes, and
whoever uses the entry holds a shared lock on it until its process ends, however it ends.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SUFFIX = ".used"
_HELD: dict[Path, int] = {}
"""Mark -> file descriptor, which is never closed: nobody can tell when the last path into an entry is forgotten."""


def hold(entry: Path) -> None:
    """Note that *entry* is used now, and keep it from being pruned as long as this process lives.

    Call it before looking into *entry*: what is still there then will stay there.
    """
    mark = _mark(entry)
    if not (mark in _HELD and _is(_HELD[mark], mark)):
        _HELD[mark] = _share(mark)
    os.utime(mark)


def forget(entry: Path) -> None:
    """Take back what `hold` did, for an *entry* that this process alone knew and that is gone."""
    mark = _mark(entry)
    mark.unlink(missing_ok=True)
    if mark in _HELD:
        os.close(_HELD.pop(mark))


@contextmanager
def alone(entry: Path) -> Iterator[bool]:
    """Yield whether nobody uses *entry*; while the block runs nobody begins to."""
    mark = _mark(entry)
    existed = mark.exists()
    with mark.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        try:
            yield True
        finally:
            if not existed or not entry.exists():
                mark.unlink(missing_ok=True)


def used(entry: Path) -> float:
    """Return when *entry* was used last, in seconds since 1970; of one without a mark: when it was put there."""
    try:
        return _mark(entry).stat().st_mtime
    except OSError:
        return entry.lstat().st_ctime


def size(entry: Path) -> int:
    """Return the bytes that *entry* takes on the disk, as they were measured last."""
    try:
        return int(_mark(entry).read_text())
    except (OSError, ValueError):
        return measure(entry)


def measure(entry: Path) -> int:
    """Count the bytes that *entry* takes on the disk, and remember them."""
    total, mark, when = bytes_below(entry), _mark(entry), used(entry)
    with suppress(OSError):  # a mark is a convenience: a full disk shall not stop anybody from looking
        mark.write_text(str(total))
        os.utime(mark, (when, when))
    return total


def bytes_below(folder: str | Path) -> int:
    """Count the bytes that all files below *folder* take on the disk."""
    total = 0
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    total += bytes_below(entry.path)
                else:
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total


def _mark(entry: Path) -> Path:
    return entry.with_name(entry.name + SUFFIX)


def _share(mark: Path) -> int:
    while True:
        handle = os.open(mark, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(handle, fcntl.LOCK_SH)
        if _is(handle, mark):
            return handle
        os.close(handle)  # pruned between the two calls: this lock is on a file that no longer has a name


def _is(handle: int, mark: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), mark.stat())
    except OSError:
        return False
