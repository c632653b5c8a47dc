"""A module tree as a deploy writes it: as it was built, or with depmod's files made on the lab host."""

import hashlib
import shutil
from pathlib import Path

from harness import host
from harness.errors import DeployError

SELFTESTS = "kselftest"
"""Folder beside the modules; depmod looks for modules alone, and passes it over."""


def with_depmod(root: Path, release: str) -> Path:
    """Return a copy of *root* in which ``lib/modules/<release>`` has its dependency files, made once per build.

    The copy shares the module files (hard links) with the build's artifacts, which stay as they are. Raises DeployError
    with depmod's words when modules do not fit together.
    """
    key = hashlib.sha256(f"{root}\0{release}\0{(root / 'lib' / 'modules' / release).stat().st_mtime_ns}".encode())
    staged = host.cache_dir("depmod") / key.hexdigest()[:16]
    with host.locked(staged.with_suffix(".lock")):
        if not staged.exists():
            beside = staged.with_suffix(".new")
            shutil.rmtree(beside, ignore_errors=True)
            shutil.copytree(root, beside, symlinks=True, copy_function=_link)
            # depmod returns 0 for a module that it cannot read.
            host.run(["depmod", "-b", beside, release], error=DeployError, objection=b"depmod: ERROR:")
            beside.rename(staged)
    return staged


def with_folder(root: Path, release: str, folder: Path) -> Path:
    """Return a copy of *root* that has *folder* as ``lib/modules/<release>/kselftest``, made once for each."""
    there = Path("lib", "modules", release)
    key = hashlib.sha256(f"{root}\0{release}\0{(root / there).stat().st_mtime_ns}\0{folder}".encode())
    staged = host.cache_dir("selftests") / f"staged-{key.hexdigest()[:16]}"
    with host.locked(staged.with_suffix(".lock")):
        if not staged.exists():
            beside = staged.with_suffix(".new")
            shutil.rmtree(beside, ignore_errors=True)
            shutil.copytree(root, beside, symlinks=True, copy_function=_link)
            shutil.copytree(folder, beside / there / SELFTESTS, symlinks=True, copy_function=_link)
            beside.rename(staged)
    return staged


def _link(source: str, target: str) -> str:
    try:
        Path(target).hardlink_to(source)
    except OSError:  # another file system
        shutil.copy2(source, target)
    return target
