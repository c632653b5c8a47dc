"""HTML and SVG made of functions: whatever is not markup already is spelt out and escaped on its way in.

Markup is MarkupSafe's type, the one below Jinja2's autoescape: a ``str`` that is put into it is escaped, so nothing a
console, a test or a file name says can become a tag. Functions instead of a template language, because mypy reads them.
"""

import re
from collections.abc import Collection, Iterable

from markupsafe import Markup, escape

from harness.report.redact import printable

VOID = frozenset({"meta", "link", "wbr", "br", "rect", "line"})
"""Elements without content, as far as pages here have them; SVG's are closed the way XML wants it."""

Child = object
"""Markup stays as it is; anything else is told as text."""


def text(value: object) -> Markup:
    """Return *value* as text: controls and what reorders text spelt out, HTML escaped."""
    return value if isinstance(value, Markup) else escape(printable(str(value)))


def own(html: str) -> Markup:
    """Return *html*, which this house wrote itself or has escaped already, as markup."""
    return Markup(html)  # noqa: S704 - the one place where text becomes markup unescaped


def join(parts: Iterable[Child], between: str = "") -> Markup:
    """Return all *parts*, with *between* in between."""
    return own(str(text(between)).join([text(part) for part in parts]))


def tag(name: str, /, *children: Child, **attributes: object) -> Markup:
    """Return an element; an attribute ``None`` or ``False`` is left out, ``class_`` is class, ``_`` is a hyphen."""
    head = "".join(
        f' {_name(key)}="{text("" if value is True else value)}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in VOID and not children:
        return own(f"<{name}{head}/>")
    return own("".join([f"<{name}{head}>", *map(text, children), f"</{name}>"]))  # as few copies as can be: consoles


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def breakable(word: str) -> Markup:
    """Return a long name of parts, with the places where a narrow screen may break it."""
    return join((part if part.isalnum() else join([part, tag("wbr")]) for part in re.split(r"([/_.:\[-]+)", word)), "")


def link(label: object, line: int) -> Markup:
    """Return a link to line number *line* of the console on the same page."""
    return tag("a", label, href=f"#L{line}")


def fold(summary: object, *children: Child, **attributes: object) -> Markup:
    """Return what is shut until somebody opens it; browsers open it for a link or a search that leads inside."""
    return tag("details", tag("summary", summary), *children, **attributes)


def listing(items: Iterable[Child], **attributes: object) -> Markup:
    """Return an unordered list, nothing when there is nothing in it."""
    rows = [tag("li", item) for item in items]
    return tag("ul", *rows, **attributes) if rows else Markup("")


def facts(pairs: Iterable[tuple[str, object]]) -> Markup:
    """Return names and values as a description list; what has no value is left out."""
    told = [tag("dt", name) + tag("dd", value) for name, value in pairs if value not in {"", None}]
    return tag("dl", *told) if told else Markup("")


def table(head: Iterable[str], rows: Iterable[Markup], *, label: str, numbers: Collection[str] = ()) -> Markup:
    """Return a table in a frame of its own that scrolls sideways, by keyboard too, when the screen is narrow.

    *numbers* are the titles of columns that hold numbers.
    """
    titles = tag("tr", *(tag("th", title, scope="col", class_="n" if title in numbers else None) for title in head))
    grid = tag("table", tag("thead", titles), tag("tbody", *rows))
    return tag("div", grid, class_="wide", tabindex="0", role="region", aria_label=label)
