"""A build directory as ``make`` leaves it (``O=`` or in tree): the kernel, and its modules as if installed."""

import hashlib
import mmap
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from harness import host
from harness.build import elf
from harness.build.prebuilt.parts import Parts, read_kernel
from harness.errors import DeployError, LabError, UsageError

BOOT = "arch/arm64/boot"
IMAGES = ("Image", "Image.gz", "Image.zst", "Image.xz", "Image.bz2", "vmlinuz.efi")
RELEASE = "include/config/kernel.release"
STRIPPERS = ("aarch64-linux-gnu-strip", "llvm-strip")
AT_ONCE = 500  # files of one call of strip


def is_one(path: Path) -> bool:
    """Tell whether *path* is a folder in which a kernel was configured."""
    return (path / ".config").is_file() or (path / "include/config/auto.conf").is_file()


def digest(path: Path) -> str:
    """Return what changes when the kernel in *path* was built again: names, sizes and times of all that is taken."""
    names = [".config", RELEASE, "modules.order", *(f"{BOOT}/{name}" for name in IMAGES)]
    files = [path / name for name in names] + _dtbs(path) + _overlays(path) + [file for file, _ in _built(path)]
    lines = [f"{file}\0{state.st_size}\0{state.st_mtime_ns}" for file in files if (state := _state(file))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def parts(path: Path, scratch: Path) -> Parts:
    """Return what was built in *path*, its modules installed below *scratch*, without debug information.

    UsageError when nothing was built for arm64 there; DeployError when kernel and modules are not of one build.
    """
    image = next((file for name in IMAGES if (file := path / BOOT / name).is_file()), None)
    if image is None:
        raise _not_built(path)
    try:
        kernel = read_kernel(image)
    except ValueError as error:
        raise UsageError(f"{image}: {error}", hint="build it again") from error
    _check_same_build(path, image, kernel.build_id)
    modules = _install(path, scratch / "lib/modules" / kernel.release)
    return Parts(
        kernel=attrs.evolve(kernel, build_id=kernel.build_id or _vmlinux_id(path)),
        file=image,
        dtbs=tuple(_dtbs(path)),
        overlays=tuple(_overlays(path)),
        modules=(modules,) if modules else (),
        config=path / ".config" if (path / ".config").is_file() else None,
    )


def _not_built(path: Path) -> UsageError:
    foreign = sorted(
        str(file.relative_to(path))
        for pattern in ("arch/*/boot/*Image", "arch/*/boot/vmlinuz")
        for file in path.glob(pattern)
    )
    return UsageError(
        f"{path}: configured, but no arm64 kernel was built there (no {BOOT}/Image)",
        evidence=foreign,
        hint=f"make -C {path} ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- Image modules dtbs",
    )


def _check_same_build(path: Path, image: Path, build_id: str) -> None:
    """Raise UsageError when the kernel was linked again and the Image is the one from before."""
    linked = _vmlinux_id(path)
    if build_id and linked and build_id != linked:
        raise UsageError(
            f"{image}: build id {build_id}, but vmlinux beside it has {linked}: the Image is older",
            hint=f"make -C {path} ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- Image",
        )


def _vmlinux_id(path: Path) -> str:
    vmlinux = path / "vmlinux"
    if not vmlinux.is_file() or not vmlinux.stat().st_size:
        return ""
    with vmlinux.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            return elf.build_id(content)
        except ValueError:
            return ""


# --- modules ---------------------------------------------------------------------------------------------------------
def _built(path: Path) -> Iterator[tuple[Path, str]]:
    """Yield each module with its place below ``kernel/``; ``modules.order`` has ``.ko`` or, since 6.4, ``.o``."""
    order = path / "modules.order"
    for line in order.read_text().splitlines() if order.is_file() else ():
        name = line.strip().removeprefix("kernel/")
        if name:
            name = f"{name.rpartition('.')[0]}.ko"
            yield path / name, name


def _install(path: Path, target: Path) -> Path | None:
    """Do what ``make INSTALL_MOD_STRIP=1 modules_install`` does, without the kernel tree; None without modules."""
    modules = list(_built(path))
    if not modules:
        return None
    missing = [name for file, name in modules if not file.is_file()]
    if missing:
        raise DeployError(
            f"{path}: {len(missing)} of {len(modules)} modules in modules.order are not built",
            evidence=missing[:8],
            hint=f"make -C {path} ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- modules",
        )
    copies = []
    for file, name in modules:
        copy = target / "kernel" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copies.append(Path(shutil.copyfile(file, copy)))
    _strip(copies)
    (target / "modules.order").write_text("".join(f"kernel/{name}\n" for _, name in modules))
    for name in ("modules.builtin", "modules.builtin.modinfo"):
        if (path / name).is_file():
            shutil.copyfile(path / name, target / name)
    return target


def _strip(modules: Sequence[Path]) -> None:
    """Take out the debug information, with which modules are ten times as large; without a stripper they stay so."""
    for program in STRIPPERS:
        try:
            host.find(program)
        except LabError:
            continue
        for start in range(0, len(modules), AT_ONCE):
            host.run([program, "--strip-debug", *modules[start : start + AT_ONCE]], error=DeployError)
        return


# --- the rest --------------------------------------------------------------------------------------------------------
def _dtbs(path: Path) -> list[Path]:
    return sorted((path / BOOT / "dts/broadcom").glob("bcm2*.dtb"))


def _overlays(path: Path) -> list[Path]:
    folder = path / BOOT / "dts/overlays"
    return sorted(file for pattern in ("*.dtbo", "overlay_map.dtb", "README") for file in folder.glob(pattern))


def _state(file: Path) -> os.stat_result | None:
    try:
        return file.stat()
    except FileNotFoundError:
        return None
