"""YAML as labgrid reads it, with the line of each fault: text and nodes in, values out."""

import difflib
import importlib.util
import types
import typing
from collections import UserString
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
import yaml

from harness.errors import ConfigError


def _of_labgrid() -> Any:
    """Return labgrid's module for YAML, without labgrid: importing that takes a quarter of a second."""
    package = importlib.util.find_spec("labgrid")
    assert package
    assert package.submodule_search_locations
    file = Path(package.submodule_search_locations[0], "util", "yaml.py")
    spec = importlib.util.spec_from_file_location("harness.lab.labgrid_yaml", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_YAML = _of_labgrid()
TEXT, MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"


class Reader:
    """Turns YAML nodes into values, and complains with their lines."""

    def __init__(self, path: Path, variables: Mapping[str, str]) -> None:
        """*path* is for the messages; *variables* are what ``!template`` may name."""
        self._path = path
        self._variables = variables

    def root(self, text: str) -> Any:
        """Return the root node of *text*, None if it is empty; labgrid can read each node below."""
        try:
            root = yaml.compose(text, Loader=_YAML.Loader)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise ConfigError(f"{self._path}:{line}: not YAML: {error.reason}") from error
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ConfigError(f"{self._path}:{line}: not YAML: {error.problem}") from error
        if root is not None:
            self._prove(root, set())
        return root

    def plain(self, node: Any) -> Any:
        """Return what labgrid makes of *node*: lists, mappings, texts and numbers, with ``!template`` filled in."""
        try:
            boxed = [_YAML.Loader("").construct_object(node, deep=True)]
        except yaml.MarkedYAMLError as error:
            raise self.fault(node, str(error.problem)) from error
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # What PyYAML lets through from int(), datetime() and the like. Their words may hold a password.
            raise self.fault(node, f"not a value of the kind {_short(node.tag)}") from error
        try:
            _YAML.resolve_templates(boxed, self._variables)
        except KeyError as error:
            hint = "labgrid knows BASE, the folder of this file, and LG_... of the environment"
            raise self.fault(node, f"unknown variable {error} in a !template", hint) from error
        except ValueError as error:
            raise self.fault(node, "not a valid !template: `$` begins a variable, `$$` is a dollar") from error
        return boxed[0]

    def mapping(self, node: Any, what: str, known: Iterable[str] = ()) -> dict[str, Any]:
        """Return key -> node; nothing counts as an empty mapping; an unknown or a non-text key is an error."""
        if node is None or self.plain(node) is None:
            return {}
        if not isinstance(node, yaml.MappingNode):
            raise self.fault(node, f"{what} must be a mapping (`key: value` lines)")
        for key, _ in node.value:
            if key.tag != TEXT:
                raise self.fault(key, f"key `{key.value}` in {what} is not a text", "put it in quotes")
            if known and key.value not in known:
                raise self.fault(key, f"unknown key `{key.value}` in {what}", nearest(key.value, known))
        return {key.value: value for key, value in node.value}

    def value(self, node: Any, wanted: Any, what: str) -> Any:
        """Return *node* as a value of type *wanted*: an attrs class, str, float, a choice, a tuple of str; or None."""
        if isinstance(wanted, types.UnionType):
            wanted = next(kind for kind in typing.get_args(wanted) if kind is not types.NoneType)
        if attrs.has(wanted):
            fields = {field.name.rstrip("_"): field for field in attrs.fields(attrs.resolve_types(wanted))}
            given = self.mapping(node, what, fields)
            known = ((fields[key], key, part) for key, part in given.items())  # `from_` is `from`, a word of Python
            return wanted(**{field.name: self.value(part, field.type, f"`{key}`") for field, key, part in known})
        plain = self.plain(node)
        shown = "" if secret(what) else f", not {plain!r}"
        if typing.get_origin(wanted) is tuple:
            if not isinstance(plain, list) or not all(isinstance(item, str | UserString) for item in plain):
                raise self.fault(node, f"{what} must be a list of texts{shown}")
            return tuple(map(str, plain))
        if wanted is float:
            if not isinstance(plain, int | float) or isinstance(plain, bool):
                raise self.fault(node, f"{what} must be a number{shown}")
            return float(plain)
        if not isinstance(plain, str | UserString):
            hint = "put it in quotes" if isinstance(node, yaml.ScalarNode) else ""
            raise self.fault(node, f"{what} must be a text{shown}", hint)
        if typing.get_origin(wanted) is Literal and plain not in typing.get_args(wanted):
            raise self.fault(node, f"{what} must be one of {', '.join(typing.get_args(wanted))}{shown}")
        return str(plain)

    def fault(self, node: Any, message: str, hint: str = "", evidence: Iterable[str] = ()) -> ConfigError:
        """Return the error that says *message* of *node*, with file and line."""
        line = f":{node.start_mark.line + 1}" if node is not None else ""
        return ConfigError(f"{self._path}{line}: {message}", hint=hint, evidence=tuple(evidence))

    def _prove(self, node: Any, proven: set[int]) -> None:
        """Construct each node below *node* and then itself, so that a fault is told where it stands."""
        if id(node) in proven:  # an alias
            return
        proven.add(id(node))
        if isinstance(node, yaml.MappingNode):
            self._prove_keys(node)
            for _, value in node.value:
                self._prove(value, proven)
        elif isinstance(node, yaml.SequenceNode):
            for item in node.value:
                self._prove(item, proven)
        self.plain(node)

    def _prove_keys(self, node: yaml.MappingNode) -> None:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self.fault(key, "a key must be a text, not a list or a mapping")
            if key.tag == MERGE:
                hint = "write the keys out, or repeat a whole value with `&name` and `*name`"
                raise self.fault(key, "labgrid does not read merge keys (`<<`)", hint)
            self.plain(key)
            if key.value in seen:
                raise self.fault(key, f"`{key.value}` stands twice in one mapping")
            seen.add(key.value)


def secret(key: str) -> bool:
    """Tell whether the value of *key* must not be shown."""
    return "password" in key or "secret" in key


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint with the known word that is most like *word*, or all there are when none is."""
    options = list(known)
    close = difflib.get_close_matches(word, options, n=1)
    if close:
        return f"did you mean `{close[0]}`?"
    return f"known: {', '.join(options)}" if len(options) <= 20 else ""


def _short(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")
