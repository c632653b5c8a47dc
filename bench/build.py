"""What a build costs the second time: nothing changed, one driver changed, all of it again with a warm ccache.

Without `--cold` only what needs no long build: nothing changed, and the look at a full kernel tree in git. With it, on
two idle cores for about an hour: a work tree of the kernel that `lab.yaml` names, in git, is built cold in a cache of
its own, asked for again, changed in one driver, and built again from the warm ccache.
"""

import argparse
import json
import os
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
from _common import ROOT, Figure, main, median, say

from harness import host
from harness.build import git
from harness.build import source as sources
from harness.build.process import environment
from harness.errors import LabError
from harness.lab import config

BOARD = "virtual-rpi3"
DRIVER = "drivers/mmc/host/bcm2835.c"
UNCHANGED_S = 1.0
OVERHEAD = 1.10
WARM = 0.25
INTO = "INSTALL_MOD_PATH="
IDENTITY = ("-c", "user.name=pi64", "-c", "user.email=pi64@localhost", "-c", "gc.auto=0")


@attrs.frozen
class Cost:
    """What one command took."""

    seconds: float
    cpu_s: float
    """Processor seconds of the command and all that it called."""


def figures() -> Iterator[Figure]:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="default: %(default)s; medians count")
    parser.add_argument("--cold", action="store_true", help="measure the long builds too: an hour on two idle cores")
    args = parser.parse_args()
    _pi64()  # makes what is missing; that is not counted
    yield Figure("build.unchanged", _median([_pi64()[0] for _ in range(args.repeats)]), "s", UNCHANGED_S)
    tree = _work_tree()
    yield Figure("build.look_at_git_tree", median([_looking(tree) for _ in range(args.repeats)]), "s", UNCHANGED_S)
    if args.cold:
        with tempfile.TemporaryDirectory(prefix=".bench-", dir=host.cache_dir()) as name:
            yield from _long(tree, Path(name), args.repeats)


def _long(tree: Path, cache: Path, repeats: int) -> Iterator[Figure]:
    """Build *tree* in an empty *cache*, then again and again."""
    cold, told = _pi64(tree, cache)
    yield Figure("build.cold", cold.seconds)
    yield Figure("build.cold.cpu", cold.cpu_s / 60, "min")
    again = [_pi64(tree, cache)[0] for _ in range(repeats)]
    yield Figure("build.unchanged_git", _median(again), "s", UNCHANGED_S)
    try:
        yield from _one_driver(tree, cache, repeats)
    finally:
        _git(tree, "checkout", "--quiet", "--", DRIVER)
    for folder in ("kernels", "objects"):
        shutil.rmtree(cache / folder)
    warm, told = _pi64(tree, cache)
    say(f"warm ccache: {told['ccache']}")
    yield Figure("build.warm_over_cold", warm.seconds / cold.seconds, "", WARM)


def _one_driver(tree: Path, cache: Path, repeats: int) -> Iterator[Figure]:
    """Change the driver for pi64 and for plain make in turn: in the same object tree, with the same words.

    Both give kernel, DTBs and an installed module tree; pi64 looks at the sources, and proves and keeps what it made.
    """
    ours, plain = [], []
    _edit(tree)
    _, told = _pi64(tree, cache)  # the first change is the first to find a configured object tree
    for _ in range(repeats):
        _edit(tree)
        plain.append(_plain_make(told, cache))
        _edit(tree)
        cost, told = _pi64(tree, cache)
        ours.append(cost)
    yield Figure("build.one_driver", _median(ours))
    yield Figure("build.one_driver.plain_make", _median(plain))
    yield Figure("build.one_driver_over_plain", _median(ours) / _median(plain), "", OVERHEAD)


def _plain_make(told: dict[str, Any], cache: Path) -> Cost:
    """Run the commands that made what *told* is about, in a shell; the modules go into a folder that is new."""
    said = Path(told["log"]).read_text(errors="replace").splitlines()
    commands = [shlex.split(line[2:]) for line in said if line.startswith("+ make ")]
    with tempfile.TemporaryDirectory(dir=host.cache_dir()) as folder:
        words = [[f"{INTO}{folder}" if word.startswith(INTO) else word for word in command] for command in commands]
        cost, _ = _timed(["sh", "-ec", "\n".join(map(shlex.join, words))], cache)
    return cost


def _edit(tree: Path) -> None:
    with (tree / DRIVER).open("a") as file:
        file.write(f"/* {time.monotonic_ns()} */\n")


# --- the tree --------------------------------------------------------------------------------------------------------
def _work_tree() -> Path:
    """Return a work tree in git of the kernel that lab.yaml names, made once."""
    wanted = config.load(ROOT / "lab.yaml").target(BOARD).kernel
    source = sources.open_tree(wanted.source, ref=wanted.ref)
    tree = host.cache_dir("bench") / source.digest[:16]
    if git.work_tree(tree) is None:
        say(f"making a git work tree of {source.origin}")
        shutil.rmtree(tree, ignore_errors=True)
        shutil.copytree(source.path, tree, symlinks=True, ignore=shutil.ignore_patterns(".git"))
        for words in (("init", "--quiet"), ("add", "--force", "."), ("commit", "--quiet", "--message", "kernel")):
            _git(tree, *words)
    return tree


def _git(tree: Path, *words: str) -> None:
    host.run(["git", "-C", tree, *IDENTITY, *words])


def _looking(tree: Path) -> float:
    started = time.monotonic()
    sources.open_tree(str(tree))
    return time.monotonic() - started


# --- the commands ----------------------------------------------------------------------------------------------------
def _pi64(tree: Path | None = None, cache: Path | None = None) -> tuple[Cost, dict[str, Any]]:
    """Run `pi64 build` and return what it took and what it told."""
    source = ["--source", str(tree)] if tree else []
    command = [sys.executable, "-m", "harness.cli", "build", "--board", BOARD, "--json", *source]
    cost, said = _timed(command, cache)
    return cost, json.loads(said)


def _timed(command: list[str], cache: Path | None) -> tuple[Cost, str]:
    before, started = _children(), time.monotonic()
    own = {"PI64_CACHE": str(cache), "CCACHE_DIR": str(cache / "ccache")} if cache else {}
    env = environment({**os.environ, **own})  # plain make gets the same environment as ours
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"`{shlex.join(command)[:200]}` failed", evidence=(done.stderr or done.stdout).splitlines()[-8:])
    return Cost(time.monotonic() - started, _children() - before), done.stdout


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _median(costs: list[Cost]) -> float:
    say("single: " + ", ".join(f"{cost.seconds:.2f} s ({cost.cpu_s:.2f} s of processor)" for cost in costs))
    return median([cost.seconds for cost in costs])


if __name__ == "__main__":
    main(figures())
