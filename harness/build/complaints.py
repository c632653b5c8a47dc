"""What the compiler objected to in a build, and what of it the last good build of that configuration did not have."""

import hashlib
import json
from pathlib import Path

import attrs

from harness import host
from harness.build import diagnose, kconfig
from harness.build.make import Make
from harness.build.recipe import Recipe

KEPT = ".pi64-warnings"
"""Lies in an object tree with the warnings of all that was compiled there."""


@attrs.frozen
class Complaints:
    """Warnings as `diagnose.warnings` gives them."""

    there: tuple[str, ...]
    """Of this kernel: what was not compiled again complains as before."""
    new: tuple[str, ...]
    """Empty when there is nothing to compare with."""


def collect(make: Make, *, whole: bool) -> Complaints:
    """Return what the log of *make* tells; *whole* says whether everything was compiled."""
    log = make.log.read_text(errors="replace")
    said = diagnose.warnings(log, tree=str(make.recipe.source.path))
    before = None if whole else _read(make.objects / KEPT)
    there = list(dict.fromkeys([*diagnose.still(before or (), diagnose.compiled(log)), *said]))
    last = _read(_of_last_good(make.recipe))
    return Complaints(tuple(there), tuple(each for each in there if last is not None and each not in last))


def keep(make: Make, complaints: Complaints) -> None:
    """Note that the build was good: the next one is compared with it."""
    text = json.dumps(complaints.there).encode()
    host.write_atomic(make.objects / KEPT, text)
    host.write_atomic(_of_last_good(make.recipe), text)


def _of_last_good(recipe: Recipe) -> Path:
    """Return where the warnings of the last good build lie: of any checkout of the same line of versions."""
    line = recipe.source.version.split(".")[:2]
    inputs = [recipe.source.flavour, line, recipe.base_config, recipe.base_text, kconfig.render(recipe.wanted)]
    name = hashlib.sha256(json.dumps([*inputs, recipe.toolchain.digest]).encode()).hexdigest()[:16]
    return host.cache_dir("warnings") / f"{name}.json"


def _read(path: Path) -> list[str] | None:
    try:
        return list(map(str, json.loads(path.read_text())))
    except (OSError, ValueError, TypeError):
        return None
