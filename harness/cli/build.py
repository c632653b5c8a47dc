"""Build the kernel of a target, or take it from the cache, and say where its parts lie."""

import argparse
import json
import os
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import attrs

from harness import boards, host
from harness.build import explain, recipe
from harness.build import source as sources
from harness.build import toolchain as toolchains
from harness.build.requirements import Purpose
from harness.cli._terminal import Progress
from harness.errors import Pi64Error
from harness.lab import choices, config, kernels
from harness.lab.config import Lab
from harness.lab.options import TargetOptions
from harness.model import KernelBuild, KernelSource, Toolchain
from harness.report.redact import printable

LAB = Path("lab.yaml")


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments: those of `pytest tests_hw` have the same names there."""
    parser.add_argument("--board", metavar="NAME", default="virtual-rpi3", help="target of lab.yaml (%(default)s)")
    parser.add_argument("--lg-env", metavar="FILE", type=Path, default=LAB, help="another lab.yaml")
    parser.add_argument("--source", help="kernel source: folder, tarball, git URL, or package:PATTERN")
    parser.add_argument("--ref", help="branch, tag or commit of a git source")
    parser.add_argument(
        "--branch", metavar="NAME", help="the branch of which --ref is a commit: it is built in its tree"
    )
    parser.add_argument("--toolchain", help="`system`, `llvm`, `built`, a folder, or a cross prefix")
    parser.add_argument("--config", metavar="BASE", help="defconfig of the tree, allnoconfig, or a file")
    parser.add_argument("--fragment", action="append", metavar="NAME", help="config fragment on top of the target's")
    parser.add_argument("--requires", action="append", metavar="SET", help="what its configuration must have")
    parser.add_argument("--localversion", help="stands before pi64's own part of the release")
    parser.add_argument("--jobs", "-j", type=int, default=os.cpu_count() or 1, help="default: %(default)s")
    parser.add_argument("--log", metavar="FILE", type=Path, help="where make's output goes (default: in the cache)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--explain", action="store_true", help="print the plain commands instead; they give this Image")


def run(args: argparse.Namespace) -> int:
    """Return 0 for a kernel; a failure is told by the exception, with ``--json`` on standard output as well."""
    try:
        return _explain(args) if args.explain else _build(args)
    except Pi64Error as error:
        if args.json:
            told = {"verdict": error.verdict, "message": error.message, "hint": error.hint, "evidence": error.evidence}
            print(json.dumps(told, indent=1))
        raise


def _build(args: argparse.Namespace) -> int:
    started, progress = time.monotonic(), Progress()
    try:
        lab = config.load(args.lg_env, bench=False)
        options, source, toolchain = _inputs(args, lab, progress)
        built = kernels.build(
            options,
            source,
            toolchain,
            meant=_purpose(options, lab.features[args.board]),
            localversion=args.localversion,
            jobs=args.jobs,
            progress=progress,
            log=args.log or host.cache_dir("logs") / f"{args.board}.log",
        )
    finally:
        progress.clear()
    told = describe(built, time.monotonic() - started)
    print(json.dumps(told, indent=1) if args.json else printable(_for_people(built, told)))
    return 0


def _explain(args: argparse.Namespace) -> int:
    progress = Progress()
    try:
        options, source, toolchain = _inputs(args, config.load(args.lg_env, bench=False), progress)
    finally:
        progress.clear()
    wanted = options.kernel
    plan = recipe.compose(
        source,
        toolchain,
        boards.load(options.model),
        config=wanted.config,
        fragments=wanted.fragments,
        localversion=args.localversion,
    )
    print(printable(explain.script(plan, config=wanted.config, jobs=args.jobs)))
    return 0


def _purpose(options: TargetOptions, features: Collection[str]) -> Purpose:
    """Return what the kernel is meant for; of an image that the user brings, the word size is not looked up here."""
    bits = 0 if options.image.file else kernels.OUR_USERLAND_BITS
    return kernels.purpose(options, features=features, userland_bits=bits)


def _inputs(
    args: argparse.Namespace, lab: Lab, progress: host.Progress
) -> tuple[TargetOptions, KernelSource, Toolchain]:
    given = lab.target(args.board)
    wanted = choices.kernel(
        given.kernel,
        source=args.source,
        ref=args.ref,
        branch=args.branch,
        toolchain=args.toolchain,
        config=args.config,
        fragments=args.fragment,
        requires=args.requires,
    )
    source = sources.open_tree(wanted.source, ref=wanted.ref, branch=wanted.branch, progress=progress)
    toolchain = toolchains.choose(wanted.toolchain, table=choices.toolchains(args.lg_env), progress=progress)
    return attrs.evolve(given, kernel=wanted), source, toolchain


def describe(built: KernelBuild, seconds: float) -> dict[str, Any]:
    """Return what ``--json`` prints; *seconds* is what the whole command took."""
    paths = {"image": built.image, "config": built.config, "log": built.log, "modules_root": built.modules_root}
    return {
        "release": built.release,
        "key": built.key,
        "cached": built.cached,
        "seconds": round(seconds, 2),
        **{name: str(path) for name, path in paths.items()},
        "dtbs": [str(path) for path in built.dtbs],
        "overlays": [str(path) for path in built.overlays],
        "modules": built.modules,
        "build_id": built.build_id,
        "base_config": built.base_config,
        "fragments": built.fragments,
        "source": {**attrs.asdict(built.source), "path": str(built.source.path)},
        "toolchain": attrs.asdict(built.toolchain),
        "ccache": built.ccache and {**attrs.asdict(built.ccache), "rate": round(built.ccache.rate, 3)},
        "warnings": built.warnings,
        "new_warnings": built.new_warnings,
    }


def _for_people(built: KernelBuild, told: dict[str, Any]) -> str:
    how = "from the cache" if built.cached else f"built with {built.toolchain.version}"
    lines = [
        f"{built.release}: {how}, {told['seconds']:.1f} s",
        f"  key      {built.key}",
        f"  source   {built.source.origin}",
        f"  Image    {built.image}",
        f"  dtbs     {built.image.parent / 'dtbs'} ({len(built.dtbs)}), overlays: {len(built.overlays)}",
        f"  modules  {built.modules_root} ({len(built.modules)})",
        f"  config   {built.config}",
        f"  log      {built.log}",
    ]
    if built.ccache:
        use, of = built.ccache, "when it was built" if built.cached else "of"
        lines.append(f"  ccache   {use.rate:.0%} {of} {use.hits + use.misses} objects, {use.remote} from afar")
    if built.warnings:
        lines.append(f"  warnings {built.warnings}, {len(built.new_warnings)} new since the last good build")
        lines += [f"    {warning}" for warning in built.new_warnings[:10]]
    return "\n".join(lines)
