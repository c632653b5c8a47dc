"""What decides what comes of a job, as digests: jobs of equal inputs are the same job, run again.

They are the source's content, compiler, configuration (the text of the fragments, not their names), what lab.yaml asks
of the target, the base image, pi64's own files, the tests, pytest's words. Not who logs in, deadlines, or the bench.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import harness
from harness import boards
from harness.build import kconfig, recipe, request, toolchain
from harness.build.requirements import Purpose
from harness.build.revision import Revision
from harness.lab import asked
from harness.lab.options import ImageOptions, KernelOptions, TargetOptions

SHIPPED = (".py", ".toml", ".config", ".sh", ".c")


def kernel(options: TargetOptions, revision: Revision, compiler: str, meant: Purpose) -> str:
    """Return what tells one build from another; *compiler* is what `compiler` says.

    UsageError for a fragment or configuration that cannot be read.
    """
    wanted, base = options.kernel, options.kernel.config
    if base and base not in recipe.GENERATED and request.is_file(base):
        base = request.base_text(Path(base).expanduser())
    settings = kconfig.render(request.read(wanted.fragments).wanted)
    default = boards.load(options.model).defconfig
    sets = (meant.sets, meant.virtual)
    return _digest(wanted.source, revision.digest, compiler, base or default, settings, sets)


def job(options: TargetOptions, kernel: str, common: str) -> str:
    """Return what tells one job on one board from another; *common* is what `common` says."""
    told = {name: value for name, value in asked.facts(options)["asked"].items() if name != "kernel"}
    return _digest(kernel, told, _image(options.image), common)


def compiler(wanted: KernelOptions, table: Path) -> str:
    """Return what tells the compiler from others; one that is built from source is known by what is asked for."""
    if wanted.toolchain.partition(":")[0] == "built":
        return _digest(wanted.toolchain, table.read_text() if table.is_file() else "")
    return toolchain.choose(wanted.toolchain, table=table).digest


def common(words: Sequence[str], folder: Path) -> str:
    """Return what is the same for all jobs of a night: pytest's *words*, the tests they name in *folder*, and pi64."""
    return _digest(words, _tests(words, folder), _own())


def _own() -> str:
    """Return a digest of pi64's own files: another pi64 may come to another verdict."""
    house = Path(harness.__file__).parent
    return _files(house, (path for path in house.rglob("*") if path.suffix in SHIPPED))


def _tests(words: Sequence[str], folder: Path) -> str:
    """Return a digest of the tests that pytest's *words* name, with what stands beside them."""
    named = [folder / word.partition("::")[0] for word in words if not word.startswith("-")]
    found = [path for each in named if each.is_dir() for path in each.rglob("*.py")]
    return _files(folder, [*found, *(path for path in (*named, folder / "conftest.py") if path.is_file())])


def _image(wanted: ImageOptions) -> Any:
    """Return what tells the base image from others without reading it: it may be gigabytes."""
    if not wanted.file:
        return wanted.suite
    path = Path(wanted.file).expanduser()
    state = path.stat() if path.is_file() else None
    return (wanted.file, state and (state.st_size, state.st_mtime_ns))


def _files(folder: Path, paths: Iterable[Path]) -> str:
    return _digest(
        [(os.path.relpath(path, folder), hashlib.sha256(path.read_bytes()).hexdigest()) for path in sorted(paths)]
    )


def _digest(*things: Any) -> str:
    return hashlib.sha256(json.dumps(things, default=str).encode()).hexdigest()[:32]
