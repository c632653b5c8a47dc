"""Whether this host runs 32-bit ARM programs, which Debian's installation scripts are, and how to let it."""

import os
import platform
import re
from pathlib import Path

from harness import host
from harness.errors import LabError

REGISTRY = Path("/proc/sys/fs/binfmt_misc")
ARM_MAGIC = "7f454c4601010100000000000000000002002800"  # 32-bit, little-endian, executable, EM_ARM


def handles_arm(entry: str) -> bool:
    """Tell whether a file of the kernel's registry sends 32-bit ARM programs to an interpreter."""
    return entry.startswith("enabled") and re.search(rf"^magic {ARM_MAGIC}$", entry, re.MULTILINE) is not None


def active(registry: Path = REGISTRY) -> bool:
    """Tell whether 32-bit ARM programs start here."""
    if platform.machine().startswith("armv"):
        return True
    entries = registry.iterdir() if registry.is_dir() else ()
    return any(handles_arm(path.read_text()) for path in entries if path.name not in ("register", "status"))


def enable_binfmt() -> None:
    """Register qemu-user for 32-bit ARM; root only. LabError with the remedy where the host does not allow it."""
    if not REGISTRY.joinpath("register").exists():
        host.run(["mount", "-t", "binfmt_misc", "none", REGISTRY])
    host.run(["update-binfmts", "--enable", "qemu-arm"])


def need_arm() -> None:
    """Return when 32-bit ARM programs start here, after registering them if that takes only root's rights."""
    if not active() and os.geteuid() == 0:
        enable_binfmt()
    if not active():
        raise LabError(
            "this host cannot run 32-bit ARM programs: no enabled entry for them in /proc/sys/fs/binfmt_misc",
            hint="apt-get install qemu-user-static binfmt-support; then as root: "
            "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc; update-binfmts --enable qemu-arm",
        )
