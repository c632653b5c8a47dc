"""A night as one HTML page: what changed on top, then the matrix, the boards, boot times, flakes. Pure."""

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from harness.nightly.compare import Kind
from harness.nightly.doing import Doing, Now
from harness.nightly.morning import matrix, plots
from harness.nightly.morning.links import Links
from harness.nightly.morning.look import NIGHTLY
from harness.nightly.morning.values import NOT_RUN, Health, Morning, News, headline, how_many
from harness.report import moment
from harness.report.markup import breakable, facts, fold, join, listing, table, tag
from harness.report.page import Section, badge, page, paragraphs

REFRESH_S = 30
BOARDS = 8  # named in one piece of news; the rest is folded
SUBJECTS = 8
FLAKES = 100
STILL = (Kind.STILL_FAILING, Kind.STILL_MISSING, Kind.STILL_SLOWER, Kind.FIRST_FAILURE)
ONCE = (Kind.FLAKE, Kind.ODD)


def render(morning: Morning, now: Now | None = None, *, links: Links | None = None) -> str:
    """Return the page; *now* is what the boards do, while the night goes on."""
    links = links or Links()
    sections = [
        Section("changes", "What changed", _changes(morning, links)),
        *([Section("now", "Now", _now(now))] if now and morning.running else []),
        Section("matrix", "Branches and boards", matrix.matrix(morning, links)),
        Section("boards", "Boards and their bench", _boards(morning)),
        Section("trends", "Boot times", _trends(morning)),
        Section("flakes", "Flakes", _flakes(morning)),
    ]
    if left := list(_left(morning)):
        sections.insert(-3, Section("left", "Not run", join(left)))
    return page(
        f"{morning.name}: {headline(morning)}", _head(morning), sections, verdict=_colour(morning),
        foot=f"pi64, night {morning.name}; times are UTC", sheet=NIGHTLY,
        refresh_s=REFRESH_S if morning.running else None,
    )  # fmt: skip


def _colour(morning: Morning) -> str:
    return "KERNEL" if morning.regressions else "LAB" if morning.out or morning.stopped else "PASS"


def _head(morning: Morning) -> Markup:
    counts = morning.counts().items()
    sums = listing((join([badge(name), f"{number}"]) for name, number in counts), class_="sums")
    alarms = [f"The night was stopped before its end: {morning.stopped}"] if morning.stopped else []
    alarms += [f"{board.board} was taken out: {board.out}" for board in morning.out]
    return join(
        [
            tag("h1", f"{morning.name}: {headline(morning)}"),
            *(tag("p", alarm, class_="alarm", role="alert") for alarm in alarms),
            sums,
            facts(_identity(morning)),
        ]
    )


def _identity(morning: Morning) -> Iterator[tuple[str, object]]:
    yield "Lab host", morning.host
    took = moment.between(morning.started, morning.finished)
    length = f", took {moment.told(took)}" if took else ""
    going = f"; it goes on, and this page renews itself every {REFRESH_S} s" if morning.running else ""
    yield "Night", f"{morning.started}{length}{going}"


# --- what changed ----------------------------------------------------------------------------------------------------
def _changes(morning: Morning, links: Links) -> Markup:
    groups = [
        ("Broke this night", "bad", list(morning.regressions), True),
        ("Good again", "good", list(morning.fixed), True),
        ("Still bad", "", [each for each in morning.news if each.kind in STILL], False),
        ("Once, or a flake", "", [each for each in morning.news if each.kind in ONCE], False),
    ]
    told = [_group(*group, links=links) for group in groups if group[2]]
    calm = [] if morning.regressions else [tag("p", "Nothing broke that was good before.")]
    return join([*calm, *told, _bisections(morning, links)])


def _group(title: str, tone: str, news: Sequence[News], shown: bool, *, links: Links) -> Markup:
    items = tag("ul", *(tag("li", _piece(each, links), class_=tone or None) for each in news), class_="news")
    head = f"{title}: {len(news)}"
    return tag("h3", head) + items if shown else fold(head, items)


def _piece(each: News, links: Links) -> Markup:
    parts = [tag("p", tag("strong", each.kind), ": ", breakable(each.line.label), " on ", _on(each.boards))]
    parts += [tag("code", breakable(subject)) for subject in each.subjects[:SUBJECTS]]
    if rest := each.subjects[SUBJECTS:]:
        parts.append(fold(f"and {len(rest)} more", *(tag("code", breakable(subject)) for subject in rest)))
    parts += [tag("p", each.detail)] if each.detail else []
    return join([*parts, tag("p", *_where(each, links), class_="dim")])


def _on(boards: Sequence[str]) -> Markup:
    if len(boards) <= BOARDS:
        return join((breakable(board) for board in boards), ", ")
    return tag("span", f"{len(boards)} boards: ") + join(map(breakable, boards), ", ")


def _where(each: News, links: Links) -> Iterator[object]:
    yield "".join(f"{told}; " for told in each.past)
    yield _linked(each.run, links.run(each.run) if each.published else None)
    for name in each.bisections:
        yield join(["; bisection ", tag("a", name, href="#bisections")])


def _linked(name: str, href: str | None) -> Markup:
    return tag("a", breakable(name), href=href) if href else tag("span", breakable(name))


def _bisections(morning: Morning, links: Links) -> Markup:
    if not morning.bisections:
        return Markup("")
    items = [
        join([_linked(each.name, links.bisection(each.name) if each.published else None), f": {each.said}"])
        for each in morning.bisections
    ]
    return tag("h3", "Bisections", id="bisections") + listing(items)


def _left(morning: Morning) -> Iterator[Markup]:
    """Yield what was not run, for each reason the boards of each branch."""
    groups: dict[tuple[str, str], list[str]] = {}
    for cell in morning.not_run():
        groups.setdefault((cell.state, cell.reason), []).append(f"{cell.line.label} on {cell.board}")
    for (state, reason), names in groups.items():
        head = f"{how_many(len(names), 'job')} {NOT_RUN.get(state, state)}{f': {reason}' if reason else ''}"
        yield fold(head, listing(map(breakable, names)))


# --- now -------------------------------------------------------------------------------------------------------------
def _now(now: Now) -> Markup:
    rows = [_does(each) for each in now.doing]
    rows += [_row(each.board, each.branch, each.state, "", "") for each in now.idle]
    head = ["Board", "Branch", "Now", "Elapsed of usual", "Last line"]
    grid = table(head, rows, label="What every board does now")
    return join([tag("p", now.night), tag("div", grid, class_="now"), listing(now.building)])


def _does(each: Doing) -> Markup:
    return _row(each.board, each.branch, each.state, f"{each.time}{' (late)' if each.late else ''}", each.line)


def _row(*cells: str) -> Markup:
    return tag("tr", tag("th", breakable(cells[0]), scope="row"), *(tag("td", cell) for cell in cells[1:]))


# --- the lab ---------------------------------------------------------------------------------------------------------
def _boards(morning: Morning) -> Markup:
    head = ["Board", "Model", "Runs", "Spoilt by the bench", "Control boots", "Boot", "Spread", "Slower"]
    numbers = ["Runs", "Spoilt by the bench", "Control boots", "Boot", "Spread"]
    worst = sorted(morning.boards, key=lambda board: (not board.out, -board.share, board.board))
    about = f"Of the last {morning.weeks} weeks, the worst first. What the bench spoilt says nothing about a kernel."
    return paragraphs(about) + table(head, map(_health, worst), label="Boards and their bench", numbers=numbers)


def _health(board: Health) -> Markup:
    boot = "-" if board.boot_s is None else f"{board.boot_s:.1f} s"
    spread = "-" if board.spread is None else f"{board.spread:.1%}"
    controls = f"{board.controls}, {board.failed_controls} failed" if board.failed_controls else board.controls
    out = tag("strong", " (out)") if board.out else ""
    return tag(
        "tr",
        tag("th", breakable(board.board), out, scope="row"),
        tag("td", board.model),
        *(tag("td", cell, class_="n") for cell in (board.runs, _spoilt(board), controls, boot, spread)),
        tag("td", ", ".join(board.slower) or "-"),
    )


def _spoilt(board: Health) -> str:
    return f"{board.spoilt} ({board.share:.0%})" if board.spoilt else "-"


def _trends(morning: Morning) -> Markup:
    if not morning.trends:
        return paragraphs("No boot has reached its login yet.")
    about = (
        f"Seconds from power-on to login, of the last {morning.days} days: the line is the middle of a night's boots, "
        "the band holds eight in ten. A dashed line marks a night in which a stage was told as slower."
    )
    return paragraphs(about) + plots.plots(morning)


def _flakes(morning: Morning) -> Markup:
    if not morning.flakes:
        return paragraphs(f"None in {morning.weeks} weeks.")
    head = ["Test", "Board", "Kernels", "Passed", "Failed", "Set aside"]
    rows = (
        tag(
            "tr",
            tag("th", breakable(each.test), scope="row"),
            tag("td", breakable(each.board)),
            *(tag("td", number, class_="n") for number in (each.kernels, each.good, each.bad, each.set_aside)),
        )
        for each in morning.flakes[:FLAKES]
    )
    about = f"Tests that answered otherwise when the same kernel was asked again, in {morning.weeks} weeks."
    return paragraphs(about) + table(head, rows, label="Flaky tests", numbers=head[2:])
