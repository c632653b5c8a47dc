"""The base image of the virtual boards: an armhf Debian with the manners of Raspberry Pi OS, made here and cached."""

import hashlib
import inspect
import json
import tempfile
from itertools import chain
from pathlib import Path

from harness import host
from harness.card import layout
from harness.host import Progress
from harness.image import assemble, bootfiles, overlay, rootfs, tuning
from harness.model import BaseImage

SUITE = "bookworm"
SPACE = 1 << 30  # 250 MB of files, and as much again in the image


def base_image(
    *,
    username: str = "pi",
    password: str,
    hostname: str = "raspberrypi",
    suite: str = SUITE,
    progress: Progress = host.silent,
) -> BaseImage:
    """Return the base image for these names, from the cache or made now.

    A changed password, or a changed recipe in this package, makes another file in seconds; the packages below it are
    made once a suite (see ``rootfs``). LabError when the host cannot.
    """
    tar = rootfs.rootfs_tar(suite, progress)
    key = _key(tar.name, username, password, hostname)
    image = tar.with_name(f"base-{suite}-{key[:12]}.img")
    with host.locked(image.with_suffix(".lock")):
        if not image.exists():
            host.need_space(image.parent, SPACE, "a base image")
            progress("writing the base image")
            _make(image, tar, key[:8], username=username, password=password, hostname=hostname)
    found = layout.find(image)
    return BaseImage(
        path=image,
        boot_offset=found.boot.start_bytes,
        boot_number=found.boot.number,
        root_offset=found.root.start_bytes,
        root_number=found.root.number,
        userland_bits=32,
        digest=key,
        origin=f"Debian {suite} {rootfs.ARCHITECTURE}",
    )


def _key(*given: str) -> str:
    """Digest all that goes into the image: the arguments, and the modules that say what is in it."""
    recipe = [inspect.getsource(module) for module in (assemble, bootfiles, overlay, tuning)]
    return hashlib.sha256(json.dumps([*given, *recipe]).encode()).hexdigest()


def _make(image: Path, tar: Path, disk_id: str, *, username: str, password: str, hostname: str) -> None:
    password_hash = host.run(["openssl", "passwd", "-6", "-stdin"], stdin=password.encode()).decode().strip()
    with tempfile.TemporaryDirectory(prefix=".base-", dir=image.parent) as name, host.replacing(image) as beside:
        work = Path(name)
        files = overlay.read_files(tar)
        system = overlay.system(files, username=username, password_hash=password_hash, hostname=hostname)
        quick = tuning.tuning(disk_id=disk_id, boot_label=assemble.BOOT_LABEL, root_label=assemble.ROOT_LABEL)
        overlay.write_tar(work / "overlay.tar", chain(system, quick))
        boot = bootfiles.boot_files(disk_id)
        assemble.assemble(
            beside,
            disk_id=disk_id,
            tars=[tar, work / "overlay.tar"],
            leave_out=tuning.LEFT_OUT,
            boot=boot,
            work=work,
        )
