"""A card within the host's reach: its block device, waited for, claimed, and refused where somebody else uses it.

All work goes over the whole disk, at the places that the partition table names: the nodes of its partitions, which may
come late (labgrid #1357), are not needed, and nothing is mounted.
"""

import errno
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.card import disks
from harness.errors import LabError

POLL_S = 0.1
SETTLE_S = 10.0  # udev reads a disk again that was written to; it takes a fraction of a second
GROUP_HINT = 'give your user the device: a udev rule with GROUP=, MODE="0660" and ENV{UDISKS_IGNORE}="1"'


def wait(find: Callable[[], Path | None], *, timeout_s: float, what: str) -> Path:
    """Return the device that *find* names as soon as a medium with a first sector is in it.

    LabError after *timeout_s* seconds, with *what* was looked for and what was found last.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        path = find()
        fault = _fault(path) if path else "no device"
        if path and not fault:
            return path
        if time.monotonic() > deadline:
            raise LabError(
                f"no card at the host's side after {timeout_s:.0f} s: looked for {what}, found {fault}",
                hint="is a card in the mux, its cable in the host, and the right one named in lab.yaml?",
            )
        time.sleep(POLL_S)


def _fault(path: Path) -> str:
    """Say why nothing can be read from *path*; empty when it can."""
    try:
        with path.open("rb", buffering=0) as file:
            return "" if file.read(512) else f"{path} without a medium"
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            raise LabError(f"{path}: permission denied", hint=GROUP_HINT) from error
        return f"{path}: {error.strerror}"


@contextmanager
def claimed(path: Path, *, timeout_s: float = SETTLE_S) -> Iterator[None]:
    """Hold *path* so that nobody mounts it meanwhile, and udev leaves it alone; LabError naming who uses it.

    A desktop that mounts whatever is plugged in is refused as well; its own mount is for its user to undo.
    """
    refuse_used(path)
    refuse_read_only(path)
    handle = _open(path)
    try:
        _lock(path, handle, timeout_s)
        yield
    finally:
        os.close(handle)


def refuse_used(path: Path) -> None:
    """Raise LabError when a partition of *path* is mounted, a swap, or part of something."""
    if used := disks.in_use(path):
        raise LabError(
            f"{path}: in use: {', '.join(used)}",
            hint='unmount it; a udev rule with ENV{UDISKS_IGNORE}="1" keeps a desktop from mounting it again',
        )


def refuse_read_only(path: Path) -> None:
    """Raise LabError when the kernel says that nothing can be written to *path*."""
    if path.is_block_device() and disks.look(path).read_only:
        raise LabError(
            f"{path}: the card is read-only",
            hint="the lock slide of the card or its adapter, or a card that has given up writing",
        )


def leave(path: Path) -> None:
    """Wait until udev has looked at what was written: a mux that is switched meanwhile gives it read errors."""
    if path.is_block_device() and shutil.which("udevadm"):
        command = ["udevadm", "settle", f"--timeout={SETTLE_S:.0f}"]
        subprocess.run(command, capture_output=True, check=False)


def _open(path: Path) -> int:
    exclusive = os.O_EXCL if path.is_block_device() else 0
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | exclusive)
    except OSError as error:
        hints = {
            errno.EACCES: GROUP_HINT,
            errno.EPERM: GROUP_HINT,
            errno.EBUSY: "another program holds it: a desktop's mount, another run, a RAID",
        }
        raise LabError(f"{path}: {error.strerror}", hint=hints.get(error.errno or 0, "")) from error


def _lock(path: Path, handle: int, timeout_s: float) -> None:
    """Take the lock by which udev knows to keep away (systemd: "Locking Block Device Access")."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise LabError(f"{path}: another program has it locked for {timeout_s:.0f} s") from None
            time.sleep(POLL_S)
