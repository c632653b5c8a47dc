"""What the build room has in the cache, what of it may go, and the bound that it is kept to.

Kernels, object trees and unpacked sources can be made again from what is elsewhere; the one used longest ago goes
first, and nothing goes that a running process uses. All else below the cache folder is listed and left alone: mirrors,
toolchains and base images are dear, and ccache bounds itself.
"""

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import attrs

from harness import host
from harness.build import lease, store
from harness.errors import UsageError

LIMIT = "PI64_CACHE_SIZE"
"""Environment variable: how much may lie there, e.g. ``50G``."""
DEFAULT_LIMIT = "20G"
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
SPANS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
LEFTOVER_S = 60.0
"""After that a nameless folder that nobody uses is what a killed process left; a new one is about to be locked."""
FOREIGN_LEFTOVER_S = 86_400.0
"""The same where whoever fills it does not lock it."""
KERNEL, OBJECTS, SOURCE = "kernel", "objects", "source"


@attrs.frozen
class Entry:
    """One thing in the cache that can go."""

    kind: str
    path: Path
    release: str
    """Of the kernel in it, as far as there is one."""
    size_bytes: int
    used: float
    """When it was used last, seconds since 1970."""

    @property
    def key(self) -> str:
        """What names it among those of its kind."""
        parent = self.path.parent.name  # one folder a repository, one below it a commit
        return f"{parent}/{self.path.name}" if parent.startswith("git-") else self.path.name


# --- what is there ---------------------------------------------------------------------------------------------------
def entries() -> list[Entry]:
    """Return all that can go, the one used longest ago first."""
    found = []
    for kind, path, release in [*_kernels(), *_objects(), *_sources()]:
        with suppress(FileNotFoundError):  # somebody prunes at this moment
            found.append(Entry(kind, path, release, lease.size(path), lease.used(path)))
    return sorted(found, key=lambda entry: entry.used)


def kept() -> dict[str, int]:
    """Return what is never pruned here: name of the folder below the cache -> bytes it takes."""
    ours = {"kernels", "objects", "sources"}
    folders = sorted(path for path in host.cache_dir().iterdir() if path.is_dir() and path.name not in ours)
    return {path.name: lease.bytes_below(path) for path in folders}


def _kernels() -> Iterator[tuple[str, Path, str]]:
    for path in _folders(host.cache_dir("kernels")):
        yield KERNEL, path, store.release(path)


def _objects() -> Iterator[tuple[str, Path, str]]:
    for path in _folders(host.cache_dir("objects")):
        release = path / "include/config/kernel.release"
        yield OBJECTS, path, release.read_text().strip() if release.is_file() else ""


def _sources() -> Iterator[tuple[str, Path, str]]:
    for path in _folders(host.cache_dir("sources")):
        if path.name.startswith("git-"):  # work trees of one repository, a folder a commit
            yield from ((SOURCE, tree, "") for tree in _folders(path))
        elif path.name.startswith("tar-"):
            yield SOURCE, path, ""


def _folders(parent: Path) -> list[Path]:
    return [path for path in parent.iterdir() if path.is_dir() and not path.name.startswith(".")]


# --- what may go -----------------------------------------------------------------------------------------------------
def limit() -> int:
    """Return the bound in bytes: ``$PI64_CACHE_SIZE``, else 20 GiB; UsageError if that is no size."""
    return parse_size(os.environ.get(LIMIT) or DEFAULT_LIMIT, what=LIMIT)


def prune(*, limit_bytes: int, older_s: float | None = None, progress: host.Progress = host.silent) -> list[Entry]:
    """Remove what nobody uses until all of it takes *limit_bytes* at most, and what was not used for *older_s* seconds.

    Returns what went. What a killed process has left goes as well.
    """
    _sweep()
    there, now, gone = entries(), time.time(), []
    total = sum(entry.size_bytes for entry in there)
    for entry in there:
        stale = older_s is not None and now - entry.used > older_s
        if (total > limit_bytes or stale) and _remove(entry):
            progress(f"cache: removed {entry.kind} {entry.key}")
            total -= entry.size_bytes
            gone.append(entry)
    return gone


def _remove(entry: Entry) -> bool:
    with ExitStack() as stack:
        if not (stack.enter_context(lease.alone(entry.path)) and stack.enter_context(_unlocked(entry.path))):
            return False
        if lease.used(entry.path) > entry.used:  # used since it was listed
            return False
        entry.path.with_name(f"{entry.path.name}.complete").unlink(missing_ok=True)  # git's mark, before the tree
        store.set_aside(entry.path)
        return not entry.path.exists()


@contextmanager
def _unlocked(path: Path) -> Iterator[bool]:
    """Yield whether nobody makes *path* at this moment; while the block runs nobody begins to."""
    lock = path.with_name(f"{path.name}.lock")
    if not lock.exists():
        yield True
        return
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _sweep() -> None:
    """Remove the nameless folders that killed processes left."""
    for parent in ("kernels", "objects", "sources"):
        for path in host.cache_dir(parent).glob(".*/"):
            with suppress(FileNotFoundError):
                age = time.time() - path.stat().st_ctime
                if path.name.startswith(store.REPLACED) or age > FOREIGN_LEFTOVER_S:
                    store.clear(path)
                elif parent == "kernels" and age > LEFTOVER_S:
                    with lease.alone(path) as nobody:
                        if nobody:
                            store.clear(path)


# --- words of a user -------------------------------------------------------------------------------------------------
def parse_size(text: str, *, what: str = "size") -> int:
    """Return the bytes that *text* means: ``500M``, ``20G``, ``1.5T``, or a number; UsageError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if not found:
        raise UsageError(f"{what}: {text!r} is no size", hint="write 20G or 500M")
    return int(float(found[1]) * UNITS[found[2].upper()])


def parse_span(text: str) -> float:
    """Return the seconds that *text* means: ``30d``, ``12h``, ``2w``; UsageError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", text.strip())
    if not found:
        raise UsageError(f"{text!r} is no span of time", hint="write 30d, 12h or 2w")
    return float(found[1]) * SPANS[found[2]]
