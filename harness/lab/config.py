"""lab.yaml, checked as a whole before anything moves: each fault with file, line and the nearest word that is known.

labgrid reads the same file and builds the targets; it only warns about a misspelt key, so it must not see one.
"""

import os
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from harness import boards
from harness.errors import ConfigError, LabError, UsageError
from harness.lab import plan as plans
from harness.lab.options import Depmod, Layout, TargetOptions
from harness.lab.plan import Plan
from harness.lab.yaml_reader import Reader, nearest

TOP_KEYS = ("targets", "options", "features", "images", "tools", "paths", "imports", "nightly")
TOP_MAPPINGS = ("options", "images", "tools", "paths")  # labgrid asks them without looking what they are
TARGET_KEYS = ("options", "resources", "drivers", "features")
CHOICES: Mapping[str, tuple[str, ...]] = {"layout": typing.get_args(Layout), "depmod": typing.get_args(Depmod)}


@attrs.frozen
class Lab:
    """lab.yaml, read and found good."""

    path: Path
    targets: Mapping[str, TargetOptions]
    features: Mapping[str, frozenset[str]]
    nightly: Plan | None = None
    """What `pi64 nightly` does; None where the file does not say."""

    def target(self, name: str) -> TargetOptions:
        """Return the options of target *name*; UsageError listing the targets with their models."""
        if name not in self.targets:
            known = [f"{known:<16} {options.model}" for known, options in self.targets.items()]
            raise UsageError(
                f"no target `{name}` in {self.path}", evidence=known, hint=nearest(name, self.targets) or "choose one"
            )
        return self.targets[name]


def load(path: Path, *, bench: bool = True) -> Lab:
    """Read and check *path*; ConfigError names file, line, the word and the nearest known one.

    Without *bench* resources and drivers go unread: what needs no board does not wait for labgrid to be loaded either.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", hint="name another file with --lg-env") from error
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8: {error.reason}", hint="save the file as UTF-8") from error
    return parse(text, path, bench=bench)


def parse(text: str, path: Path, *, bench: bool = True) -> Lab:
    """Check the text of a lab.yaml; *path* is for the messages, and its folder for what the text imports."""
    folder = path.absolute().parent
    reader = Reader(path, _variables(folder))
    top = reader.mapping(reader.root(text), "lab.yaml", TOP_KEYS)
    nodes = reader.mapping(top.get("targets"), "targets")
    if not nodes:
        raise ConfigError(f"{path}: no targets", hint="`targets:` maps a name to each board on the bench")
    for key in TOP_MAPPINGS:
        if key in top and not isinstance(reader.plain(top[key]), dict):
            raise reader.fault(top[key], f"`{key}` must be a mapping (`key: value` lines)")
    _features(reader, top)
    targets = {name: _target(reader, node, name) for name, node in nodes.items()}
    if bench:
        _classes().check(reader, top.get("imports"), folder, nodes)
    wanted = {name: options for name, (options, _) in targets.items()}
    return Lab(
        path,
        wanted,
        {name: features for name, (_, features) in targets.items()},
        plans.parse(reader, top["nightly"], wanted) if "nightly" in top else None,
    )


def _classes() -> Any:
    try:
        from harness.lab import classes  # noqa: PLC0415 - labgrid with it: half a second
    except ImportError as error:
        hint = "`pi64 doctor` tells which package is wrong; `make setup` mends an installation"
        raise LabError(f"labgrid cannot be loaded: {error}", hint=hint) from error
    return classes


def _variables(folder: Path) -> dict[str, str]:
    """Return what labgrid puts into a ``!template``."""
    return {"BASE": str(folder)} | {name: value for name, value in os.environ.items() if name.startswith("LG_")}


def _target(reader: Reader, node: Any, name: str) -> tuple[TargetOptions, frozenset[str]]:
    """Return the options and features of one target."""
    parts = reader.mapping(node, f"target `{name}`", TARGET_KEYS)
    asked = reader.mapping(parts.get("options"), f"options of `{name}`")
    if "model" not in asked:
        raise reader.fault(node, f"target `{name}` has no model", "`options: {model: rpi-3-b}`, say")
    options = reader.value(parts["options"], TargetOptions, f"options of `{name}`")
    try:
        boards.load(options.model)
    except UsageError as error:
        raise reader.fault(asked["model"], f"target `{name}`: {error.message}", error.hint) from error
    return options, _features(reader, parts)


def _features(reader: Reader, parts: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(reader.value(parts["features"], tuple[str, ...], "`features`") if "features" in parts else ())
