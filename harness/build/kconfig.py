"""Kernel configuration text: find it, parse it, compare what was asked for with what came out; no I/O.

Symbols are written without ``CONFIG_``; a symbol that is not set, or not mentioned, is ``n``.
Source: https://docs.kernel.org/kbuild/kconfig.html
"""

import difflib
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping

import attrs

from harness.errors import ConfigError

SET = re.compile(r"CONFIG_(\w+)=(.+)")
UNSET = re.compile(r"# CONFIG_(\w+) is not set")
DECLARED = re.compile(r"^\s*(?:menu)?config\s+(\w+)\s*$", re.MULTILINE)
GZIP = b"\x1f\x8b"
EMBEDDED = (b"IKCFG_ST", b"IKCFG_ED")
"""Around the gzipped configuration in a kernel that was built with IKCONFIG=y."""
SIZE_LIMIT = 16 * 2**20  # bytes; a full configuration has about 0.3 MB


@attrs.frozen
class Setting:
    """One line that asks for something."""

    symbol: str
    value: str
    """As written; strings keep their quotes."""
    where: str
    """File and line, or how it was given."""

    def __str__(self) -> str:
        return f"CONFIG_{self.symbol}={self.value} ({self.where})"


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
    return {setting.symbol: setting.value for setting in settings(text, name=name)}


def settings(text: str, *, name: str = ".config") -> Iterator[Setting]:
    """Yield every setting in file order, repeated ones too; ConfigError as for ``parse``."""
    for number, line in enumerate(map(str.strip, text.splitlines()), start=1):
        if found := SET.fullmatch(line):
            yield Setting(found[1], found[2].strip(), f"{name}:{number}")
        elif found := UNSET.fullmatch(line):
            yield Setting(found[1], "n", f"{name}:{number}")
        elif line and not line.startswith("#"):
            raise ConfigError(f"{name}:{number}: not a setting: {line[:60]}", hint="write CONFIG_NAME=value")


def text_of(data: bytes, *, name: str) -> str:
    """Return the configuration in *data*: plain text, ``/proc/config.gz``, or a kernel that carries its own.

    ConfigError for anything else. A kernel carries it only with ``CONFIG_IKCONFIG=y``; with ``=m`` a module does.
    """
    data = _unzipped(data, name) if data.startswith(GZIP) else data
    start, end = (data.find(mark) for mark in EMBEDDED)
    if 0 <= start < end:
        data = _unzipped(data[start + len(EMBEDDED[0]) : end], name)
    if b"\0" in data or not re.search(rb"^(?:# )?CONFIG_\w+[= ]", data, re.MULTILINE):
        raise ConfigError(
            f"{name}: holds no kernel configuration", hint="a .config, /proc/config.gz, or a kernel image"
        )
    return data.decode(errors="replace")


def _unzipped(data: bytes, name: str) -> bytes:
    """Return what *data* was before gzip; a damaged or monstrous one raises ConfigError."""
    try:
        engine = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        plain = engine.decompress(data, max(SIZE_LIMIT, 64 * len(data)))
    except zlib.error as error:
        raise ConfigError(f"{name}: damaged gzip data: {error}") from error
    if not engine.eof:
        raise ConfigError(f"{name}: gzip data ends too early, or is far too large")
    return plain


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
        if not same(value, got):
            yield Difference(symbol, value, got)


def same(wanted: str, got: str) -> bool:
    """Return whether two values mean the same: ``0X10`` is ``0x10``; an empty string may as well be absent."""
    if wanted == got or (wanted == '""' and got == "n"):
        return True
    return got.lower().startswith("0x") and _hex(wanted) == _hex(got)


def _hex(value: str) -> int | None:
    return int(value, 16) if re.fullmatch(r"(?:0[xX])?[0-9a-fA-F]+", value) else None


def declared(kconfig: str) -> set[str]:
    """Return the symbols that the text of a ``Kconfig`` file declares."""
    return set(DECLARED.findall(kconfig))


def nearest(symbol: str, known: Iterable[str]) -> list[str]:
    """Return the symbols of *known* that *symbol* was most likely meant to be, the likeliest first; at most three."""
    return difflib.get_close_matches(symbol, known, n=3, cutoff=0.75)
