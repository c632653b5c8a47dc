"""The matrix: a row for each branch and configuration, a column for each board; a colour is never the only sign."""

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from harness.nightly.morning import when
from harness.nightly.morning.links import Links
from harness.nightly.morning.values import Cell, Line, Morning
from harness.report.markup import breakable, join, listing, tag
from harness.report.page import tone

MARKS = {"PASS": "✓", "LAB": "~", "INCONCLUSIVE": "?", "": "-"}
"""Verdict -> sign; ✕ for those that are a kernel's fault."""
GOING = {"waiting": "waits", "building": "builds", "running": "runs"}
LEFT = {"left": "left over", "out": "board out", "broken": "no run", "unchanged": "unchanged"}
CHANGES = {"worse": "worse", "better": "mended"}


def matrix(morning: Morning, links: Links) -> Markup:
    """Return the table in a frame that scrolls by itself, both ways, so that its heads stay in sight."""
    cells = {(cell.line, cell.board): cell for cell in morning.cells}
    head = tag("tr", tag("th", "Branch", scope="col"), *(tag("th", breakable(b), scope="col") for b in morning.targets))
    rows = (_row(line, [cells.get((line, board)) for board in morning.targets], links) for line in morning.lines)
    grid = tag("table", tag("thead", head), tag("tbody", *rows))
    frame = tag("div", grid, class_="wide matrix", tabindex="0", role="region", aria_label="Branches and boards")
    return frame + listing(_legend(), class_="legend")


def sign(verdict: str) -> str:
    """Return the sign that stands beside a verdict's name."""
    return MARKS.get(verdict, "✕")


def _legend() -> Iterator[Markup]:
    yield join([tag("b", "✓"), " all is well"])
    yield join([tag("b", "✕"), " the kernel, its deploy or its build"])
    yield join([tag("b", "~"), " the bench: says nothing of the kernel"])
    yield join([tag("b", "?"), " nobody can tell"])
    yield join(["below it: ", tag("b", "worse"), " or ", tag("b", "mended"), " this night, or the day since when"])
    yield join(["hatched: of an earlier night"])


def _row(line: Line, cells: Sequence[Cell | None], links: Links) -> Markup:
    name = tag(
        "th", breakable(line.branch), tag("small", line.configuration) if line.configuration else "", scope="row"
    )
    return tag("tr", name, *(_cell(cell, links) for cell in cells))


def _cell(cell: Cell | None, links: Links) -> Markup:
    if cell is None:
        return tag("td", tag("span", "not planned", class_="dim"), class_="old")
    going = GOING.get(cell.state, "")
    verdict = cell.verdict.replace("INCONCLUSIVE", "INCON\u00adCLUSIVE")
    shown = tag(
        "b", f"{sign(cell.verdict)} {verdict}".strip() if cell.verdict or not going else "", class_="verdict-word"
    )
    below = going or LEFT.get(cell.state, "") or CHANGES.get(cell.change, "") or _since(cell)
    content = join([shown, tag("small", tag("b", below) if cell.change and not going else below)])
    href = links.run(cell.run) if cell.published else None
    inside = tag("a", content, href=href, title=_title(cell)) if href else tag("span", content, title=_title(cell))
    old = "" if cell.tonight else "old"
    return tag("td", inside, class_=" ".join(filter(None, [tone(cell.verdict), old, cell.change])))


def _since(cell: Cell) -> str:
    if cell.verdict == "LAB" and cell.before:
        return f"was {cell.before}"  # the bench's bad night is no news of the branch
    return f"since {when.day(cell.since)}" if cell.verdict else "never run"


def _title(cell: Cell) -> str:
    """Return what a pointer, or a screen reader, is told besides."""
    streak = f", {cell.runs} in a row, {cell.before} before" if cell.before else f", {cell.runs} in a row"
    parts = [
        f"{cell.line.label} on {cell.board}: {cell.verdict or 'no verdict'}",
        streak if cell.verdict else "",
        f", kernel {cell.kernel}" if cell.kernel else "",
        "" if cell.tonight or not cell.verdict else f", of {when.date(cell.started)}",
        f"; {cell.reason}" if cell.reason else "",
    ]
    return "".join(parts)
