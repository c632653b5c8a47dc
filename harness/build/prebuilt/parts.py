"""Where in a package, a tarball or a build directory the parts of a kernel lie: found by their names, at any depth."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from harness.build.prebuilt import image
from harness.build.prebuilt.image import KernelImage
from harness.build.prebuilt.initramfs import unzstd
from harness.errors import UsageError

KERNELS = re.compile(r"(Image|vmlinuz|kernel8\.img|kernel7?l?\.img|zImage|bzImage|uImage|vmlinux)([.-].*)?")
LAST = "vmlinux"  # hundreds of megabytes with their debug information: looked at when there is nothing else
BOARD_DTB = re.compile(r"bcm2[78]\d\d-.*\.dtb")
CONFIG = re.compile(r"config-.*|\.?config|kernel\.config|kernel_config")


@attrs.frozen
class Parts:
    """The parts of one kernel, as files of somebody else's: to be copied, never changed."""

    kernel: KernelImage
    file: Path
    """Where *kernel* was."""
    dtbs: tuple[Path, ...]
    overlays: tuple[Path, ...]
    """With their README, without which the firmware does not believe in them."""
    modules: tuple[Path, ...]
    """Every ``lib/modules/<release>``."""
    config: Path | None


def find(folders: Sequence[Path], name: str) -> Parts:
    """Return the parts in *folders*, which are what *name* holds; UsageError when no arm64 kernel is among them."""
    files = [path for folder in folders for path in _files(folder)]
    kernel, file = _kernel(files, folders, name)
    dtbs = {path.name: path for path in reversed(files) if BOARD_DTB.fullmatch(path.name)}
    overlays = {path.name: path for path in reversed(files) if _is_overlay(path)}
    configs = sorted(path for path in files if CONFIG.fullmatch(path.name))
    return Parts(
        kernel=kernel,
        file=file,
        dtbs=tuple(dtbs[name] for name in sorted(dtbs)),
        overlays=tuple(overlays[name] for name in sorted(overlays)),
        modules=tuple(folder for top in folders for folder in _module_folders(top)),
        config=next((path for path in configs if path.name == f"config-{kernel.release}"), (*configs, None)[0]),
    )


def read_kernel(path: Path) -> KernelImage:
    """Return the kernel in *path*; ValueError says what is there instead."""
    if path.stat().st_size > image.LIMIT:
        raise ValueError(f"{path.stat().st_size / 2**20:.0f} MiB, no kernel image is that large")
    return image.read(path.read_bytes(), unzstd=unzstd)


def _kernel(files: Sequence[Path], folders: Sequence[Path], name: str) -> tuple[KernelImage, Path]:
    """Return the one kernel among *files*; of the same one in several forms the first."""
    candidates = sorted(
        (path for path in files if KERNELS.fullmatch(path.name)),
        key=lambda path: (path.name.startswith(LAST), path.name),
    )
    found: list[tuple[KernelImage, Path]] = []
    said: list[str] = []
    for path in candidates:
        if found and path.name.startswith(LAST):
            break
        try:
            found.append((read_kernel(path), path))
        except ValueError as error:
            said.append(f"{_shown(path, folders)}: {error}")
    if not found:
        there = sorted(_shown(path, folders) for path in files)[:8]
        raise UsageError(
            f"{name}: no arm64 kernel in it",
            evidence=said or there or ["it is empty"],
            hint="looked for Image, Image.gz, vmlinuz-* and kernel8.img, at any depth",
        )
    releases = {kernel.release: path for kernel, path in found}
    if len(releases) > 1:
        evidence = [f"{_shown(path, folders)}: {release}" for release, path in releases.items()]
        raise UsageError(f"{name}: holds {len(releases)} kernels", evidence=evidence, hint="name one that holds one")
    return found[0]


def _shown(path: Path, folders: Sequence[Path]) -> str:
    return str(next((path.relative_to(folder) for folder in folders if path.is_relative_to(folder)), path))


def _files(top: Path) -> Iterator[Path]:
    """Yield all files but modules, those in a folder called broadcom or overlays before others of their name."""
    found = []
    for parent, folders, files in os.walk(top):
        if Path(parent).name == "modules" and Path(parent).parent.name == "lib":
            folders.clear()
        found += [Path(parent, name) for name in files if Path(parent, name).is_file()]
    yield from sorted(found, key=lambda path: (path.parent.name not in {"broadcom", "overlays"}, path))


def _module_folders(top: Path) -> Iterator[Path]:
    for parent, folders, _ in os.walk(top):
        if Path(parent).name == "modules" and Path(parent).parent.name == "lib":
            yield from (Path(parent, name) for name in sorted(folders))
            folders.clear()


def _is_overlay(path: Path) -> bool:
    """Tell whether *path* belongs to the firmware's overlays; other vendors' ``.dtbo`` lie elsewhere."""
    return path.parent.name == "overlays" and (path.suffix == ".dtbo" or path.name in {"overlay_map.dtb", "README"})
