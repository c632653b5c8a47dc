"""The packages of the base image as a tar: made by mmdebstrap without mounting, once for each recipe."""

import hashlib
import json
import subprocess
from collections import deque
from pathlib import Path

from harness import host
from harness.errors import LabError
from harness.host import Progress
from harness.image import binfmt, mirror

PACKAGES = ("iproute2", "kmod", "libc-bin", "login", "openssh-server", "sudo", "systemd-sysv", "udev")
ARCHITECTURE = "armhf"
RECIPE = 1
"""Raise when the same arguments must give another tar."""

OPTIONS = (
    "--skip=check/qemu",  # it wants another package (arch-test); binfmt.need_arm() has looked
    "--variant=apt",
    f"--architectures={ARCHITECTURE}",
    f"--include={','.join(PACKAGES)}",
    '--aptopt=Acquire::Retries "3"',
    '--aptopt=Acquire::Languages "none"',
    "--dpkgopt=path-exclude=/usr/share/doc/*",  # a third of the files, and nobody reads them on a test board
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
)
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SPACE = 1 << 30


def rootfs_tar(suite: str, progress: Progress) -> Path:
    """Return the tar of *suite*, from the cache or made now (5 to 7 minutes on two cores).

    It depends on nothing but the recipe, so that another user name or password costs seconds.
    """
    recipe = json.dumps([RECIPE, suite, OPTIONS])
    folder = host.cache_dir("images")
    tar = folder / f"rootfs-{suite}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}.tar"
    with host.locked(tar.with_suffix(".lock")):
        if not tar.exists():
            host.need_space(folder, SPACE, "a Debian root filesystem")
            binfmt.need_arm()
            _need_keyring()
            with host.replacing(tar) as beside:
                _mmdebstrap(suite, beside, progress)
    return tar


def _need_keyring() -> None:
    if not KEYRING.exists():
        raise LabError(
            f"{KEYRING} is not on this host: Debian's packages could not be verified",
            hint="apt-get install debian-archive-keyring",
        )


def _mmdebstrap(suite: str, target: Path, progress: Progress) -> None:
    address = mirror.mirror()
    command = ["mmdebstrap", "--format=tar", *OPTIONS, suite, str(target), *([address] if address else [])]
    argv = [host.find(command[0]), *command[1:]]
    said: deque[str] = deque(maxlen=12)
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                said.append(line.rstrip())
                progress(f"{suite} {ARCHITECTURE}: {line.strip().removeprefix('I: ')}")
        except BaseException:
            process.terminate()  # it then removes its temporary folder
            raise
    if process.returncode != 0:
        raise LabError(
            f"mmdebstrap of {suite} {ARCHITECTURE} returned {process.returncode}",
            evidence=said,
            hint="without a network, or behind a proxy: set http_proxy, or PI64_MIRROR to a Debian mirror",
        )
