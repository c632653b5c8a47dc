"""A kernel that somebody else has built, taken into the cache as if it had been built here: ``--kernel PATH``.

=============  =========================================================================================
``inputs``     what was named: a build directory, a package, a tarball, a folder as tuxmake leaves it
``builddir``    a build directory; ``parts``: where in all others kernel, DTBs, modules and ``.config`` lie
``image``      PURE: a kernel image, packed or not, and what it says about itself
``install``    whether they fit together; laid out as a build of our own leaves them
``initramfs``  for a kernel that has the drivers of its card as modules; ``init.c`` is the program in it
``modinfo``    PURE: what a module says about itself
=============  =========================================================================================
"""

import hashlib
import inspect
import json
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import attrs

from harness import host
from harness.build import archive, request, store
from harness.build.prebuilt import builddir, image, initramfs, inputs, install, modinfo, parts
from harness.build.prebuilt.inputs import Input
from harness.build.recipe import Recipe
from harness.errors import DeployError, UsageError
from harness.model import BoardProfile, KernelBuild, KernelSource, Toolchain

NAME = "prebuilt"


@attrs.frozen
class Taken(Recipe):
    """What a kernel that was not built here is known by: the bytes it came as, and the code that took it apart."""

    @property
    def key(self) -> str:
        """Digest of all inputs."""
        return self.source.digest[:32]


def load(
    paths: str | Path | Sequence[str | Path],
    board: BoardProfile,
    *,
    progress: host.Progress = host.silent,
    log: Path | None = None,
) -> KernelBuild:
    """Return the kernel in *paths* for *board*, complete and in the cache.

    Of several *paths* (a package with the image, one with the DTBs) the kernel is made of all together. *log* gets a
    few lines about what was taken from where. UsageError when there is no arm64 kernel in them; DeployError when what
    is there does not fit together, or lacks the board's DTB; LabError when this host is the reason.
    """
    named = [paths] if isinstance(paths, str | Path) else list(paths)
    found = [inputs.look(Path(os.path.abspath(Path(each).expanduser()))) for each in named]  # noqa: PTH100 - links stay
    recipe = _recipe(found)
    with host.locked(host.cache_dir(NAME) / f"{recipe.key}.lock"):
        built = _stored(recipe) or _take(recipe, found, progress)
    _need_dtb(built, board)
    if log:
        log.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(built.log, log)
    return attrs.evolve(built, log=log or built.log)


def _recipe(found: Sequence[Input]) -> Taken:
    """Return what names the kernel in the cache; version and compiler are known when it has been read."""
    code = [inspect.getsource(module) for module in (image, initramfs, inputs, install, modinfo, builddir, parts)]
    code += [Path(__file__).read_text(), initramfs.SOURCE.read_text()]
    digest = hashlib.sha256(json.dumps([code, [each.digest for each in found]]).encode()).hexdigest()
    origin = " with ".join(each.origin for each in found)
    return Taken(
        source=KernelSource(found[0].path, "mainline", "", origin, digest, commit=found[0].commit),
        toolchain=Toolchain(name=NAME, cross_prefix="", version="", digest=""),
        base_config=NAME,
        request=request.read(()),
        fragments=(),
        dtb_targets=(),
        extra_version="",
    )


def _stored(recipe: Taken) -> KernelBuild | None:
    """Return the kernel from the cache; None when it is not there, or damaged: it is taken once more then."""
    if not (host.cache_dir("kernels") / recipe.key).is_dir():
        return None
    try:
        kernel = store.known(recipe.key)
    except UsageError:
        return None
    now = recipe.source  # the same bytes may lie elsewhere now
    return attrs.evolve(kernel, source=attrs.evolve(kernel.source, path=now.path, origin=now.origin, commit=now.commit))


def _take(recipe: Taken, found: Sequence[Input], progress: host.Progress) -> KernelBuild:
    started = time.monotonic()
    with archive.scratch(host.cache_dir(NAME)) as scratch:
        taken = inputs.open_all(found, scratch, progress)
        kernel = taken.kernel
        recipe = attrs.evolve(
            recipe,
            source=attrs.evolve(
                recipe.source,
                flavour="raspberrypi" if taken.overlays else "mainline",
                version=kernel.release,
            ),
            toolchain=attrs.evolve(recipe.toolchain, version=kernel.compiler),
        )
        with store.shelf(recipe) as folder:
            progress(f"kernel: taking {kernel.release}")
            install.lay_out(folder, taken, recipe.source.origin, scratch)
            _refuse_changed(found)
            seconds = time.monotonic() - started
            told = {"release": kernel.release, "build_id": kernel.build_id, "seconds": seconds}
            store.describe(folder, recipe, told=told)
    return attrs.evolve(store.known(recipe.key), cached=False, seconds=seconds)


def _refuse_changed(found: Sequence[Input]) -> None:
    """Raise UsageError when somebody has built in a folder while it was copied."""
    for each in found:
        if each.path.is_dir() and inputs.look(each.path).digest != each.digest:
            raise UsageError(f"{each.path} was changed while it was read", hint="run it again when the build is done")


def _need_dtb(built: KernelBuild, board: BoardProfile) -> None:
    there = sorted(path.name for path in built.dtbs)
    if not set(there) & set(board.dtbs):
        raise DeployError(
            f"{built.source.origin}: no {' or '.join(board.dtbs)} for {board.title} came with kernel {built.release}",
            evidence=there[:12] or ["no DTB of a Raspberry Pi at all"],
            hint="name the package or tarball with its DTBs as well",
        )
