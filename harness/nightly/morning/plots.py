"""Trends as pictures: many small ones on one scale, the middle of each night in a band where most boots lie. Pure."""

from collections.abc import Iterable, Sequence
from statistics import median

from markupsafe import Markup

from harness.nightly.morning import when
from harness.nightly.morning.values import DAY_S, Health, Morning, Point, Trend
from harness.report.markup import breakable, fold, join, own, tag

HEIGHT = 100  # units of a picture, whatever its size on a screen
LATELY = 7  # nights that say how long a boot takes now
EDGE = 0.01  # share of the nights that may lie outside of the scale: one odd night would flatten all others


def plots(morning: Morning) -> Markup:
    """Return the trends of each board behind its name; open where something has become slower."""
    boards: dict[str, list[Trend]] = {}
    for trend in morning.trends:
        boards.setdefault(trend.board, []).append(trend)
    health = {board.board: board for board in morning.boards}
    return join(_board(board, trends, health.get(board)) for board, trends in boards.items())


def _board(board: str, trends: Sequence[Trend], health: Health | None) -> Markup:
    low, high = scale(point for trend in trends for point in trend.points)
    first = min(trend.points[0].night for trend in trends)
    last = max(trend.points[-1].night for trend in trends)
    charts = [_chart(trend, first, max(last - first, 1), low, high) for trend in trends]
    told = f"; slower: {', '.join(health.slower)}" if health and health.slower else ""
    about = f"{when.day(first * DAY_S)} to {when.day((last + 1) * DAY_S)}, all from {low:.1f} s to {high:.1f} s"
    head = join([tag("strong", breakable(board)), f": {about}{told}"])
    return fold(head, tag("div", *charts, class_="charts"), open=bool(told))


def scale(points: Iterable[Point]) -> tuple[float, float]:
    """Return the seconds at the bottom and the top of a picture, with some air."""
    every = list(points)
    lows, highs = sorted(point.low for point in every), sorted(point.high for point in every)
    beyond = int(EDGE * len(every))
    low, high = lows[beyond], highs[-1 - beyond]
    air = max(0.05 * (high - low), 0.1)
    return max(low - air, 0.0), high + air


def _chart(trend: Trend, first: int, width: int, low: float, high: float) -> Markup:
    seconds = [point.middle for point in trend.points[-LATELY:]]
    now = trend.points[-LATELY:]
    lowest, highest = median(point.low for point in now), median(point.high for point in now)
    said = f"{median(seconds):.1f} s lately, most from {lowest:.1f} s to {highest:.1f} s"
    slow = (
        f"; told as slower on {', '.join(when.day(night * DAY_S) for night in trend.marks[-3:])}" if trend.marks else ""
    )
    unit = HEIGHT / (high - low)
    picture = tag(
        "svg", _band(trend.points, first, low, unit), _middle(trend.points, first, low, unit),
        *(_mark(night - first) for night in trend.marks if night >= first), viewBox=f"0 0 {width} {HEIGHT}",
        preserveAspectRatio="none", role="img", aria_label=f"{trend.line.label} on {trend.board}: {said}{slow}",
    )  # fmt: skip
    caption = tag("figcaption", tag("strong", breakable(trend.line.label)), f": {said}{slow}")
    return tag("figure", picture, caption, class_="chart")


def _mark(place: int) -> Markup:
    return tag("line", x1=place, x2=place, y1=0, y2=HEIGHT, class_="slow")


def _middle(points: Sequence[Point], first: int, low: float, unit: float) -> Markup:
    track = [(point.night - first, round(HEIGHT - (point.middle - low) * unit)) for point in points]
    return own(f'<path class="middle" d="M{steps(track)}"/>')


def _band(points: Sequence[Point], first: int, low: float, unit: float) -> Markup:
    over = [(point.night - first, round(HEIGHT - (point.high - low) * unit)) for point in points]
    under = [(point.night - first, round(HEIGHT - (point.low - low) * unit)) for point in reversed(points)]
    return own(f'<path class="band" d="M{steps(over + under)}z"/>')


def steps(track: Sequence[tuple[int, int]]) -> str:
    """Return a way from point to point as SVG has it, in as few bytes as can be: from each to the next."""
    (x, y), *rest = track
    if not rest:
        return f"{x} {y}h1"  # one night alone is a dash
    begin, told = f"{x} {y}l", []
    for to_x, to_y in rest:
        told.append(f"{to_x - x} {to_y - y}")
        x, y = to_x, to_y
    return begin + " ".join(told)
