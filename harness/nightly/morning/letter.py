"""The mail of a night: text and HTML alternatives of the same, for any mail program."""

from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid

from markupsafe import Markup

from harness.lab.mail import MailOptions
from harness.nightly.morning import matrix, summary
from harness.nightly.morning.links import Links
from harness.nightly.morning.values import Cell, Morning, News, headline
from harness.report.markup import join, listing, own, tag
from harness.report.page import tone
from harness.report.style import PALETTE

FONT = "font-family:sans-serif;font-size:14px;line-height:1.45;color:#1b1f24"
CELL = "padding:2px 6px;border:1px solid #d3d9df;font-size:12px;white-space:nowrap"
COLUMNS = 24
"""Boards in the matrix of a mail; the page has all."""


def letter(morning: Morning, options: MailOptions) -> EmailMessage:
    """Return the mail, with a Message-ID of its own: sent twice it is the same mail."""
    links = Links(f"{options.url.rstrip('/')}/" if options.url else None)
    where = links.night(morning.name) or ""
    message = EmailMessage(policy=SMTP.clone(cte_type="7bit"))  # not every server takes bytes beyond ASCII
    message["Subject"] = subject(morning)
    message["From"], message["To"] = options.from_, ", ".join(options.to)
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain=options.from_.partition("@")[2])
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday reply is wanted
    message.set_content("\n".join(summary.lines(morning, links=links, where=where)) + "\n")
    message.add_alternative(html(morning, links, where), subtype="html")
    return message


def subject(morning: Morning) -> str:
    """Return the subject; the night's name alone is not ours, and it is a folder's."""
    return " ".join(summary.plain(f"pi64 {morning.name}: {headline(morning)}").split())


def html(morning: Morning, links: Links, where: str) -> str:
    """Return the night as HTML that mail programs show: no style sheet, and it says all with colours off too."""
    parts = [
        tag("h2", headline(morning), style="font-size:18px;margin:0 0 8px"),
        tag("p", tag("a", where, href=where)) if where else "",
        *_news(morning, links),
        _matrix(morning, links),
        *(tag("p", tag("b", f"{board.board} is out: "), board.out) for board in morning.out),
        *(tag("p", f"{board.board} is slower: {', '.join(board.slower)}") for board in morning.boards if board.slower),
    ]
    body = tag("body", join(parts), style=FONT)
    return (
        own('<!DOCTYPE html>\n<html lang="en">') + tag("head", tag("meta", charset="utf-8")) + body + own("</html>\n")
    )


def _news(morning: Morning, links: Links) -> Iterator[Markup]:
    still = [each for each in morning.news if each.kind.startswith("still")]
    for title, news in (("Broke this night", morning.regressions), ("Good again", morning.fixed), ("Still bad", still)):
        if news:
            yield tag("h3", f"{title}: {len(news)}", style="font-size:15px;margin:14px 0 4px")
            yield listing(_piece(each, links) for each in news[:40])


def _piece(each: News, links: Links) -> Markup:
    boards = summary.some(each.boards, summary.BOARDS)
    subjects = summary.some(each.subjects, summary.SUBJECTS)
    href = links.run(each.run) if each.published else None
    run = tag("a", each.run, href=href) if href else each.run
    told = "" if each.kind.startswith("still") else each.detail
    lines = [join([tag("b", each.kind), f": {each.line.label} on {boards}"]), tag("code", subjects), told]
    lines.append(join([f"{past}; " for past in each.past] + [run]))
    return join(filter(None, lines), tag("br"))


def _matrix(morning: Morning, links: Links) -> Markup:
    boards = morning.targets[:COLUMNS]
    cells = {(cell.line, cell.board): cell for cell in morning.cells}
    head = tag("tr", *(tag("th", name, style=CELL) for name in ("", *boards)))
    rows = [
        tag("tr", tag("th", line.label, style=f"{CELL};text-align:left"),
            *(_cell(cells.get((line, board)), links) for board in boards))
        for line in morning.lines
    ]  # fmt: skip
    more = len(morning.targets) - len(boards)
    rest = tag("p", f"and {more} more boards") if more else ""
    style = "border-collapse:collapse;margin:14px 0"
    return tag("table", head, *rows, style=style) + rest


def _cell(cell: Cell | None, links: Links) -> Markup:
    if cell is None or not cell.verdict:
        return tag("td", "-", style=CELL)
    colour = PALETTE[tone(cell.verdict)][0]
    words = f"{matrix.sign(cell.verdict)} {cell.verdict}"
    word = tag("b", words) if cell.change else tag("span", words if cell.tonight else f"({words})")
    href = links.run(cell.run) if cell.published else None
    inside = tag("a", word, href=href, style=f"color:{colour};text-decoration:none") if href else word
    return tag("td", inside, style=f"{CELL};color:{colour}")
