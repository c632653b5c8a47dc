"""Kconfig's three-valued expressions: read one, evaluate it, and say which part of it fails; text in, values out.

``n`` < ``m`` < ``y``; ``&&`` is the lesser, ``||`` the greater. A question to the compiler such as
``$(cc-option,-mfoo)`` counts as answered with y: nobody asks the compiler here.
Source: https://docs.kernel.org/kbuild/kconfig-language.html#menu-dependencies
"""

import functools
import re
from collections.abc import Callable, Iterator, Mapping

import attrs

LEVELS = {"n": 0, "m": 1, "y": 2}
TOKEN = re.compile(r"\s*(\$\(|&&|\|\||!=|<=|>=|[!()=<>]|\"[^\"]*\"|'[^']*'|[^\s!()=<>&|\"']+)")
COMPARISONS = ("=", "!=", "<", ">", "<=", ">=")


@attrs.frozen
class Expression:
    """An operator with its operands, or (without an operator) one symbol, constant or question to the compiler."""

    operator: str
    operands: tuple["Expression", ...] = ()
    text: str = ""
    """Of a leaf, as written."""

    def __str__(self) -> str:
        if not self.operator:
            return self.text
        if self.operator == "!":
            return f"!{_bracketed(self.operands[0], self)}"
        return f" {self.operator} ".join(_bracketed(each, self) for each in self.operands)

    def symbols(self) -> Iterator[str]:
        """Yield the symbols it names, in order; one that it names twice, twice."""
        if not self.operator and re.fullmatch(r"\w+", self.text) and self.text not in LEVELS:
            yield self.text
        for each in self.operands:
            yield from each.symbols()

    def level(self, values: Mapping[str, str]) -> int:
        """Return 0, 1 or 2 for n, m or y, with symbol -> value from *values*; a symbol that is absent is n."""
        if not self.operator:
            return 2 if self.text.startswith("$(") else LEVELS.get(_value(self.text, values), 0)
        if self.operator in COMPARISONS:
            left, right = (_value(each.text, values) for each in self.operands)
            return 2 if _compare(left, self.operator, right) else 0
        levels = [each.level(values) for each in self.operands]
        return {"!": 2 - levels[0], "&&": min(levels), "||": max(levels)}[self.operator]

    def failing(self, values: Mapping[str, str], wanted: int) -> "Iterator[Expression]":
        """Yield the smallest parts that must change before the whole is at least *wanted*."""
        if self.level(values) >= wanted:
            return
        if self.operator != "&&":
            yield self
        for each in self.operands if self.operator == "&&" else ():
            yield from each.failing(values, wanted)


YES = Expression("", text="y")


@functools.cache
def parse(text: str) -> Expression:
    """Return the expression; ValueError where Kconfig would see a syntax error too."""
    tokens = list(_tokens(text))
    found = _either(tokens)
    if tokens:
        raise ValueError(f"not an expression: {text}")
    return found


def both(expressions: "tuple[Expression, ...]") -> Expression:
    """Return the conjunction of *expressions*."""
    return expressions[0] if len(expressions) == 1 else Expression("&&", expressions) if expressions else YES


# --- reading ---------------------------------------------------------------------------------------------------------
def _tokens(text: str) -> Iterator[str]:
    at = 0
    while text[at:].strip():
        found = TOKEN.match(text, at)
        if found is None:
            raise ValueError(f"not an expression: {text}")
        at = found.end()
        if found[1] == "$(":
            end = _closing(text, at)
            yield text[at - 2 : end]
            at = end
        else:
            yield found[1]


def _closing(text: str, at: int) -> int:
    """Return the index behind the bracket that closes the one before *at*."""
    depth = 1
    for index in range(at, len(text)):
        depth += {"(": 1, ")": -1}.get(text[index], 0)
        if depth == 0:
            return index + 1
    raise ValueError(f"bracket not closed: {text}")


def _either(tokens: list[str]) -> Expression:
    return _chain(tokens, "||", lambda: _chain(tokens, "&&", lambda: _negated(tokens)))


def _chain(tokens: list[str], operator: str, operand: Callable[[], Expression]) -> Expression:
    found = [operand()]
    while tokens and tokens[0] == operator:
        del tokens[0]
        found.append(operand())
    return found[0] if len(found) == 1 else Expression(operator, tuple(found))


def _negated(tokens: list[str]) -> Expression:
    if not tokens:
        raise ValueError("expression ends too early")
    first = tokens.pop(0)
    if first == "!":
        return Expression("!", (_negated(tokens),))
    if first == "(":
        found = _either(tokens)
        if not tokens or tokens.pop(0) != ")":
            raise ValueError("bracket not closed")
        return found
    leaf = Expression("", text=first)
    if tokens and tokens[0] in COMPARISONS:
        operator = tokens.pop(0)
        if not tokens:
            raise ValueError("expression ends too early")
        return Expression(operator, (leaf, Expression("", text=tokens.pop(0))))
    return leaf


# --- values ----------------------------------------------------------------------------------------------------------
def _value(text: str, values: Mapping[str, str]) -> str:
    """Return what a leaf stands for: itself if it is a constant, else the symbol's value, without quotes."""
    if text in LEVELS or not re.fullmatch(r"[A-Za-z_]\w*|\d+[A-Z_]\w*", text):
        return text.strip("\"'")
    return values.get(text, "n").strip('"')


def _compare(left: str, operator: str, right: str) -> bool:
    if operator in ("=", "!="):
        return (left == right) == (operator == "=")
    try:
        order = int(left, 0) - int(right, 0)
    except ValueError:
        order = (left > right) - (left < right)
    return {"<": order < 0, ">": order > 0, "<=": order <= 0, ">=": order >= 0}[operator]


def _bracketed(inner: Expression, outer: Expression) -> str:
    needs = inner.operator and inner.operator != "!" and (outer.operator == "!" or inner.operator == "||")
    return f"({inner})" if needs else str(inner)
