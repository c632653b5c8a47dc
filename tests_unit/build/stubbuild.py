"""Builds of the stub kernel tree, for tests of what is around them."""

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import boards
from harness.build import kernel, objects, source
from harness.errors import LabError
from harness.model import KernelBuild, Toolchain

TOOLCHAIN = Toolchain(name="system", cross_prefix="aarch64-linux-gnu-", version="gcc 12", digest="1234")
REFUSED = 3
"""Exit status of a child that got a LabError."""


def build(tree: Path, log: Path, **wishes: Any) -> KernelBuild:
    """Build *tree* for a Pi 3; ``PI64_CACHE`` says where."""
    wishes = {"toolchain": TOOLCHAIN, "jobs": 2, **wishes}
    return kernel.build(source.open_tree(str(tree)), wishes.pop("toolchain"), boards.load("rpi-3-b"), log=log, **wishes)


def own_cache(patch: pytest.MonkeyPatch, folder: Path) -> Path:
    """Have all builds use *folder*; the stub needs no gigabytes of free space."""
    patch.setenv("PI64_CACHE", str(folder))
    patch.setattr(objects, "TYPICAL_FULL", (10_000, 0))
    patch.setattr(objects, "REBUILD_BYTES", 0)
    return folder


def in_child(work: Callable[[], object], *, limit_bytes: int | None = None) -> int:
    """Start *work* in a process of its own and return its id; no file of it grows beyond *limit_bytes*."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setpgid(0, 0)
        if limit_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, resource.RLIM_INFINITY))
        work()
        status = 0
    except LabError as error:
        os.write(2, f"{error}\n".encode())
        status = REFUSED
    finally:
        os._exit(status)  # never back into pytest


def status(child: int) -> int:
    """Wait for *child* and return its exit status, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill(child: int) -> None:
    """End *child* as a power cut would."""
    os.kill(child, signal.SIGKILL)
    status(child)


def content(built: KernelBuild) -> dict[str, bytes]:
    """Return all that the build left but its log, which tells how."""
    folder = built.image.parent
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.suffix not in (".log", ".json")}
