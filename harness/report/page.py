"""The shell of a page: one file that loads nothing, for any screen and for a keyboard; sections are put into it."""

import base64
from collections.abc import Sequence

import attrs
from markupsafe import Markup

from harness.report.markup import join, listing, own, tag
from harness.report.style import BADGES, PALETTE, SHEET, digest


def policy(sheet: str) -> str:
    """Return what a page may do: no script, no form, nothing from anywhere, no style but *sheet*.

    Whatever got into the page can do nothing. The picture is the tab's.
    """
    return f"default-src 'none'; style-src 'sha256-{digest(sheet)}'; img-src data:; base-uri 'none'; form-action 'none'"


POLICY = policy(SHEET)


@attrs.frozen
class Section:
    """A part of a page, with a heading of its own and an entry in the navigation."""

    name: str
    """Its id: a word of the house."""
    title: str
    body: Markup


def page(
    title: str,
    head: Markup,
    sections: Sequence[Section],
    *,
    verdict: str = "",
    foot: str = "",
    sheet: str = SHEET,
    refresh_s: int | None = None,
) -> str:
    """Return an HTML document: *head* (with the only h1) above the navigation, then *sections*.

    *verdict* is the one whose colour the tab has. *refresh_s* makes the browser load the page again and again.
    """
    entries = [tag("a", section.title, href=f"#{section.name}") for section in sections]
    parts = [
        own('<!DOCTYPE html>\n<html lang="en">'),
        _head(title, verdict, sheet, refresh_s),
        own("<body>"),
        tag("a", "Skip to the content", href="#main", class_="skip"),
        tag("header", head),
        tag("nav", listing(entries), aria_label="On this page"),
        own('<main id="main" tabindex="-1">'),
        *(part for section in sections for part in _section(section)),
        own("</main>"),
        tag("footer", tag("p", foot)),
        own("</body></html>\n"),
    ]
    return "".join(parts)  # once, at the very end: a console may have tens of megabytes


def _section(section: Section) -> list[Markup]:
    title = f"{section.name}-title"
    begin = own(f'<section id="{section.name}" aria-labelledby="{title}">')
    return [begin, tag("h2", section.title, id=title), section.body, own("</section>")]


def _head(title: str, verdict: str, sheet: str, refresh_s: int | None) -> Markup:
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy(sheet)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", http_equiv="refresh", content=refresh_s) if refresh_s else "",
        tag("link", rel="icon", href=_icon(verdict)),
        tag("title", title),
        tag("style", own(sheet)),
    )


def _icon(name: str) -> str:
    """Return a picture for the browser's tab: a dot in the verdict's colour."""
    colour, _ = PALETTE[tone(name)]
    circle = tag("circle", cx="4.5", cy="4.5", r="4", fill=colour)
    dot = tag("svg", circle, xmlns="http://www.w3.org/2000/svg", viewBox="0 0 9 9")
    return f"data:image/svg+xml;base64,{base64.b64encode(dot.encode()).decode()}"


def badge(name: str) -> Markup:
    """Return a verdict's name on its colour."""
    return tag("span", name, class_=f"badge {tone(name)}")


def tone(name: str) -> str:
    """Return the class that has the colour of a verdict; that of INCONCLUSIVE for what is none."""
    return name if name in BADGES else "INCONCLUSIVE"


def paragraphs(*lines: object) -> Markup:
    """Return each of *lines* as a paragraph of its own."""
    return join(tag("p", line) for line in lines)
