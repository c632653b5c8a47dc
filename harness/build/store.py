"""Built kernels in the cache: a folder per key, whole or not there, with a record of what it holds."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from harness import host
from harness.build.recipe import Recipe
from harness.model import KernelBuild

RECORD = "build.json"
LOG = "build.log"


def load(recipe: Recipe) -> KernelBuild | None:
    """Return the kernel that *recipe* gave before; None if there is none, or not every file of it is as it was left."""
    folder = host.cache_dir("kernels") / recipe.key
    try:
        record = json.loads((folder / RECORD).read_text())
        sizes: dict[str, int] = record["sizes"]
        if any((folder / name).stat().st_size != size for name, size in sizes.items()):
            return None
        return _build(folder, recipe, record)
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def shelf(recipe: Recipe) -> Iterator[Path]:
    """Yield an empty folder to fill; it takes its place in the cache when the block ends well, else it is removed."""
    kernels = host.cache_dir("kernels")
    beside = Path(tempfile.mkdtemp(prefix=f".{recipe.key}.", dir=kernels))
    try:
        yield beside
        beside.chmod(0o755)
        target = kernels / recipe.key
        with host.locked(kernels / ".lock"):
            if load(recipe) is None:  # else another process was faster, from another copy of the same source
                shutil.rmtree(target, ignore_errors=True)  # what `load` refused
                beside.rename(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def describe(folder: Path, recipe: Recipe, *, release: str, build_id: str, seconds: float) -> None:
    """Write the record of the filled *folder*, last of all."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    record = {
        "release": release,
        "build_id": build_id,
        "seconds": round(seconds, 1),
        "modules": sorted(
            {path.name.partition(".ko")[0].replace("-", "_") for path in files if ".ko" in path.suffixes}
        ),
        "source": {**attrs.asdict(recipe.source), "path": str(recipe.source.path)},
        "toolchain": attrs.asdict(recipe.toolchain),
        "base_config": recipe.base_config,
        "fragments": recipe.fragments,
        "sizes": {str(path.relative_to(folder)): path.stat().st_size for path in files},
    }
    host.write_atomic(folder / RECORD, json.dumps(record, indent=1).encode())


def _build(folder: Path, recipe: Recipe, record: dict[str, Any]) -> KernelBuild:
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
        key=recipe.key,
        source=recipe.source,
        toolchain=recipe.toolchain,
        base_config=recipe.base_config,
        fragments=recipe.fragments,
        seconds=record["seconds"],
        cached=False,
    )
