"""Why a symbol did not come out as it was asked for: who forbids it, who forces it, what to ask for besides.

Source: https://docs.kernel.org/kbuild/kconfig-language.html
"""

from collections.abc import Iterator, Mapping

import attrs

from harness.build.expression import LEVELS, Expression, both
from harness.build.kconfig import Difference, Setting
from harness.build.symbols import Entry, Symbols

DEPTH = 4
"""How far a chain of unmet dependencies is followed; what lies deeper shows when the first ones are met."""
SHOWN = 4  # of the symbols that would select one


@attrs.frozen
class Configuration:
    """All that a reason can be found in."""

    symbols: Symbols
    values: Mapping[str, str]
    """Of the resolved ``.config``."""
    asked: Mapping[str, Setting]

    def value(self, symbol: str) -> str:
        """Return the resolved value."""
        return self.values.get(symbol, "n")

    def told(self, symbol: str) -> str:
        """Return e.g. ``USB=n`` with the place where that was asked for, or with what a choice took instead."""
        setting = self.asked.get(symbol)
        if setting and setting.value == self.value(symbol):
            return f"{symbol}={self.value(symbol)} (asked for: {setting.where})"
        instead = self.taken(symbol) if self.value(symbol) == "n" else []
        return f"{symbol}={self.value(symbol)}" + (
            f" (chosen: {', '.join(map(self.told, instead))})" if instead else ""
        )

    def taken(self, symbol: str) -> list[str]:
        """Return the answer that was taken of the choice which *symbol* belongs to; nothing if it is in none."""
        choices = {entry.choice for entry in self.symbols.entries.get(symbol, ()) if entry.choice}
        return [name for choice in choices for name in self.symbols.answers(choice) if self.value(name) == "y"]


def explain(difference: Difference, config: Configuration) -> list[str]:
    """Return the reasons, most telling first, one line each; never empty."""
    found = list(dict.fromkeys(_reasons(difference, config)))
    return found or ["no reason found in the Kconfig files; `make menuconfig`, `/` and the name may show one"]


def _reasons(difference: Difference, config: Configuration) -> Iterator[str]:
    kind = config.symbols.type(difference.symbol)
    if kind in ("bool", "tristate"):
        yield from _of_type(difference, kind, config)
        wanted, got = LEVELS.get(difference.wanted, 2), LEVELS.get(difference.got, 0)
        if got < wanted:
            yield from _too_low(difference.symbol, wanted, config, DEPTH)
        else:
            yield from _too_high(difference.symbol, wanted, config)
    else:
        yield from _of_value(difference, kind, config)


def _of_type(difference: Difference, kind: str, config: Configuration) -> Iterator[str]:
    if difference.wanted not in LEVELS:
        yield f"{difference.symbol} is a {kind}: {'y, m or n' if kind == 'tristate' else 'y or n'}"
    elif difference.wanted == "m" and kind == "bool":
        yield f"{difference.symbol} is a bool: it cannot be a module, only y or n"
    elif difference.wanted == "m" and config.value("MODULES") == "n":
        yield f"there are no modules: {config.told('MODULES')}"


# --- less than was asked for -----------------------------------------------------------------------------------------
def _too_low(symbol: str, wanted: int, config: Configuration, depth: int) -> Iterator[str]:
    """Yield what keeps *symbol* below *wanted*, following unmet dependencies *depth* steps."""
    entries = config.symbols.entries.get(symbol, [])
    if not entries:
        yield f"{symbol} is not declared for this architecture"
    for entry in _offered(entries):
        unmet = list(both(tuple(entry.depends)).failing(config.values, _needed(entry, wanted)))
        for expression in unmet:
            yield f"{symbol} depends on {expression}: {_states(expression, config)}   [{entry.where}]"
            if depth:
                yield from _deeper(expression, wanted, config, depth - 1)
        if not unmet:
            yield from _not_set(entry, wanted, config)


def _offered(entries: list[Entry]) -> list[Entry]:
    """Return the entries with a prompt, for only they can be asked for; all of them if none has."""
    return [entry for entry in entries if entry.prompt is not None] or entries


def _needed(entry: Entry, wanted: int) -> int:
    """Return what dependencies must reach: a bool may be y where they are m."""
    return min(wanted, 1) if entry.type == "bool" else wanted


def _deeper(expression: Expression, wanted: int, config: Configuration, depth: int) -> Iterator[str]:
    """Follow a single symbol that is too low; of `A || B` nobody can say which one was meant."""
    if not expression.operator and expression.text in config.symbols.entries:
        yield from _too_low(expression.text, wanted, config, depth)


def _states(expression: Expression, config: Configuration) -> str:
    return ", ".join(config.told(name) for name in dict.fromkeys(expression.symbols())) or "not so"


def _not_set(entry: Entry, wanted: int, config: Configuration) -> Iterator[str]:
    """Yield why a symbol whose dependencies are met is off: never offered, or simply not asked for."""
    symbol, values = entry.symbol, config.values
    if entry.choice:
        taken = ", ".join(map(config.told, config.taken(symbol)))
        yield f"{symbol} is one answer of the choice at {entry.choice}; taken is {taken or 'none'}"
    elif entry.prompt is None:
        yield _only_selected(symbol, config)
    elif entry.prompt.level(values) < min(wanted, 1):
        yield f"{symbol} is offered only if {entry.prompt}: {_states(entry.prompt, config)}   [{entry.where}]"
    elif symbol not in config.asked:
        value = "m" if wanted == 1 and entry.type == "tristate" else "y"
        yield f"{symbol} can be asked for: CONFIG_{symbol}={value}"


def _only_selected(symbol: str, config: Configuration) -> str:
    by = sorted({select.by for select in config.symbols.selects.get(symbol, ())})
    others = f" and {len(by) - SHOWN} more" if len(by) > SHOWN else ""
    whom = f"only others select it: {', '.join(by[:SHOWN])}{others}" if by else "the tree computes it"
    return f"{symbol} cannot be asked for; {whom}"


# --- more than was asked for -----------------------------------------------------------------------------------------
def _too_high(symbol: str, wanted: int, config: Configuration) -> Iterator[str]:
    selects = config.symbols.selects.get(symbol, ())
    forcing = [each for each in selects if _forces(each.by, each.condition, config) > wanted]
    for select in forcing[:SHOWN]:
        condition = "" if str(select.condition) == "y" else f" if {select.condition}"
        yield f"selected by {config.told(select.by)}{condition}   [{select.where}]"
    entries = config.symbols.entries.get(symbol, [])
    if forcing:
        return
    for entry in entries:
        if entry.prompt is None or entry.prompt.level(config.values) == 0:
            only = f"is offered only if {entry.prompt}" if entry.prompt else "cannot be asked for"
            yield f"{symbol} {only}; its default is {'; '.join(entry.defaults) or 'computed'}   [{entry.where}]"
        elif entry.choice:
            yield f"the answer taken of the choice at {entry.choice}; ask for another one with y"


def _forces(by: str, condition: Expression, config: Configuration) -> int:
    return min(LEVELS.get(config.value(by), 0), condition.level(config.values))


# --- strings and numbers ---------------------------------------------------------------------------------------------
def _of_value(difference: Difference, kind: str, config: Configuration) -> Iterator[str]:
    symbol, wanted = difference.symbol, difference.wanted
    if kind == "string" and not wanted.startswith('"'):
        yield f'{symbol} is a string: write it in quotes, CONFIG_{symbol}="{wanted}"'
    elif kind in ("int", "hex") and wanted.startswith('"'):
        yield f"{symbol} is a {'whole' if kind == 'int' else 'hexadecimal'} number, without quotes"
    for entry in config.symbols.entries.get(symbol, []):
        for limits in entry.ranges:
            yield f"{symbol} is limited: range {limits}   [{entry.where}]"
    yield from _too_low(symbol, 1, config, DEPTH)
