"""lab.yaml, checked as a whole before anything moves: each fault with file, line and the nearest word that is known.

labgrid reads the same file and builds the targets; it only warns about a misspelt key, so it must not see one.
"""

import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attr
import attrs
import yaml
from labgrid.factory import target_factory

import harness.lab.drivers  # noqa: F401 - so that labgrid's factory knows our classes
from harness import boards
from harness.errors import ConfigError, UsageError
from harness.lab.options import TargetOptions

TOP_KEYS = ("targets", "options", "features", "images", "tools", "paths", "imports")
TARGET_KEYS = ("options", "resources", "drivers", "features")
EXTRA_ARGS = ("name", "bindings", "cls")  # what labgrid itself takes beside a class's own arguments
CHOICES = {"layout": ("side-by-side", "in-place"), "depmod": ("host", "target")}


@attrs.frozen
class Lab:
    """lab.yaml, read and found good."""

    path: Path
    targets: Mapping[str, TargetOptions]
    features: Mapping[str, frozenset[str]]

    def target(self, name: str) -> TargetOptions:
        """Return the options of target *name*; UsageError listing the targets with their models."""
        if name not in self.targets:
            known = [f"{known:<16} {options.model}" for known, options in self.targets.items()]
            raise UsageError(
                f"no target `{name}` in {self.path}", evidence=known, hint=_nearest(name, self.targets) or "choose one"
            )
        return self.targets[name]


def load(path: Path) -> Lab:
    """Read and check *path*; ConfigError names file, line, the word and the nearest known one."""
    try:
        text = path.read_text()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", hint="name another file with --lg-env") from error
    return parse(text, path)


def parse(text: str, path: Path) -> Lab:
    """Check the text of a lab.yaml; *path* is for the messages."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{line}: not YAML: {getattr(error, 'problem', error)}") from error
    top = _Reader(path).mapping(root, "lab.yaml", TOP_KEYS)
    if "targets" not in top:
        raise ConfigError(f"{path}: no targets", hint="`targets:` maps a name to each board on the bench")
    reader = _Reader(path)
    targets = {name: reader.target(node, name) for name, node in reader.mapping(top["targets"], "targets").items()}
    return Lab(
        path,
        {name: options for name, (options, _) in targets.items()},
        {name: features for name, (_, features) in targets.items()},
    )


class _Reader:
    """Turns YAML nodes into values and complains with their lines."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def mapping(self, node: Any, what: str, known: Iterable[str] = ()) -> dict[str, Any]:
        """Return key -> node; an unknown, a doubled or a non-text key is an error."""
        if node is None or (isinstance(node, yaml.ScalarNode) and node.value == ""):
            return {}
        if not isinstance(node, yaml.MappingNode):
            raise self._fault(node, f"{what} must be a mapping (`key: value` lines)")
        found: dict[str, Any] = {}
        for key, value in node.value:
            if key.value in found:
                raise self._fault(key, f"`{key.value}` stands twice in {what}")
            if known and key.value not in known:
                raise self._fault(key, f"unknown key `{key.value}` in {what}", _nearest(key.value, known))
            found[key.value] = value
        return found

    def target(self, node: Any, name: str) -> tuple[TargetOptions, frozenset[str]]:
        """Return the options and features of one target, and check what labgrid will make of the rest."""
        parts = self.mapping(node, f"target `{name}`", TARGET_KEYS)
        if "options" not in parts or "model" not in self.mapping(parts["options"], "options"):
            raise self._fault(node, f"target `{name}` has no model", "`options: {model: rpi-3-b}`, say")
        options = self.value(parts["options"], TargetOptions, f"options of `{name}`")
        try:
            boards.load(options.model)
        except UsageError as error:
            raise self._fault(parts["options"], f"target `{name}`: {error.message}", error.hint) from error
        for kind, registered in (("resources", target_factory.resources), ("drivers", target_factory.drivers)):
            for cls, args in self._entries(parts.get(kind), f"{kind} of `{name}`"):
                self._check_class(cls, args, registered, kind)
        features = frozenset(item.value for item in getattr(parts.get("features"), "value", ()))
        return options, features

    def value(self, node: Any, wanted: Any, what: str) -> Any:
        """Return *node* as a value of the type *wanted*: an attrs class, str, float, a tuple of str, or one or None."""
        if isinstance(wanted, types.UnionType):
            wanted = next(kind for kind in typing.get_args(wanted) if kind is not types.NoneType)
        if attrs.has(wanted):
            fields = {field.name: field for field in attrs.fields(attrs.resolve_types(wanted))}
            given = self.mapping(node, what, fields)
            values = {key: self.value(part, fields[key].type, f"`{key}`") for key, part in given.items()}
            return wanted(**values)
        plain = yaml.SafeLoader("").construct_object(node, deep=True)
        key = what.strip("`")
        if typing.get_origin(wanted) is tuple:
            if not isinstance(plain, list) or not all(isinstance(item, str) for item in plain):
                raise self._fault(node, f"{what} must be a list of texts, not {plain!r}")
            return tuple(plain)
        if wanted is float and isinstance(plain, int | float) and not isinstance(plain, bool):
            return float(plain)
        if wanted is float or not isinstance(plain, str):
            raise self._fault(node, f"{what} must be a {'number' if wanted is float else 'text'}, not {plain!r}")
        if key in CHOICES and plain not in CHOICES[key]:
            raise self._fault(node, f"{what} must be one of {', '.join(CHOICES[key])}, not {plain!r}")
        return plain

    def _entries(self, node: Any, what: str) -> Iterable[tuple[Any, Any]]:
        """Yield (class key node, argument node) of labgrid's two ways to write resources and drivers."""
        if isinstance(node, yaml.MappingNode):
            yield from node.value
        elif isinstance(node, yaml.SequenceNode):
            for item in node.value:
                if not isinstance(item, yaml.MappingNode):
                    raise self._fault(item, f"each of the {what} must be a mapping")
                named = [value for key, value in item.value if key.value == "cls"]
                yield from [(named[0], item)] if named else item.value
        elif node is not None:
            raise self._fault(node, f"{what} must be a mapping or a list")

    def _check_class(self, cls: Any, args: Any, registered: Mapping[str, type], kind: str) -> None:
        if cls.value not in registered:
            singular = kind.removesuffix("s")
            raise self._fault(cls, f"unknown {singular} `{cls.value}`", _nearest(cls.value, registered))
        known = [field.name for field in attr.fields(registered[cls.value]) if field.init]
        self.mapping(args, f"`{cls.value}`", [*known, *EXTRA_ARGS])

    def _fault(self, node: Any, message: str, hint: str = "") -> ConfigError:
        line = f":{node.start_mark.line + 1}" if node is not None else ""
        return ConfigError(f"{self._path}{line}: {message}", hint=hint)


def _nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint with the known word that is most like *word*, or all there are when none is."""
    options = list(known)
    close = difflib.get_close_matches(word, options, n=1)
    if close:
        return f"did you mean `{close[0]}`?"
    return f"known: {', '.join(options)}" if len(options) <= 20 else ""
