"""What a kernel needs for its purpose here, and what breaks without it: one TOML file a set, named after the set.

A new set is a new file; nothing else lists them. Works on the text of a ``.config``, so a prebuilt kernel is asked the
same questions as one that is about to be compiled.
"""

import difflib
import functools
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from harness.build import kconfig
from harness.errors import ConfigError, UsageError
from harness.model import BoardProfile

FOLDER = Path(__file__).parent
VALUES = ("y", "m", "early")
DEFAULT = ("serial-console", "reboot", "modules")
MEDIA = {"/dev/mmcblk": "root-on-sd", "/dev/nfs": "root-on-nfs"}


@attrs.frozen
class Need:
    """One thing that a set asks for, and where it asks for it."""

    symbols: tuple[str, ...]
    """Any of them will do: names differ between mainline and Raspberry Pi trees."""
    value: str
    """``y``: built in; ``m``: at least a module; ``early``: built in, or a module where there is an initramfs."""
    without: str
    """What breaks."""
    soc: tuple[str, ...] = ()
    """Only on these; empty: on all."""
    board: tuple[str, ...] = ()
    virtual: bool | None = None
    """Only on virtual boards, or only on real ones."""
    initramfs: bool | None = None
    """Only with an initramfs, or only without."""

    def applies(self, board: BoardProfile, *, virtual: bool, initramfs: bool) -> bool:
        """Return whether *board* needs it."""
        return (
            (not self.soc or board.soc in self.soc)
            and (not self.board or board.name in self.board)
            and self.virtual in (None, virtual)
            and self.initramfs in (None, initramfs)
        )

    def accepts(self, *, initramfs: bool) -> tuple[str, ...]:
        """Return the values that will do."""
        return ("y", "m") if self.value == "m" or (self.value == "early" and initramfs) else ("y",)


@attrs.frozen
class RequirementSet:
    """All that one purpose needs."""

    name: str
    purpose: str
    needs: tuple[Need, ...]
    include: tuple[str, ...] = ()
    """Other sets that it needs as well."""
    early: bool = False
    """Whether it needs theirs before the root filesystem is there (``raise`` in the file)."""


@attrs.frozen
class Missing:
    """A need that a configuration does not meet."""

    set: str
    symbols: tuple[str, ...]
    wanted: str
    """``y``, or ``y or m``."""
    got: str
    """The best value among *symbols*."""
    why: str
    """What breaks without."""

    def __str__(self) -> str:
        names = " or ".join(f"CONFIG_{symbol}" for symbol in self.symbols)
        return f"{self.set}: {names}: wanted {self.wanted}, got {self.got}: {self.why}"


@attrs.frozen
class Purpose:
    """What a kernel is meant for, as far as it decides on its configuration."""

    sets: tuple[str, ...] = ()
    virtual: bool = False
    initramfs: bool = False


# --- the sets --------------------------------------------------------------------------------------------------------
def names() -> list[str]:
    """Return the names of all sets, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


@functools.cache
def load(name: str) -> RequirementSet:
    """Return the set *name*; UsageError naming the nearest one, ConfigError for a faulty file."""
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1)
        meant = f"did you mean `{near[0]}`? " if near else ""
        raise UsageError(f"no requirement set `{name}`", hint=f"{meant}known: {', '.join(names())}")
    return parse((FOLDER / f"{name}.toml").read_text(encoding="utf-8"), f"{name}.toml")


def parse(text: str, file_name: str) -> RequirementSet:
    """Return the set that the TOML *text* describes; unknown, missing and mistyped keys are ConfigErrors."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file_name}: not TOML: {error}") from error
    _check(table, {"purpose": str, "include": list, "raise": bool, "need": list}, ("purpose", "need"), file_name)
    return RequirementSet(
        name=file_name.removesuffix(".toml"),
        purpose=table["purpose"],
        needs=tuple(_need(need, f"{file_name}: need {number}") for number, need in enumerate(table["need"], start=1)),
        include=tuple(table.get("include", ())),
        early=table.get("raise", False),
    )


def _need(table: Mapping[str, Any], where: str) -> Need:
    kinds = {
        "symbols": list, "value": str, "without": str, "soc": list, "board": list, "virtual": bool, "initramfs": bool,
    }  # fmt: skip
    _check(table, kinds, ("symbols", "value", "without"), where)
    if table["value"] not in VALUES:
        raise ConfigError(f"{where}: value {table['value']!r} is none of {', '.join(VALUES)}")
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    return Need(**values)


def _check(table: Mapping[str, Any], kinds: Mapping[str, type], needed: Sequence[str], where: str) -> None:
    for key, value in table.items():
        if key not in kinds:
            near = difflib.get_close_matches(key, kinds, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(kinds)}"
            raise ConfigError(f"{where}: unknown key `{key}`", hint=hint)
        if type(value) is not kinds[key]:
            raise ConfigError(f"{where}: key `{key}` must be a {kinds[key].__name__}, not {value!r}")
    for key in needed:
        if key not in table:
            raise ConfigError(f"{where}: key `{key}` is missing")


# --- the questions ---------------------------------------------------------------------------------------------------
def default(*, userland_bits: int, root: str) -> tuple[str, ...]:
    """Return the sets that a run asks for unless told otherwise; *root* is what the command line says after ``root=``.

    A root that is named by label or UUID, or lies on USB, tells nothing: no set for it.
    """
    userland = ("userland32",) if userland_bits == 32 else ()
    return (*userland, *DEFAULT, *(name for prefix, name in MEDIA.items() if root.startswith(prefix)))


def missing(
    config_text: str,
    sets: Sequence[str],
    board: BoardProfile,
    *,
    virtual: bool = False,
    initramfs: bool = False,
) -> list[Missing]:
    """Return what *config_text*, a resolved ``.config``, lacks of *sets* for *board*; each need once."""
    values = kconfig.parse(config_text)
    unmet: dict[tuple[str, ...], Missing] = {}
    for name, need in _needs(sets):
        if need.applies(board, virtual=virtual, initramfs=initramfs):
            accepted = need.accepts(initramfs=initramfs)
            got = max((values.get(symbol, "n") for symbol in need.symbols), key="nmy".find)
            if got not in accepted:
                lack = Missing(name, need.symbols, " or ".join(accepted), got, need.without)
                if lack.wanted == "y" or need.symbols not in unmet:  # of two sets the stricter one speaks
                    unmet[need.symbols] = lack
    return list(unmet.values())


def _needs(sets: Sequence[str]) -> Iterator[tuple[str, Need]]:
    for name in sets:
        found = load(name)
        yield from ((name, need) for need in found.needs)
        for included, need in _needs(found.include):
            raised = attrs.evolve(need, value="early") if found.early and need.value == "m" else need
            yield included, raised
