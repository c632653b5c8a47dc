"""Build a kernel: the same inputs give the artifacts that lie in the cache, without calling make at all."""

import mmap
import os
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import attrs

from harness import host
from harness.build import cache, ccache, complaints, elf, lease, objects, store
from harness.build import source as sources
from harness.build.configure import configure, demand
from harness.build.make import Make
from harness.build.recipe import Recipe, compose
from harness.build.requirements import Purpose
from harness.errors import BuildError, LabError, UsageError
from harness.model import BoardProfile, KernelBuild, KernelSource, Toolchain

NO_SPACE = "see `df` and `ulimit -f`; `pi64 cache prune` frees space, PI64_CACHE names a larger disk"
ANY = Purpose()


def build(
    source: KernelSource,
    toolchain: Toolchain,
    board: BoardProfile,
    *,
    config: str | None = None,
    fragments: Sequence[str | Path] = (),
    jobs: int | None = None,
    localversion: str | None = None,
    purpose: Purpose = ANY,
    progress: host.Progress = host.silent,
    log: Path,
) -> KernelBuild:
    """Return the kernel of *source* for *board*, from the cache or built now; *log* gets the whole of make's output.

    *config* is a defconfig of the tree, one of ``recipe.GENERATED``, or the path of a file; None is the board's own in
    a Raspberry Pi tree and ``defconfig`` in a mainline tree. *fragments* are names in ``fragments/``, paths or
    ``KEY=value``. A kernel that lacks what *purpose* needs is refused before it is compiled. The release ends in
    *localversion* and ``-pi64-`` with the start of the key (see `Recipe.localversion` for a tree with changes). Raises
    UsageError for a request that cannot be met, BuildError if the tree does not configure or compile, LabError if this
    host is the reason.
    """
    recipe = compose(source, toolchain, board, config=config, fragments=fragments, localversion=localversion)
    try:
        return _stored_or_built(recipe, board, purpose, jobs or os.cpu_count() or 1, progress, log)
    except OSError as error:  # what make meets, it tells; this is copying and writing of ours
        what = f"{source.path} ({source.version}, {recipe.base_config})"
        raise LabError(f"{what}: {error.strerror}", evidence=[str(error)], hint=NO_SPACE) from error


def _stored_or_built(
    recipe: Recipe, board: BoardProfile, purpose: Purpose, jobs: int, progress: host.Progress, log: Path
) -> KernelBuild:
    log.parent.mkdir(parents=True, exist_ok=True)
    _hold(recipe.source)
    if stored := _stored(recipe, board, purpose, progress, log):
        return stored
    objects.refuse_unclean(recipe.source.path)
    limit_bytes = cache.limit()
    folder = objects.folder(recipe)
    progress(f"build: {recipe.source.version}, {recipe.base_config}: preparing, or waiting for another build of it")
    with host.locked(folder.with_name(f"{folder.name}.lock")):
        if stored := _stored(recipe, board, purpose, progress, log):  # by the process that we waited for
            return stored
        meter = objects.prepare(recipe, folder, progress)
        built = _build(Make(recipe, folder, jobs, log, meter), board, purpose)
    with suppress(OSError):  # the kernel is there, whatever somebody has done to the rest
        cache.prune(limit_bytes=limit_bytes, progress=progress)
    return built


def _hold(source: KernelSource) -> None:
    """Keep a tree in the cache from being pruned while it is built."""
    if source.path.is_relative_to(host.cache_dir("sources").resolve()):
        lease.hold(source.path)
        if not (source.path / "Makefile").is_file():
            raise LabError(f"{source.path}: was pruned from the cache just now", hint="run it again")


def _stored(
    recipe: Recipe, board: BoardProfile, purpose: Purpose, progress: host.Progress, log: Path
) -> KernelBuild | None:
    try:
        found = store.load(recipe)
    except store.Damaged as damage:
        progress(f"build: not used, built again: {damage.message}")
        return None
    if found is None:
        return None
    demand(found.config.read_text(), purpose, board, recipe)  # it may have been built for another purpose
    shutil.copyfile(found.log, log)
    return attrs.evolve(found, log=log, seconds=0.0, cached=True)


def _build(make: Make, board: BoardProfile, purpose: Purpose) -> KernelBuild:
    recipe, whole = make.recipe, make.meter.expected is not None
    make.log.write_bytes(b"")
    make.ccache_log.write_bytes(b"")
    configure(make, purpose, board)
    _compile(make, board)
    complaints_now = complaints.collect(make, whole=whole)
    with store.shelf(recipe) as folder, ThreadPoolExecutor(1) as beside:
        unchanged = beside.submit(sources.unchanged, recipe.source)  # compiled: what counts of the tree has been read
        release = _collect(make, folder)
        if not unchanged.result():
            raise UsageError(f"{recipe.source.path} was changed while it was built", hint="run it again")
        use = ccache.use(make.ccache_log.read_text(errors="replace"))
        told = {
            "release": release,
            "build_id": _build_id(make.objects / "vmlinux"),
            "seconds": round(time.monotonic() - make.meter.started, 1),
            "ccache": use and attrs.asdict(use),
            "warnings": len(complaints_now.there),
            "new_warnings": complaints_now.new,
        }
        store.describe(folder, recipe, told=told)
    built = store.load(recipe)
    assert built is not None
    objects.note_configured(recipe, make.objects)
    complaints.keep(make, complaints_now)
    for entry in (make.objects, built.image.parent):
        lease.measure(entry)
    return attrs.evolve(built, log=make.log)


# --- the steps -------------------------------------------------------------------------------------------------------
def _compile(make: Make, board: BoardProfile) -> None:
    modules = ["modules"] if objects.has_modules(make.objects) else []
    make.run("Image", *modules, *make.recipe.dtb_targets)
    if make.meter.expected is not None:  # a whole build
        objects.note_steps(make.objects, make.meter.steps)
    if not {dtb.name for dtb in objects.dtbs(make.recipe, make.objects)} & set(board.dtbs):
        wanted = " or ".join(board.dtbs)
        raise BuildError(f"{make.recipe.source.path}: built no {wanted} for {board.title}", hint=f"log: {make.log}")


def _collect(make: Make, folder: Path) -> str:
    """Copy what the build left to *folder*; returns the release."""
    release = (make.objects / "include/config/kernel.release").read_text().strip()
    shutil.copy2(make.objects / "arch/arm64/boot/Image", folder / "Image")
    shutil.copy2(make.objects / ".config", folder / "config")
    objects.copy(objects.dtbs(make.recipe, make.objects), folder / "dtbs")
    objects.copy(objects.overlays(make.recipe, make.objects), folder / "overlays")
    installed = folder / "modules/lib/modules" / release
    if objects.has_modules(make.objects):
        # depmod is left to the deploying side, or to the target as the guide does it
        make.run(f"INSTALL_MOD_PATH={folder / 'modules'}", "INSTALL_MOD_STRIP=1", "DEPMOD=true", "modules_install")
    installed.mkdir(parents=True, exist_ok=True)
    for link in ("build", "source"):
        (installed / link).unlink(missing_ok=True)
    shutil.copyfile(make.log, folder / store.LOG)
    return release


def _build_id(vmlinux: Path) -> str:
    with vmlinux.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            return elf.build_id(content)
        except ValueError as error:
            raise BuildError(f"{vmlinux}: {error}", hint="the linker must be called with --build-id") from error
