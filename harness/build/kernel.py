"""Build a kernel: the same inputs give the artifacts that lie in the cache, without calling make at all."""

import mmap
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import attrs

from harness import host
from harness.build import elf, kconfig, store
from harness.build import source as sources
from harness.build.make import RUNNING, Make, Meter
from harness.build.recipe import DTS, GENERATED, Recipe, compose
from harness.errors import BuildError, UsageError
from harness.model import BoardProfile, KernelBuild, KernelSource, Toolchain

MIB = 2**20
TYPICAL = {"allnoconfig": (1060, 700 * MIB)}
"""Base configuration -> compile steps and bytes of a whole build; counted with Linux 6.12 and the smoke fragment."""
TYPICAL_FULL = (10_000, 6_000 * MIB)
REBUILD_BYTES = 300 * MIB
OVERLAY_FILES = ("*.dtbo", "overlay_map.dtb")


def build(
    source: KernelSource,
    toolchain: Toolchain,
    board: BoardProfile,
    *,
    config: str | None = None,
    fragments: Sequence[str | Path] = (),
    jobs: int | None = None,
    localversion: str | None = None,
    progress: host.Progress = host.silent,
    log: Path,
) -> KernelBuild:
    """Return the kernel of *source* for *board*, from the cache or built now; *log* gets the whole of make's output.

    *config* is a defconfig of the tree or one of ``recipe.GENERATED``; None is the board's own in a Raspberry Pi tree
    and ``defconfig`` in a mainline tree. *fragments* are names in ``fragments/`` or paths. The release ends in
    *localversion* and ``-pi64-`` with the start of the key. Raises UsageError for a request that cannot be met,
    BuildError if the tree does not configure or compile, LabError if this host is the reason.
    """
    recipe = compose(source, toolchain, board, config=config, fragments=fragments, localversion=localversion)
    log.parent.mkdir(parents=True, exist_ok=True)
    if stored := _stored(recipe, log):
        return stored
    _refuse_unclean(source)
    objects = host.cache_dir("objects").resolve() / recipe.objects_name
    progress(f"build: {source.version}, {recipe.base_config}: preparing, or waiting for another build of it")
    with host.locked(objects.with_name(f"{objects.name}.lock")):
        if stored := _stored(recipe, log):  # by the process that we waited for
            return stored
        meter = _prepare(recipe, objects, progress)
        return _build(Make(recipe, objects, jobs or os.cpu_count() or 1, log, meter), board)


def _stored(recipe: Recipe, log: Path) -> KernelBuild | None:
    found = store.load(recipe)
    if found is None:
        return None
    shutil.copyfile(found.log, log)
    return attrs.evolve(found, log=log, seconds=0.0, cached=True)


def _build(make: Make, board: BoardProfile) -> KernelBuild:
    recipe = make.recipe
    make.log.write_bytes(b"")
    _configure(make)
    _compile(make, board)
    with store.shelf(recipe) as folder:
        release = _collect(make, folder)
        if not sources.unchanged(recipe.source):
            raise UsageError(f"{recipe.source.path} was changed while it was built", hint="run it again")
        seconds = time.monotonic() - make.meter.started
        build_id = _build_id(make.objects / "vmlinux")
        store.describe(folder, recipe, release=release, build_id=build_id, seconds=seconds)
    built = store.load(recipe)
    assert built is not None
    return attrs.evolve(built, log=make.log)


# --- the object tree -------------------------------------------------------------------------------------------------
def _refuse_unclean(source: KernelSource) -> None:
    """Raise UsageError for a tree that was built in: its files shadow ours, and Kbuild says so only later."""
    traces = (".config", "include/config", "arch/arm64/include/generated")
    if any((source.path / trace).exists() for trace in traces):
        raise UsageError(
            f"{source.path}: was built in; this harness builds out of tree, which needs a clean one",
            hint=f"make -C {source.path} ARCH=arm64 mrproper (this removes its .config)",
        )


def _prepare(recipe: Recipe, objects: Path, progress: host.Progress) -> Meter:
    """Make the object tree and check the disk; what a killed make left half-written goes, ccache has the rest."""
    if (objects / RUNNING).exists():
        shutil.rmtree(objects)
    steps, size = TYPICAL.get(recipe.base_config, TYPICAL_FULL)
    fresh = not (objects / "vmlinux").exists()
    host.need_space(host.cache_dir("objects"), size if fresh else REBUILD_BYTES, f"building {recipe.base_config}")
    objects.mkdir(parents=True, exist_ok=True)
    if not fresh:
        return Meter(expected=None, progress=progress)
    counted = _steps_file(objects)
    expected = int(counted.read_text()) if counted.is_file() else steps
    return Meter(expected=expected, progress=progress, resumed=sum(1 for _ in objects.rglob("*.o")))


def _steps_file(objects: Path) -> Path:
    return objects.with_name(f"{objects.name}.steps")


# --- the steps -------------------------------------------------------------------------------------------------------
def _configure(make: Make) -> None:
    """Write ``.config`` and make sure that it holds all that was asked for."""
    recipe, dot_config = make.recipe, make.objects / ".config"
    wanted = kconfig.render(recipe.wanted)
    if recipe.base_config in GENERATED:
        request = make.objects / "pi64.config"
        host.write_atomic(request, wanted.encode())
        make.run(f"KCONFIG_ALLCONFIG={request}", recipe.base_config)
    else:
        make.run(recipe.base_config)
        if wanted:
            host.write_atomic(dot_config, f"{dot_config.read_text()}{wanted}".encode())
            make.run("olddefconfig")
    missed = kconfig.differences(recipe.wanted, kconfig.parse(dot_config.read_text()))
    if missed:
        raise _not_taken(recipe, missed, make.log)


def _not_taken(recipe: Recipe, missed: Sequence[kconfig.Difference], log: Path) -> UsageError | BuildError:
    """Return the error for symbols that did not come out as asked for: misspelt, or not to be had in this tree."""
    known: set[str] = set()
    for file in recipe.source.path.rglob("Kconfig*"):
        if file.is_file():
            known |= kconfig.declared(file.read_text(errors="replace"))
    what = f"{recipe.source.path}: {recipe.base_config} with {', '.join(recipe.fragments)}"
    unknown = [difference for difference in missed if difference.symbol not in known]
    if unknown:
        evidence = [f"{difference}; {_meant(difference.symbol, known)}" for difference in unknown]
        hint = "correct the fragment, or drop the symbol for this kernel version"
        return UsageError(f"{what}: this tree has no symbol {unknown[0].symbol}", hint=hint, evidence=evidence)
    hint = f"ask for what they depend on as well (`make menuconfig`, `/`, shows it); log: {log}"
    return BuildError(f"{what}: {len(missed)} not as asked for", hint=hint, evidence=[str(each) for each in missed])


def _meant(symbol: str, known: set[str]) -> str:
    near = kconfig.nearest(symbol, known)
    return f"did you mean CONFIG_{near}?" if near else "no Kconfig file declares it"


def _compile(make: Make, board: BoardProfile) -> None:
    modules = ["modules"] if _has_modules(make) else []
    make.run("Image", *modules, *make.recipe.dtb_targets)
    if make.meter.expected is not None:  # a whole build: the next one's estimate
        host.write_atomic(_steps_file(make.objects), str(make.meter.steps).encode())
    if not {dtb.name for dtb in _dtbs(make)} & set(board.dtbs):
        wanted = " or ".join(board.dtbs)
        raise BuildError(f"{make.recipe.source.path}: built no {wanted} for {board.title}", hint=f"log: {make.log}")


def _collect(make: Make, folder: Path) -> str:
    """Copy what the build left to *folder*; returns the release."""
    release = (make.objects / "include/config/kernel.release").read_text().strip()
    shutil.copy2(make.objects / "arch/arm64/boot/Image", folder / "Image")
    shutil.copy2(make.objects / ".config", folder / "config")
    _copy(_dtbs(make), folder / "dtbs")
    _copy(_overlays(make), folder / "overlays")
    installed = folder / "modules/lib/modules" / release
    if _has_modules(make):
        # depmod is left to the deploying side, or to the target as the guide does it
        make.run(f"INSTALL_MOD_PATH={folder / 'modules'}", "INSTALL_MOD_STRIP=1", "DEPMOD=true", "modules_install")
    installed.mkdir(parents=True, exist_ok=True)
    for link in ("build", "source"):
        (installed / link).unlink(missing_ok=True)
    shutil.copyfile(make.log, folder / store.LOG)
    return release


def _has_modules(make: Make) -> bool:
    return kconfig.parse((make.objects / ".config").read_text()).get("MODULES") == "y"


def _dtbs(make: Make) -> list[Path]:
    built, targets = make.objects / DTS, make.recipe.dtb_targets
    return sorted((built / "broadcom").glob("*.dtb")) if targets == ("dtbs",) else [built / name for name in targets]


def _overlays(make: Make) -> list[Path]:
    """Return the overlays and their README, without which the firmware does not believe in them; none in mainline."""
    built = [path for pattern in OVERLAY_FILES for path in sorted((make.objects / DTS / "overlays").glob(pattern))]
    readme = make.recipe.source.path / DTS / "overlays/README"
    return [*built, readme] if readme.is_file() else built


def _copy(files: Sequence[Path], folder: Path) -> None:
    folder.mkdir()
    for file in files:
        shutil.copy2(file, folder / file.name)


def _build_id(vmlinux: Path) -> str:
    with vmlinux.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            return elf.build_id(content)
        except ValueError as error:
            raise BuildError(f"{vmlinux}: {error}", hint="the linker must be called with --build-id") from error
