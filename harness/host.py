"""The lab host: its programs, its disk, its cache folder; how to run a program and how to write a file whole."""

import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from harness.errors import LabError, Pi64Error

Progress = Callable[[str], None]
"""Called with one short line of state every now and then during long work; shows it or drops it."""

PACKAGES = {
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
    "bc": "bc",
    "bison": "bison",
    "bzip2": "bzip2",
    "ccache": "ccache",
    "debugfs": "e2fsprogs",
    "depmod": "kmod",
    "dpkg-deb": "dpkg",
    "dumpe2fs": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "fakeroot": "fakeroot",
    "flex": "flex",
    "git": "git",
    "gzip": "gzip",
    "make": "make",
    "mcopy": "mtools",
    "mdeltree": "mtools",
    "mmd": "mtools",
    "mmove": "mtools",
    "mke2fs": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "mmdebstrap": "mmdebstrap",
    "mount": "mount",
    "openssl": "openssl",
    "qemu-arm-static": "qemu-user-static",
    "qemu-system-aarch64": "qemu-system-arm",
    "ser2net": "ser2net",
    "setpriv": "util-linux",
    "sfdisk": "fdisk",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "tar": "tar",
    "update-binfmts": "binfmt-support",
    "xz": "xz-utils",
    "zstd": "zstd",
}
"""Program -> Debian and Ubuntu package, for hints."""

SBIN = "/usr/sbin:/sbin"  # e2fsprogs and dosfstools live there, outside an ordinary user's PATH


def silent(_: str) -> None:
    """Drop progress."""


def cache_dir(*parts: str) -> Path:
    """Return (and make) a folder below the cache: ``$PI64_CACHE``, else ``~/.cache/pi64``."""
    root = Path(os.environ.get("PI64_CACHE") or Path.home() / ".cache" / "pi64")
    folder = root.joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def find(program: str) -> str:
    """Return the path of *program*; LabError naming its package when it is missing."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:{SBIN}")
    if found is None:
        package = PACKAGES.get(program)
        hint = f"apt-get install {package}, or run `make setup`" if package else "install it, or correct the name"
        raise LabError(f"program `{program}` is not on this host", hint=hint)
    return found


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    error: type[Pi64Error] = LabError,
    accept: Collection[int] = (0,),
    objection: bytes | None = None,
) -> bytes:
    """Run *command* to its end and return its standard output.

    *env* is added to this process's environment. An exit outside *accept*, or a line of standard error that holds
    *objection*, raises *error* with the command, its status and the last lines it said; a missing program raises
    LabError naming its package.
    """
    argv = [find(str(command[0])), *map(str, command[1:])]
    environment = {**os.environ, **(env or {})}
    done = subprocess.run(argv, cwd=cwd, env=environment, input=stdin, capture_output=True, check=False)
    if done.returncode not in accept or (objection and objection in done.stderr):
        said = (done.stderr or done.stdout).decode(errors="replace").splitlines()[-8:]
        shown = shlex.join(map(str, command))
        message = f"`{shown[:300]}` returned {done.returncode}"
        raise error(message, evidence=said)
    return done.stdout


def need_space(folder: Path, size_bytes: int, purpose: str) -> None:
    """Raise LabError before the work starts when *folder*'s file system has less than *size_bytes* free."""
    free = shutil.disk_usage(folder).free
    if free < size_bytes:
        raise LabError(
            f"{folder}: {free / 2**20:.0f} MiB free, {purpose} needs {size_bytes / 2**20:.0f} MiB",
            hint="free some space, or point PI64_CACHE at a larger disk",
        )


def write_atomic(path: Path, data: bytes) -> None:
    """Replace *path* with *data* so that a reader, or a crash, sees the old content or the new, never a part."""
    with replacing(path) as beside:
        beside.write_bytes(data)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a name beside *path* to write to; synced and renamed over *path* on success, removed on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.chmod(0o644)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on *path* (made if missing); the kernel drops it when the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def sha256(path: Path) -> str:
    """Return the hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def take(lock: IO[str], what: str, *, hint: str) -> None:
    """Lock the open file *lock* for this process, until it is closed, and note there who has it.

    Does not wait: LabError, which begins with *what*, names the one that has it.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        raise LabError(f"{what} is in use by another run ({lock.read().strip()})", hint=hint) from None
    lock.truncate(0)
    lock.write(f"process {os.getpid()}")
    lock.flush()
