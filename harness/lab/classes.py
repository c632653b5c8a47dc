"""Resources and drivers of a target in lab.yaml: asked of labgrid's classes before labgrid makes one of them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attr
import yaml
from labgrid.factory import target_factory
from labgrid.strategy import Strategy

import harness.lab.drivers  # noqa: F401 - so that labgrid's factory knows our classes
from harness.lab import imports
from harness.lab.yaml_reader import Reader, nearest, secret

SINGULAR = {"resources": "resource", "drivers": "driver"}
EXTRA_ARGS = {"resources": ("name", "cls"), "drivers": ("name", "cls", "bindings")}
"""What labgrid itself takes beside a class's own arguments."""


def check(reader: Reader, imported: Any, folder: Path, targets: Mapping[str, Any]) -> None:
    """Check resources and drivers of the nodes *targets*, by name; *imported* lists where their classes are from.

    Paths among these are relative to *folder*. ConfigError.
    """
    with imports.loaded(reader, imported, folder):
        for name, node in targets.items():
            _check_target(reader, node, name)


def _check_target(reader: Reader, node: Any, name: str) -> None:
    parts = reader.mapping(node, f"target `{name}`")
    found = {
        kind: [_check(reader, cls, args, kind) for cls, args in _entries(reader, parts[kind], f"{kind} of `{name}`")]
        for kind in SINGULAR
        if kind in parts
    }
    if not any(issubclass(cls, Strategy) for cls in found.get("drivers", ())):
        hint = "put `RaspberryPiStrategy: {}` among its drivers, as the last"
        raise reader.fault(parts.get("drivers", node), f"target `{name}` has no strategy", hint)


def _entries(reader: Reader, node: Any, what: str) -> Iterator[tuple[Any, Any]]:
    """Yield (node of the class's name, node of the arguments) of labgrid's ways to write them."""
    if isinstance(node, yaml.MappingNode):
        pairs = node.value
    elif isinstance(node, yaml.SequenceNode):
        pairs = [_listed(reader, item, what) for item in node.value]
    else:
        raise reader.fault(node, f"{what} must be a mapping or a list")
    for cls, args in pairs:
        if not isinstance(args, yaml.MappingNode):
            raise reader.fault(
                cls, f"the arguments of `{cls.value}` must be a mapping", f"`{cls.value}: {{}}` for none"
            )
        yield reader.mapping(args, f"`{cls.value}`").get("cls", cls), args


def _listed(reader: Reader, item: Any, what: str) -> tuple[Any, Any]:
    """Return class and arguments of ``- Class: {argument: 1}`` or ``- {cls: Class, argument: 1}``."""
    given = reader.mapping(item, f"each of the {what}")
    if "cls" in given:
        return given["cls"], item
    if len(given) != 1:
        raise reader.fault(item, f"each of the {what} must be one class", "`- Class: {}`, or `- cls: Class`")
    pair: tuple[Any, Any] = item.value[0]
    return pair


def _check(reader: Reader, node: Any, args: Any, kind: str) -> type:
    registered: dict[str, type] = getattr(target_factory, kind)
    name = reader.plain(node)
    if not isinstance(name, str) or name not in registered:
        raise reader.fault(node, f"unknown {SINGULAR[kind]} `{name}`", nearest(str(name), registered))
    fields = _arguments(registered[name])
    given = reader.mapping(args, f"`{name}`", [*fields, *EXTRA_ARGS[kind]])
    missing = [key for key, field in fields.items() if field.default is attr.NOTHING and key not in given]
    if missing:
        raise reader.fault(node, f"`{name}` lacks {', '.join(f'`{key}`' for key in missing)}")
    for key, value in given.items():
        if key in fields:
            _check_value(reader, value, fields[key], name)
    if "name" in given and reader.plain(given["name"]) is not None:
        reader.value(given["name"], str, f"`name` of `{name}`")
    if "bindings" in given:
        _check_bindings(reader, given["bindings"], name)
    return registered[name]


def _arguments(cls: type) -> dict[str, Any]:
    """Return the attrs fields of *cls* that lab.yaml may set; labgrid itself gives target and name."""
    own = [field for field in attr.fields(cls) if field.init and field.name not in {"target", "name"}]
    return {field.name: field for field in own if not field.name.startswith("_")}


def _check_value(reader: Reader, node: Any, field: Any, cls: str) -> None:
    """Do with the value what attrs will do; there is no instance yet, so only plain refusals count."""
    value = reader.plain(node)
    if getattr(field.converter, "takes_self", False) or getattr(field.converter, "takes_field", False):
        return
    try:
        value = field.converter(value) if field.converter else value
        if field.validator:
            field.validator(None, field, value)
    except (TypeError, ValueError) as error:
        words = "" if secret(field.name) else f": {error.args[0] if error.args else error}"
        raise reader.fault(node, f"`{field.name}` of `{cls}` is not good{words}") from error
    except Exception:  # noqa: BLE001 - a validator that needs its instance: labgrid will ask it again
        return


def _check_bindings(reader: Reader, node: Any, cls: str) -> None:
    if not isinstance(node, yaml.MappingNode):
        raise reader.fault(node, f"`bindings` of `{cls}` must be a mapping")
    for key, value in reader.mapping(node, f"`bindings` of `{cls}`").items():
        reader.value(value, str, f"`{key}` of `bindings`")
