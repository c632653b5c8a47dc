"""The user's own card image, Raspberry Pi OS or another: checked, unpacked once, its partitions and word size found."""

import hashlib
from pathlib import Path, PurePosixPath

from harness import host
from harness.card import layout
from harness.card.ext4 import Ext4Partition
from harness.card.layout import Layout
from harness.errors import LabError, UsageError
from harness.host import Progress
from harness.image import unpack
from harness.model import BaseImage

PROGRAMS = ("/bin/sh", "/usr/bin/dpkg", "/sbin/init")  # of a Debian, of a buildroot, of Yocto
ELF_BITS = {1: 32, 2: 64}
ARM_MACHINES = frozenset({40, 183})  # EM_ARM, EM_AARCH64


def user_image(path: Path, *, sha256: str | None = None, progress: Progress = host.silent) -> BaseImage:
    """Return *path* (.img, or that as .xz, .gz, .zip) as a base image; *sha256* is that of the file as given.

    Unpacking, and comparing the checksum, is done once for a file of the same name, size and time. UsageError when
    the file is missing, damaged, cut off, not what *sha256* says, or no card image of an ARM system.
    """
    key = _identity(path)
    if sha256 is not None:
        _check(path, sha256.strip().lower(), key, progress)
    image = _unpacked(path, key, progress) if unpack.is_packed(path) else path
    found = layout.find(image, name=path)
    return BaseImage(
        path=image,
        boot_offset=found.boot.start_bytes,
        boot_number=found.boot.number,
        root_offset=found.root.start_bytes,
        root_number=found.root.number,
        userland_bits=_userland_bits(path, image, found),
        digest=key,
        origin=path.name,
    )


def _identity(path: Path) -> str:
    """Return a digest that changes with the file, without reading gigabytes of it at every run."""
    try:
        state = path.stat()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}", hint="`image:` in lab.yaml names it") from error
    return hashlib.sha256(f"{path.resolve()}\0{state.st_size}\0{state.st_mtime_ns}".encode()).hexdigest()


def _check(path: Path, wanted: str, key: str, progress: Progress) -> None:
    stamp = host.cache_dir("images") / f"sha256-{key[:32]}"
    if not stamp.exists():
        progress(f"reading {path.name} for its SHA-256")
        host.write_atomic(stamp, host.sha256(path).encode())
    found = stamp.read_text()
    if found != wanted:
        raise UsageError(
            f"{path}: wrong checksum of {path.stat().st_size} bytes",
            evidence=[f"SHA-256 wanted: {wanted}", f"SHA-256 found:  {found}"],
            hint="download it again, or correct the checksum; it is that of the file as downloaded, not unpacked",
        )


def _unpacked(path: Path, key: str, progress: Progress) -> Path:
    image = host.cache_dir("images") / f"user-{key[:16]}.img"
    with host.locked(image.with_suffix(".lock")):
        if not image.exists():
            with host.replacing(image) as beside:
                unpack.unpack(path, beside, progress)
                layout.find(beside, name=path)  # what is no card image is not kept
    return image


def _userland_bits(path: Path, image: Path, found: Layout) -> int:
    root = Ext4Partition(image, found.root.start_bytes)
    for program in map(PurePosixPath, PROGRAMS):
        try:
            head = root.read(program)[:20]
        except FileNotFoundError:
            continue
        except LabError as error:
            raise UsageError(f"{path}: its root filesystem cannot be read", evidence=error.evidence) from error
        if head.startswith(b"\x7fELF") and head[4] in ELF_BITS:
            machine = int.from_bytes(head[18:20], "little")
            if machine not in ARM_MACHINES:
                raise UsageError(f"{path}: {program} is for ELF machine {machine}, not for ARM (40) or AArch64 (183)")
            return ELF_BITS[head[4]]
    raise UsageError(
        f"{path}: no program on partition {found.root.number} tells its word size",
        evidence=[f"not there, or not ELF: {program}" for program in PROGRAMS],
        hint="is that partition the root filesystem of a Linux?",
    )
