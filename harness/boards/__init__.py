"""Board models: what is common to all boards of one model, one TOML file a model, named after the model.

A new model is a new file; nothing else lists them. Every key of ``BoardProfile`` that has no default must be there, and
nothing else may be, so that a misspelt key is an error instead of a default.
"""

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import attrs

from harness.errors import ConfigError, UsageError
from harness.model import BoardProfile, FirmwareHistory, QemuProfile

FOLDER = Path(__file__).parent
TABLES: dict[str, type] = {"qemu": QemuProfile, "history": FirmwareHistory}
"""Keys of ``BoardProfile`` that are tables themselves."""


def names() -> list[str]:
    """Return the names of all known models, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name: str) -> BoardProfile:
    """Return the profile of model *name*; UsageError listing the known models, ConfigError for a faulty file."""
    if name not in names():
        raise UsageError(
            f"no board model `{name}`; known: {', '.join(names())}",
            hint=_nearest(name, names()) or "a new model is a new file in harness/boards/",
        )
    return parse((FOLDER / f"{name}.toml").read_text(encoding="utf-8"), f"{name}.toml")


def parse(text: str, file_name: str) -> BoardProfile:
    """Return the profile that the TOML *text* describes; *file_name* names the model and appears in errors."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file_name}: not TOML: {error}") from error
    values = _checked(table, BoardProfile, file_name, prefix="", given={"name"})
    for key, cls in TABLES.items():
        if key in values:
            values[key] = cls(**_checked(table[key], cls, file_name, prefix=f"{key}.", given=set()))
    return BoardProfile(name=file_name.removesuffix(".toml"), **values)


def _checked(table: Mapping[str, Any], cls: type, file_name: str, *, prefix: str, given: set[str]) -> dict[str, Any]:
    """Return *table* with lists made into the types *cls* wants; unknown, missing and mistyped keys raise."""
    fields = {field.name: field for field in attrs.fields(cls) if field.name not in given}
    for key in table:
        if key not in fields:
            hint = _nearest(key, list(fields)) or f"known keys: {', '.join(fields)}"
            raise ConfigError(f"{file_name}: unknown key `{prefix}{key}`", hint=hint)
    for key, field in fields.items():
        if key not in table and field.default is attrs.NOTHING:
            raise ConfigError(f"{file_name}: key `{prefix}{key}` is missing")
    return {key: _typed(value, fields[key].type, f"{file_name}: key `{prefix}{key}`") for key, value in table.items()}


def _typed(value: object, wanted: object, where: str) -> object:
    """Return *value* as *wanted*: a plain type, ``tuple[str, ...]``, ``frozenset[str]``, or a table (``X | None``)."""
    kinds = get_args(wanted)
    if str in kinds:  # tuple[str, ...] or frozenset[str]: a TOML list of strings
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ConfigError(f"{where} must be a list of strings, not {value!r}")
        return frozenset(value) if "frozenset" in str(wanted) else tuple(value)
    plain = dict if kinds else wanted
    if type(value) is not plain:  # not isinstance: true is an int to Python, not to a reader
        words: dict[object, str] = {bool: "true or false", int: "a whole number", str: "a string", dict: "a table"}
        raise ConfigError(f"{where} must be {words[plain]}, not {value!r}")
    return value


def _nearest(word: str, known: list[str]) -> str:
    """Return a hint naming the nearest of *known*, or nothing when none is near."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean `{near[0]}`?" if near else ""
