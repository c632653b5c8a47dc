"""Kernel configuration text: parse, merge, compare what was asked for with what came out; no I/O.

Symbols are written without ``CONFIG_``; a symbol that is not set, or not mentioned, is ``n``.
Source: https://docs.kernel.org/kbuild/kconfig.html
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping

import attrs

from harness.errors import ConfigError

SET = re.compile(r"CONFIG_(\w+)=(.+)")
UNSET = re.compile(r"# CONFIG_(\w+) is not set")
DECLARED = re.compile(r"^\s*(?:menu)?config\s+(\w+)\s*$", re.MULTILINE)


@attrs.frozen
class Difference:
    """A symbol that did not come out as asked for."""

    symbol: str
    wanted: str
    got: str

    def __str__(self) -> str:
        return f"CONFIG_{self.symbol}: wanted {self.wanted}, got {self.got}"


def parse(text: str, *, name: str = ".config") -> dict[str, str]:
    """Return symbol -> value as written (strings keep their quotes) of a ``.config`` or fragment; the last one counts.

    A line that is neither setting, ``is not set`` nor comment raises ConfigError: Kconfig would pass over it.
    """
    values: dict[str, str] = {}
    for number, line in enumerate(map(str.strip, text.splitlines()), start=1):
        if found := SET.fullmatch(line):
            values[found[1]] = found[2].strip()
        elif found := UNSET.fullmatch(line):
            values[found[1]] = "n"
        elif line and not line.startswith("#"):
            raise ConfigError(f"{name}:{number}: not a setting: {line[:60]}", hint="write CONFIG_NAME=value")
    return values


def merge(fragments: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return all settings of *fragments*; of a symbol set twice the last one counts."""
    merged: dict[str, str] = {}
    for fragment in fragments:
        merged.update(fragment)
    return merged


def render(values: Mapping[str, str]) -> str:
    """Return *values* as configuration text, sorted: equal requests are equal texts."""
    return "".join(
        f"# CONFIG_{symbol} is not set\n" if value == "n" else f"CONFIG_{symbol}={value}\n"
        for symbol, value in sorted(values.items())
    )


def differences(wanted: Mapping[str, str], resolved: Mapping[str, str]) -> list[Difference]:
    """Return the symbols of *wanted* which *resolved* has otherwise, in the order in which they were wanted."""
    return list(_differences(wanted, resolved))


def _differences(wanted: Mapping[str, str], resolved: Mapping[str, str]) -> Iterator[Difference]:
    for symbol, value in wanted.items():
        got = resolved.get(symbol, "n")
        if got != value:
            yield Difference(symbol, value, got)


def declared(kconfig: str) -> set[str]:
    """Return the symbols that the text of a ``Kconfig`` file declares."""
    return set(DECLARED.findall(kconfig))


def nearest(symbol: str, known: Iterable[str]) -> str:
    """Return the symbol of *known* that *symbol* was most likely meant to be, or an empty string."""
    return next(iter(difflib.get_close_matches(symbol, known, n=1, cutoff=0.75)), "")
