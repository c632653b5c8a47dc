"""Built kernels in the cache: a folder per key, whole or not there, with a record that can prove every byte of it."""

import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs

from harness import host
from harness.build import lease
from harness.build.recipe import Recipe
from harness.errors import LabError, UsageError
from harness.model import CacheUse, KernelBuild, KernelSource, Toolchain

RECORD = "build.json"
LOG = "build.log"
INITRAMFS = "initramfs.img"
REPLACED = ".replaced-"
"""Begins the name of what is about to be removed; nobody looks for anything below it."""


class Damaged(LabError):
    """A stored kernel is not as it was left."""


def load(recipe: Recipe) -> KernelBuild | None:
    """Return the kernel that *recipe* gave before, or None; it stays in the cache as long as this process lives.

    Every file is read and compared with its SHA-256: 60 MB take 0.05 s. Raises `Damaged`.
    """
    folder = host.cache_dir("kernels") / recipe.key
    if not folder.is_dir():
        return None
    lease.hold(folder)
    # Equal keys are equal kernels, but this source may lie elsewhere than the one it was built from.
    return attrs.evolve(
        _read(folder), source=recipe.source, toolchain=recipe.toolchain, fragments=recipe.fragments, cached=False
    )


def known(word: str) -> KernelBuild:
    """Return the stored kernel whose key begins with *word*, or whose folder *word* is.

    UsageError when there is none, more than one, or not every file of it is as it was left.
    """
    kernels = host.cache_dir("kernels")
    folders = [Path(word)] if (Path(word) / RECORD).is_file() else sorted(kernels.glob(f"{glob.escape(word)}*/"))
    if len(folders) != 1:
        there = [f"{path.parent.name}  {release(path.parent)}" for path in sorted(kernels.glob(f"*/{RECORD}"))]
        wrong = "more than one such kernel" if folders else "no such kernel"
        raise UsageError(f"{word}: {wrong} in {kernels}", evidence=there[:20], hint="name one by its key")
    folder = folders[0].resolve()
    if folder.parent == kernels.resolve():
        lease.hold(folder)
    try:
        return attrs.evolve(_read(folder), seconds=0.0)
    except Damaged as damage:
        raise UsageError(damage.message, hint="build it again") from damage


def release(folder: Path) -> str:
    """Return the release of the stored kernel in *folder*, for people; nothing is verified."""
    try:
        return str(json.loads((folder / RECORD).read_text())["release"])
    except (OSError, ValueError, KeyError, TypeError):
        return "(damaged)"


@contextmanager
def shelf(recipe: Recipe) -> Iterator[Path]:
    """Yield an empty folder to fill; it takes its place in the cache when the block ends well, else it is removed."""
    kernels = host.cache_dir("kernels")
    beside = Path(tempfile.mkdtemp(prefix=f".{recipe.key}.", dir=kernels))
    lease.hold(beside)  # so that nobody takes it for what a killed process left
    try:
        yield beside
        beside.chmod(0o755)
        with host.locked(kernels / ".lock"):
            if not _good(recipe):  # else another process was faster, from another copy of the same source
                target = kernels / recipe.key
                set_aside(target)
                beside.rename(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        lease.forget(beside)


def set_aside(entry: Path) -> None:
    """Remove *entry* of the cache in one step for everybody else, however long it takes."""
    aside = Path(tempfile.mkdtemp(prefix=REPLACED, dir=entry.parent))
    with suppress(FileNotFoundError):
        entry.rename(aside / entry.name)
    clear(aside)


def clear(folder: Path) -> None:
    """Remove *folder*, which has no name that anybody looks for; what resists goes with the next pruning."""
    shutil.rmtree(folder, ignore_errors=True)


def describe(folder: Path, recipe: Recipe, *, told: Mapping[str, Any]) -> None:
    """Write the record of the filled *folder*, last of all; *told* is what only the build itself knows."""
    modules = {path.name.partition(".ko")[0].replace("-", "_") for path in folder.rglob("*.ko*")}
    record = {
        **told,
        "modules": sorted(modules),
        "source": {**attrs.asdict(recipe.source), "path": str(recipe.source.path)},
        "toolchain": attrs.asdict(recipe.toolchain),
        "base_config": recipe.base_config,
        "fragments": recipe.fragments,
    }
    seal(folder, record)


def seal(folder: Path, record: Mapping[str, Any]) -> None:
    """Write *record* with the SHA-256 of every file in *folder*, and of itself."""
    record = {**record, "files": _digests(folder)}
    host.write_atomic(folder / RECORD, json.dumps({**record, "self": _digest(record)}, indent=1).encode())


def _good(recipe: Recipe) -> bool:
    try:
        return load(recipe) is not None
    except Damaged:
        return False


def _read(folder: Path) -> KernelBuild:
    """Return the kernel in *folder* as its record tells; Damaged if that is not all true."""
    what = f"stored kernel {folder}"
    try:
        record = json.loads((folder / RECORD).read_bytes())
        own = record.pop("self")
        if own != _digest(record):
            raise Damaged(f"{what}: its record {RECORD} was changed")
        _compare(what, record["files"], _digests(folder))
        return _build(folder, record)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"{what}: its record {RECORD} cannot be read: {type(error).__name__}: {error}") from error


def _compare(what: str, recorded: Mapping[str, str], found: Mapping[str, str]) -> None:
    for name in sorted(recorded.keys() | found.keys()):
        if name not in found:
            raise Damaged(f"{what}: {name} is gone")
        if name not in recorded:
            raise Damaged(f"{what}: {name} was not there when it was stored")
        if recorded[name] != found[name]:
            raise Damaged(f"{what}: {name} was changed: its SHA-256 is no longer {recorded[name][:16]}...")


def _digests(folder: Path) -> dict[str, str]:
    """Return name -> SHA-256 of every file in *folder* but the record; links may only be where nothing is read."""
    names = [os.path.relpath(Path(parent, file), folder) for parent, _, files in os.walk(folder) for file in files]
    names = sorted(name for name in names if name != RECORD)
    with ThreadPoolExecutor(2) as pool:  # hashlib lets go of the interpreter
        return dict(zip(names, pool.map(lambda name: host.sha256(folder / name), names), strict=True))


def _digest(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _build(folder: Path, record: Mapping[str, Any]) -> KernelBuild:
    return KernelBuild(
        release=record["release"],
        build_id=record["build_id"],
        image=folder / "Image",
        dtbs=tuple(sorted((folder / "dtbs").glob("*.dtb"))),
        overlays=tuple(sorted((folder / "overlays").glob("*"))),
        modules_root=folder / "modules",
        modules=tuple(record["modules"]),
        config=folder / "config",
        log=folder / LOG,
        key=folder.name,
        source=KernelSource(**{**record["source"], "path": Path(record["source"]["path"])}),
        toolchain=Toolchain(**record["toolchain"]),
        base_config=record["base_config"],
        fragments=tuple(record["fragments"]),
        seconds=record["seconds"],
        cached=True,
        ccache=CacheUse(**record["ccache"]) if record.get("ccache") else None,
        warnings=record.get("warnings", 0),
        new_warnings=tuple(record.get("new_warnings", ())),
        initramfs=path if (path := folder / INITRAMFS).is_file() else None,
    )
