"""The parts of a kernel, laid out as a build of our own would have left them, once they are known to fit together."""

import shutil
from pathlib import Path

from harness.build import kconfig, store
from harness.build.prebuilt import initramfs
from harness.build.prebuilt.parts import Parts
from harness.errors import DeployError

DEPMODS = ("modules.dep", "modules.alias", "modules.symbols", "modules.devname", "modules.softdep", "modules.weakdep")
"""Begin the names of what depmod makes; `harness.deploy` makes it anew, or the target does."""


def lay_out(folder: Path, taken: Parts, origin: str, scratch: Path) -> None:
    """Fill the empty *folder* with *taken*, which came from *origin*; what lies in *scratch* may be moved.

    DeployError when image, modules and DTBs do not fit together.
    """
    kernel = taken.kernel
    config = taken.config.read_text(errors="replace") if taken.config else kernel.config
    (folder / "Image").write_bytes(kernel.data)
    (folder / "config").write_text(config or "# No configuration came with this kernel.\n")
    for name, files in (("dtbs", taken.dtbs), ("overlays", taken.overlays)):
        (folder / name).mkdir()
        for file in files:
            shutil.copyfile(file, folder / name / file.name)
    settings = kconfig.parse(config)
    installed = _install(taken, settings, folder / "modules/lib/modules", scratch)
    modules = initramfs.Modules(installed)
    _check_magic(modules, kernel.release)
    ours = initramfs.make(modules, taken.dtbs, settings)
    if ours:
        (folder / store.INITRAMFS).write_bytes(ours)
    about = [
        f"taken from {origin}",
        f"Linux version {kernel.release} ({kernel.built}",
        f"{len(modules.paths)} modules, {len(taken.dtbs)} DTBs, {len(taken.overlays)} overlays",
        f"configuration: {taken.config.name if taken.config else 'inside the Image' if config else 'not known'}",
        f"initramfs: {len(ours)} bytes" if ours else "initramfs: none needed",
    ]
    (folder / store.LOG).write_text("".join(f"{line}\n" for line in about))


def _install(taken: Parts, settings: dict[str, str], target: Path, scratch: Path) -> Path:
    """Bring the modules to *target*, without depmod's files; DeployError when they are not this kernel's."""
    release = taken.kernel.release
    source = next((folder for folder in taken.modules if folder.name == release), None)
    others = ", ".join(folder.name for folder in taken.modules)
    if source is None and others:
        raise DeployError(
            f"kernel {release} came with the modules of {others}: not one of them would load",
            hint="take image and modules from one build",
        )
    if source is None and settings.get("MODULES") == "y":
        raise DeployError(
            f"kernel {release} was built with CONFIG_MODULES=y, but there is no lib/modules/{release} with it",
            hint="name the package or tarball with its modules as well",
        )
    installed = target / release
    target.mkdir(parents=True)
    if source is None:
        installed.mkdir()
    elif source.is_relative_to(scratch):
        source.rename(installed)
    else:
        shutil.copytree(source, installed, symlinks=True)
    _tidy(installed)
    return installed


def _tidy(installed: Path) -> None:
    """Leave plain files only, and none that depmod makes."""
    for path in [path for path in installed.rglob("*") if path.is_symlink() or path.is_file()]:
        depmods = path.parent == installed and path.name.startswith((*DEPMODS, "modules.builtin."))
        if path.is_symlink() or (depmods and path.name != "modules.builtin.modinfo"):
            path.unlink()


def _check_magic(modules: initramfs.Modules, release: str) -> None:
    """Raise DeployError when the modules were compiled for another kernel than their folder's name says."""
    if not modules.paths:
        return
    name = min(modules.paths)
    magic = modules.info(name).vermagic
    if magic and magic.split()[0] != release:
        raise DeployError(
            f"lib/modules/{release}: module {name} was compiled for {magic.split()[0]}, the kernel is {release}",
            evidence=[f"vermagic={magic}"],
            hint="take image and modules from one build",
        )
