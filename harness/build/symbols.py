"""The symbols that a kernel tree declares in its Kconfig files: type, dependencies, choices, who selects whom.

Not a second Kconfig: it computes no configuration, it only finds what the words of one depend on. Files are read
through the function that is handed in. The library for this, kconfiglib 14.1.0, fails on every kernel since 5.13.
Source: https://docs.kernel.org/kbuild/kconfig-language.html
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

import attrs

from harness.build import expression
from harness.build.expression import Expression

Read = Callable[[str], str]
"""Returns the text of a file of the tree, by its path in the tree; OSError if there is none."""

TYPES = ("bool", "tristate", "string", "int", "hex")
LINE = re.compile(r"\s*([\w-]+)\s*(.*)")
PROMPT = re.compile(r"(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')\s*(.*)")
CONDITION = re.compile(r"(.*?)(?:^|\s)if\s+(.*)")
VARIABLE = re.compile(r"\$\((\w+)\)|\$(\w+)")


@attrs.define
class Entry:
    """One place where a symbol is declared; there may be several."""

    symbol: str
    where: str
    """File and line in the tree."""
    depends: list[Expression]
    """All that must hold, those of the menus and ifs around it among them."""
    type: str = ""
    prompt: Expression | None = None
    """When it is offered; None if it never is: then only others can set it."""
    choice: str = ""
    """Where the choice is declared of which this is one answer."""
    ranges: list[str] = attrs.Factory(list)
    defaults: list[str] = attrs.Factory(list)


@attrs.frozen
class Select:
    """``select``: *by* switches *symbol* on, wherever *condition* holds."""

    symbol: str
    by: str
    condition: Expression
    where: str


@attrs.define
class Symbols:
    """All that the tree declares for one architecture."""

    entries: dict[str, list[Entry]] = attrs.Factory(dict)
    selects: dict[str, list[Select]] = attrs.Factory(dict)
    """Selected symbol -> who may select it."""

    def type(self, symbol: str) -> str:
        """Return e.g. ``tristate``; an empty string for a symbol that is not declared."""
        return next((entry.type for entry in self.entries.get(symbol, ()) if entry.type), "")

    def answers(self, choice: str) -> Iterator[str]:
        """Yield the symbols of which *choice* takes one."""
        yield from (name for name, entries in self.entries.items() if any(entry.choice == choice for entry in entries))


@attrs.define
class _Scope:
    """A menu, an if or a choice: what it demands of all that stands in it."""

    kind: str
    where: str
    depends: list[Expression] = attrs.Factory(list)


def declared(read: Read, variables: Mapping[str, str], *, root: str = "Kconfig") -> Symbols:
    """Return what *root* and all that it sources declare; *variables* are e.g. ``{"SRCARCH": "arm64"}``."""
    reader = _Reader(read, variables)
    reader.file(root)
    return reader.symbols


@attrs.define
class _Reader:
    read: Read
    variables: Mapping[str, str]
    symbols: Symbols = attrs.Factory(Symbols)
    scopes: list[_Scope] = attrs.Factory(list)
    entry: Entry | None = None
    """The block that the next line belongs to; None: to the innermost scope."""
    deaf: bool = False
    """In a `comment` or a bare `choice` line's prompt: what follows describes neither symbol nor scope."""

    def file(self, path: str) -> None:
        with suppress(OSError):  # e.g. a Kconfig that only a distribution adds
            for number, line in _lines(self.read(path)):
                if found := LINE.match(line):
                    self.line(found[1], found[2].strip(), f"{path}:{number}")

    def line(self, word: str, rest: str, where: str) -> None:
        """Take one line that is neither comment nor help; what is of no interest here falls through."""
        if word in ("config", "menuconfig"):
            self._open(rest, where)
        elif word in ("menu", "if", "choice"):
            self._enter(word, rest, where)
        elif word in ("endmenu", "endif", "endchoice"):
            self.entry = None
            self.scopes.pop()
        elif word == "comment":
            self.entry, self.deaf = None, True
        elif word == "source":
            self.file(VARIABLE.sub(self._variable, rest.strip("\"' ")))
        else:
            self._property(word, rest, where)

    def _variable(self, found: re.Match[str]) -> str:
        return self.variables.get(found[1] or found[2], found[0])

    def _open(self, name: str, where: str) -> None:
        inherited = [each for scope in self.scopes for each in scope.depends]
        choice = self.scopes[-1].where if self.scopes and self.scopes[-1].kind == "choice" else ""
        self.entry, self.deaf = Entry(name, where, inherited, choice=choice), False
        self.symbols.entries.setdefault(name, []).append(self.entry)

    def _enter(self, word: str, rest: str, where: str) -> None:
        self.entry, self.deaf = None, False
        self.scopes.append(_Scope(word, where, [_parse(rest)] if word == "if" else []))

    def _property(self, word: str, rest: str, where: str) -> None:
        if word == "depends" and not self.deaf:
            depends = self.entry.depends if self.entry else self.scopes[-1].depends if self.scopes else []
            depends.append(_parse(rest.removeprefix("on")))
        if self.entry is None:
            return
        if word in TYPES or word == "prompt":
            self.entry.type = word if word in TYPES else self.entry.type
            if found := PROMPT.match(rest):
                self.entry.prompt = _condition(found[2])
        elif word.startswith("def_"):
            self.entry.type = word.removeprefix("def_")
            self.entry.defaults.append(rest)
        elif word == "select":
            name, condition = _split(rest)
            found_select = Select(name, self.entry.symbol, _condition(condition and f"if {condition}"), where)
            self.symbols.selects.setdefault(name, []).append(found_select)
        elif word == "range":
            self.entry.ranges.append(rest)
        elif word == "default":
            self.entry.defaults.append(rest)


# --- lines -----------------------------------------------------------------------------------------------------------
def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line that says something: joined where they go on, without comments and help."""
    lines = iter(enumerate(text.splitlines(), start=1))
    help_indent: int | None = None  # -1: its first line, which sets the indentation, is still to come
    for number, raw in lines:
        line = raw.expandtabs()
        stripped = line.strip()
        if not stripped:
            continue
        if help_indent is not None:
            indent = len(line) - len(line.lstrip())
            help_indent = indent if help_indent == -1 else help_indent
            if indent >= help_indent > 0:
                continue
            help_indent = None
        if stripped in ("help", "---help---"):
            help_indent = -1
            continue
        if not stripped.startswith("#"):
            yield number, _joined(line, lines)


def _joined(line: str, lines: Iterator[tuple[int, str]]) -> str:
    while line.endswith("\\"):
        line = line[:-1] + next(lines, (0, ""))[1].expandtabs().strip()
    return _uncommented(line) if "#" in line else line


def _uncommented(line: str) -> str:
    """Return *line* without a comment behind it; a ``#`` in quotes is none."""
    quote = ""
    for at, char in enumerate(line):
        if char in "\"'" and quote in ("", char):
            quote = "" if quote else char
        elif char == "#" and not quote:
            return line[:at]
    return line


def _split(rest: str) -> tuple[str, str]:
    """``X if Y`` -> ``X``, ``Y``."""
    found = CONDITION.fullmatch(rest)
    return (found[1].strip(), found[2]) if found else (rest.strip(), "")


def _condition(rest: str) -> Expression:
    """Return what stands behind ``if``, or y."""
    return _parse(rest.removeprefix("if")) if rest.startswith("if") else expression.YES


def _parse(text: str) -> Expression:
    try:
        return expression.parse(text.strip())
    except ValueError:  # newer than this reader: no reason to fail, it only explains
        return Expression("", text=f"$({text.strip()})")
