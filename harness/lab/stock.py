"""The system that is there already, for a board whose card the lab makes: a live deploy needs one to deploy into."""

import attrs

from harness import boards, host
from harness.bootfs.compose import BEGIN, END, compose
from harness.bootfs.slots import CONFIG
from harness.build import source as sources
from harness.build import toolchain as toolchains
from harness.build.requirements import Purpose
from harness.deploy.modules import with_depmod
from harness.errors import ConfigError
from harness.lab import kernels
from harness.lab.options import KernelOptions, TargetOptions
from harness.model import BootFile, BootFiles, KernelBuild
from harness.strategy import RaspberryPiStrategy


def provide(
    options: TargetOptions,
    strategy: RaspberryPiStrategy,
    *,
    meant: Purpose,
    progress: host.Progress = host.silent,
) -> None:
    """Put the kernel of the target's ``stock:`` onto its card, unless it lies there; other targets have a system.

    ConfigError for a target on whose card nothing can be put beforehand.
    """
    if options.stock is None or strategy.boots:  # a board that has booted, here or before we came, has a system
        return
    medium = strategy.medium
    texts = medium.bare() if medium and medium.live else None
    if texts is None:
        raise ConfigError(
            f"{strategy.target.name}: `stock:` is for a card that the lab makes and then deploys to over SSH",
            hint="`CardImageDriver: {}` and `SshDeployDriver: {}` among its drivers, or no `stock:`",
        )
    built = _build(options, options.stock, strategy.target.name, meant, progress)
    files = compose(
        attrs.evolve(built, modules_root=with_depmod(built.modules_root, built.release)),
        boards.load(options.model),
        texts,
        layout="in-place",
        root=options.root,
        config_extra=options.config_txt,
        cmdline_extra=options.cmdline,
    )
    medium.provide(as_stock(files))


def as_stock(files: BootFiles) -> BootFiles:
    """Return *files* with a config.txt in which nothing is marked as ours: what is there before we come is stock."""
    return attrs.evolve(files, files=tuple(map(_unmarked, files.files)))


def _unmarked(file: BootFile) -> BootFile:
    if str(file.path) != CONFIG:
        return file
    lines = file.read().decode("latin-1").splitlines(keepends=True)
    return attrs.evolve(
        file, data="".join(line for line in lines if line.strip() not in {BEGIN, END}).encode("latin-1")
    )


def _build(
    options: TargetOptions, wanted: KernelOptions, target: str, meant: Purpose, progress: host.Progress
) -> KernelBuild:
    log = host.cache_dir("logs") / f"{target}-stock.log"
    asked = attrs.evolve(options, kernel=wanted)
    if wanted.prebuilt:
        return kernels.take(asked, meant=meant, log=log, progress=progress)
    source = sources.open_tree(wanted.source, ref=wanted.ref, progress=progress)
    toolchain = toolchains.choose(wanted.toolchain, progress=progress)
    return kernels.build(asked, source, toolchain, meant=meant, log=log, progress=progress)
