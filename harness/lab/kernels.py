"""From a target's options to its kernel, and to what goes onto the boot medium with it."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from harness import boards, host
from harness.bootfs import quirks
from harness.bootfs.compose import compose
from harness.bootfs.quirks import Quirks
from harness.build import kernel, prebuilt, requirements, stubs
from harness.build import toolchain as toolchains
from harness.build.requirements import Purpose
from harness.card.fat import FatPartition
from harness.deploy.modules import with_depmod, with_folder
from harness.errors import BuildError
from harness.lab.options import TargetOptions
from harness.model import BaseImage, BoardProfile, BootFile, BootFiles, KernelBuild, KernelSource, Toolchain

if TYPE_CHECKING:  # labgrid with it: half a second for whoever only builds
    from harness.strategy import RaspberryPiStrategy

ROOT = "/dev/mmcblk0p2"  # where the root filesystem lies unless `root:` says otherwise
OUR_USERLAND_BITS = 32  # of the base image that pi64 makes itself
VIRTUAL = "virtual"  # the feature of a board in QEMU
NONE = ("none",)  # `requires: [none]`: whatever it lacks, build it


def purpose(options: TargetOptions, *, features: Collection[str], userland_bits: int) -> Purpose:
    """Return what the kernel of a target is meant for, which decides on what its configuration must have."""
    sets = options.kernel.requires
    if sets is None:
        sets = requirements.default(userland_bits=userland_bits, root=options.root or ROOT)
    return Purpose(() if sets == NONE else sets, virtual=VIRTUAL in features)


def build(
    options: TargetOptions,
    source: KernelSource,
    toolchain: Toolchain,
    *,
    meant: Purpose,
    log: Path,
    progress: host.Progress = host.silent,
    jobs: int | None = None,
    localversion: str | None = None,
) -> KernelBuild:
    """Return the kernel that *options* ask for, built from *source*; as ``build.kernel.build``."""
    return kernel.build(
        source,
        toolchain,
        boards.load(options.model),
        config=options.kernel.config,
        fragments=options.kernel.fragments,
        jobs=jobs,
        localversion=localversion,
        purpose=meant,
        progress=progress,
        log=log,
    )


def take(
    options: TargetOptions, *, meant: Purpose, log: Path | None = None, progress: host.Progress = host.silent
) -> KernelBuild:
    """Return the kernel that somebody else has built, as ``build.prebuilt.load``; BuildError for what it lacks."""
    board = boards.load(options.model)
    taken = prebuilt.load(options.kernel.prebuilt, board, progress=progress, log=log)
    config = taken.config.read_text()
    lacking = requirements.missing(
        config, meant.sets, board, virtual=meant.virtual, initramfs=taken.initramfs is not None
    )
    if lacking and "CONFIG_" in config:  # else no configuration came with it, and nobody knows
        raise BuildError(
            f"{taken.source.origin}: {taken.release} lacks what a kernel for {board.title} needs here",
            evidence=[str(each) for each in lacking],
            hint="take one that has it, or ask for fewer sets: `--requires NAME`, or `--requires none`",
        )
    return taken


# --- what goes onto the boot medium ----------------------------------------------------------------------------------
def boot_files(
    built: KernelBuild,
    options: TargetOptions,
    strategy: "RaspberryPiStrategy",
    *,
    selftests: Path | None = None,
    progress: host.Progress = host.silent,
) -> BootFiles:
    """Return what goes onto the boot medium, composed with what the stock system has there.

    *selftests* come to lie beside the modules: those every deploy method brings.
    """
    if options.depmod == "host":
        built = attrs.evolve(built, modules_root=with_depmod(built.modules_root, built.release))
    if selftests:
        built = attrs.evolve(built, modules_root=with_folder(built.modules_root, built.release, selftests))
    board, stock = boards.load(options.model), strategy.stock()
    quirk = old_firmware(built, options, board, stock, strategy.base)
    files = compose(
        built,
        board,
        stock,
        layout=options.layout,
        root=options.root,
        config_extra=(*quirk.config, *options.config_txt),
        cmdline_extra=options.cmdline,
        extra_files=_stub(quirk, built, options, progress),
    )
    return attrs.evolve(files, remarks=quirk.reasons)


def old_firmware(
    built: KernelBuild,
    options: TargetOptions,
    board: BoardProfile,
    stock: Mapping[str, bytes],
    base: BaseImage | None,
) -> Quirks:
    """Return what *board* needs for the age of the firmware on the stock system, and why, or why not."""
    files = dict(stock)
    if board.history and base and not options.firmware:
        fat = FatPartition(base.path, base.boot_offset)
        name = next((each for each in board.start_elf for path in fat.sizes() if str(path) == each), "")
        files |= {name: fat.read(name)} if name else {}
    return quirks.needed(board, files, release=built.release, firmware=options.firmware)


def _stub(quirk: Quirks, built: KernelBuild, options: TargetOptions, progress: host.Progress) -> tuple[BootFile, ...]:
    """Return the boot stub that *quirk* names, built now or from the cache, by the compiler of the kernel."""
    if not quirk.armstub:
        return ()
    toolchain = toolchains.system() if built.toolchain.name == prebuilt.NAME else built.toolchain
    wanted = options.stubs
    return (stubs.build(wanted.source, toolchain, ref=wanted.ref, progress=progress).file(quirk.armstub),)
