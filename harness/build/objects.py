"""The object tree of a build: made fit for the next one, and what of it can be believed and used again."""

import hashlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from harness import host
from harness.build import kconfig, lease, store
from harness.build.make import RUNNING, Meter
from harness.build.recipe import CONFIGS, DTS, Recipe
from harness.errors import UsageError

MIB = 2**20
TYPICAL = {"allnoconfig": (1060, 700 * MIB)}
"""Base configuration -> compile steps and bytes of a whole build; counted with Linux 6.12 and the smoke fragment."""
TYPICAL_FULL = (10_000, 6_000 * MIB)
REBUILD_BYTES = 300 * MIB
OVERLAY_FILES = ("*.dtbo", "overlay_map.dtb")
CONFIGURED = ".pi64-configured"
"""Lies in an object tree with the digest of all that its ``.config`` was made from, and of itself."""
KCONFIG_FILES = Path("include/config/auto.conf.cmd")


def folder(recipe: Recipe) -> Path:
    """Return where the objects of *recipe* lie, or shall lie."""
    return host.cache_dir("objects").resolve() / recipe.objects_name


def refuse_unclean(tree: Path) -> None:
    """Raise UsageError for a tree that was built in: its files shadow ours, and Kbuild says so only later."""
    traces = (".config", "include/config", "arch/arm64/include/generated")
    if any((tree / trace).exists() for trace in traces):
        raise UsageError(
            f"{tree}: was built in; this harness builds out of tree, which needs a clean one",
            hint=f"make -C {tree} ARCH=arm64 mrproper (this removes its .config)",
        )


def prepare(recipe: Recipe, objects: Path, progress: host.Progress) -> Meter:
    """Make the object tree and check the disk; what a killed make left half-written goes, ccache has the rest."""
    if (objects / RUNNING).exists():
        # A compiler that outlived its make goes on writing to the folder that it was started in: not to the new one.
        store.set_aside(objects)
    steps, size = TYPICAL.get(recipe.base_config, TYPICAL_FULL)
    fresh = not (objects / "vmlinux").exists()
    host.need_space(host.cache_dir("objects"), size if fresh else REBUILD_BYTES, f"building {recipe.base_config}")
    objects.mkdir(parents=True, exist_ok=True)
    lease.hold(objects)
    if not fresh:
        return Meter(expected=None, progress=progress)
    counted = _steps_file(objects)
    expected = int(counted.read_text()) if counted.is_file() else steps
    return Meter(expected=expected, progress=progress, resumed=sum(1 for _ in objects.rglob("*.o")))


def note_steps(objects: Path, steps: int) -> None:
    """Keep the number of a whole build's steps for the next one's estimate."""
    host.write_atomic(_steps_file(objects), str(steps).encode())


def _steps_file(objects: Path) -> Path:
    return objects.with_name(f"{objects.name}.steps")


# --- the configuration -----------------------------------------------------------------------------------------------
def is_configured(recipe: Recipe, objects: Path) -> bool:
    """Return whether ``.config`` is what configuring once more would give: this costs make some seconds.

    It is when nothing has changed that it was made from: request, base, compiler, and the tree's Kconfig files.
    """
    try:
        return (objects / CONFIGURED).read_text() == _settled(recipe, objects)
    except OSError:
        return False


def note_configured(recipe: Recipe, objects: Path) -> None:
    """Note what ``.config`` was made from; call it after a build, which has listed the Kconfig files."""
    (objects / CONFIGURED).unlink(missing_ok=True)
    if (objects / KCONFIG_FILES).is_file():
        host.write_atomic(objects / CONFIGURED, _settled(recipe, objects).encode())


def _settled(recipe: Recipe, objects: Path) -> str:
    digest = hashlib.sha256((objects / ".config").read_bytes())
    request = [recipe.base_config, recipe.base_text, kconfig.render(recipe.wanted), recipe.toolchain.digest]
    for text in [*request, *_states(recipe, objects)]:
        digest.update(f"{text}\0".encode())
    return digest.hexdigest()


def _states(recipe: Recipe, objects: Path) -> Iterator[str]:
    """Yield name, size and time of every file that Kconfig has read; it names them itself."""
    tree = recipe.source.path
    named = re.findall(r"^\t(\S+?)(?: \\)?$", (objects / KCONFIG_FILES).read_text(), re.MULTILINE)
    for name in [*named, "Makefile", f"{CONFIGS}/{recipe.base_config}"]:
        path = tree / name
        if path.is_file():
            state = path.stat()
            yield f"{name} {state.st_size} {state.st_mtime_ns}"


# --- what a build has left in it -------------------------------------------------------------------------------------
def has_modules(objects: Path) -> bool:
    """Return whether the configuration has modules at all."""
    return kconfig.parse((objects / ".config").read_text()).get("MODULES") == "y"


def dtbs(recipe: Recipe, objects: Path) -> list[Path]:
    """Return the DTBs of all Raspberry Pis."""
    built = objects / DTS
    if recipe.dtb_targets == ("dtbs",):
        return sorted((built / "broadcom").glob("*.dtb"))
    return [built / name for name in recipe.dtb_targets]


def overlays(recipe: Recipe, objects: Path) -> list[Path]:
    """Return the overlays and their README, without which the firmware does not believe in them; none in mainline."""
    built = [path for pattern in OVERLAY_FILES for path in sorted((objects / DTS / "overlays").glob(pattern))]
    readme = recipe.source.path / DTS / "overlays/README"
    return [*built, readme] if readme.is_file() else built


def copy(files: list[Path], to: Path) -> None:
    """Copy *files* to the new folder *to*."""
    to.mkdir()
    for file in files:
        shutil.copy2(file, to / file.name)
