"""A night in a few lines, for a terminal and for the plain part of a mail: what broke first. Pure."""

from collections.abc import Iterator, Sequence

from harness.nightly.compare import Kind
from harness.nightly.morning.links import Links
from harness.nightly.morning.values import NOT_RUN, Morning, News, headline, how_many
from harness.report.redact import printable

WIDTH = 160
BOARDS = 6
SUBJECTS = 6
STILL = 12
"""Pieces of news of what is bad still; the page has all."""


def lines(morning: Morning, *, links: Links | None = None, where: str = "") -> list[str]:
    """Return printable lines without line ends; *where* is the page, *links* make addresses of runs."""
    told = [f"{morning.name}: {headline(morning)}", *_state(morning), *_news(morning, links or Links(None))]
    told += [*_lab(morning), *([f"page: {where}"] if where else [])]
    return [plain(line)[:WIDTH] for line in told]


def plain(text: str) -> str:
    """Return *text* as one printable line."""
    return printable(text.replace("\n", " "))


def _state(morning: Morning) -> Iterator[str]:
    if morning.stopped:
        yield f"the night was stopped before its end: {morning.stopped}"
    if counts := morning.counts():
        yield ", ".join(f"{verdict} {number}" for verdict, number in counts.items())
    left = list(morning.not_run())
    for state in dict.fromkeys(cell.state for cell in left):
        yield f"{how_many(sum(cell.state == state for cell in left), 'job')} {NOT_RUN.get(state, state)}"


def _news(morning: Morning, links: Links) -> Iterator[str]:
    groups = [
        ("broke this night", morning.regressions, len(morning.news)),
        ("good again", morning.fixed, STILL),
        ("still bad", [each for each in morning.news if each.kind.startswith("still")], STILL),
        ("flakes", [each for each in morning.news if each.kind is Kind.FLAKE], STILL),
    ]
    for title, news, most in groups:
        if news:
            yield ""
            yield f"{title}: {len(news)}"
            for each in news[:most]:
                yield from _piece(each, links)
            if len(news) > most:
                yield f"  and {len(news) - most} more"
    if morning.bisections:
        yield ""
        yield "bisections:"
        yield from (f"  {each.name}: {each.said}" for each in morning.bisections)


def _piece(each: News, links: Links) -> Iterator[str]:
    yield f"  {each.kind}: {each.line.label} on {some(each.boards, BOARDS)}"
    yield from (f"    {subject}" for subject in each.subjects[:SUBJECTS])
    if len(each.subjects) > SUBJECTS:
        yield f"    and {len(each.subjects) - SUBJECTS} more"
    if each.detail and not each.kind.startswith("still"):
        yield f"      {each.detail}"
    yield f"      {'; '.join([*each.past, (links.run(each.run) if each.published else None) or each.run])}"


def some(names: Sequence[str], most: int) -> str:
    """Return the first few of *names*, and how many more there are."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{rest}"


def _lab(morning: Morning) -> Iterator[str]:
    bad = [board for board in morning.boards if board.out]
    slow = [board for board in morning.boards if board.slower]
    spoilt = [cell.board for cell in morning.tonight if cell.verdict == "LAB"]
    if bad or slow or spoilt:
        yield ""
    yield from (f"board out: {board.board}: {board.out}" for board in bad)
    yield from (f"board slower: {board.board}: {', '.join(board.slower)}" for board in slow)
    if spoilt:
        yield f"spoilt by the bench: {how_many(len(spoilt), 'run')}, on {some(list(dict.fromkeys(spoilt)), BOARDS)}"
