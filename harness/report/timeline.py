"""Boots as a picture: one bar a boot, its stages on one scale. SVG that fits any width without shrinking its words."""

import math
from collections.abc import Iterator, Sequence

import attrs
from markupsafe import Markup

from harness.model import STAGES, BootRecord
from harness.report.markup import join, tag

TOP, BAR, ROW, AXIS = 18, 16, 46, 22  # pixels: the words above a bar, the bar, a row with its gap, the scale below
LABEL = 44  # characters above a bar that fit a phone
NARROW = 0.16  # of the width; a narrower stage has no room for its name
TICKS = 6  # at most
POWER = "power"
"""Between power-on and the first stage."""


@attrs.frozen
class Bar:
    """One boot to draw."""

    label: str
    stages: tuple[tuple[str, float], ...]
    """Stage and the seconds from power-on to its first line, by seconds."""
    end_s: float
    """Where the bar ends: at the login, or where the board was heard last."""
    reached: bool = True
    pale: bool = False
    """A control boot, or one that was set aside."""

    @property
    def segments(self) -> Iterator[tuple[str, float, float]]:
        """Yield the stage that lasted, and from when to when, in seconds."""
        names = [POWER, *(stage for stage, _ in self.stages)]
        times = [0.0, *(seconds for _, seconds in self.stages), self.end_s]
        for name, begin, end in zip(names, times, times[1:], strict=False):
            if end > begin:
                yield name, begin, end


def bar(boot: BootRecord, label: str, *, heard_s: float | None = None, pale: bool = False) -> Bar:
    """Return the bar of *boot*; *heard_s* is when a boot that failed was heard last, in seconds from power-on."""
    times = {stage: seconds for stage, seconds in boot.stages.items() if math.isfinite(seconds) and seconds >= 0}
    stages = tuple(sorted(times.items(), key=lambda item: (item[1], STAGES.index(item[0]))))
    end = max([*times.values(), 0.0 if boot.reached else (heard_s or 0.0)], default=0.0)
    return Bar(label, stages, end, boot.reached, pale)


def svg(bars: Sequence[Bar]) -> Markup:
    """Return the picture; a table beside it is to say the same in numbers."""
    longest = max((each.end_s for each in bars), default=0.0) or 1.0
    rows = [_row(each, number * ROW, longest) for number, each in enumerate(bars)]
    bottom = len(bars) * ROW
    scale = [_tick(seconds, longest, bottom) for seconds in ticks(longest)]
    return tag(
        "svg", *scale, *rows, class_="timeline", width="100%", height=bottom + AXIS, role="img",
        aria_label="Boot stages on one scale of seconds; the table below has the numbers",
    )  # fmt: skip


def legend() -> Markup:
    """Return what the colours mean."""
    swatch = [tag("li", tag("span", class_=f"swatch {name}"), f" {_meaning(name)}") for name in (POWER, *STAGES[:-1])]
    return tag("ul", *swatch, tag("li", tag("span", "✕", class_="swatch stop"), " stopped"), class_="legend")


def ticks(longest: float) -> list[float]:
    """Return round numbers of seconds from 0 up to *longest*, at most TICKS of them."""
    unit = 10 ** math.floor(math.log10(longest / TICKS))
    step = next(unit * each for each in (1, 2, 5, 10, 20) if longest / (unit * each) < TICKS)
    return [step * number for number in range(int(longest / step) + 1)]


def _meaning(name: str) -> str:
    return "power-on, silent" if name == POWER else name


def _row(each: Bar, top: int, longest: float) -> Markup:
    label = each.label if len(each.label) <= LABEL else f"{each.label[: LABEL - 1]}…"
    parts = [tag("text", label, x="0", y=top + TOP - 5, class_="label")]
    parts += [_segment(*segment, top=top + TOP, longest=longest) for segment in each.segments]
    if not each.reached:
        parts += [_stop(each, top + TOP, longest)]
    return tag("g", *parts, class_="row pale" if each.pale else "row")


def _segment(name: str, begin: float, end: float, *, top: int, longest: float) -> Markup:
    share = (end - begin) / longest
    hint = tag("title", f"{_meaning(name)}: from {begin:.1f} s to {end:.1f} s, {end - begin:.1f} s")
    box = tag("rect", hint, x=_percent(begin / longest), y=top, width=_percent(share), height=BAR, class_=name)
    if share < NARROW or name == POWER:
        return box
    middle = _percent((begin + end) / 2 / longest)
    return box + tag("text", name, x=middle, y=top + BAR - 4, text_anchor="middle", class_="inside")


def _stop(each: Bar, top: int, longest: float) -> Markup:
    """Return the mark where a boot stopped: the last pixels of its bar, inside of it where that is wide enough."""
    left = -BAR if each.end_s / longest > NARROW else 0
    box = tag("rect", x=left, y="0", width=BAR, height=BAR, class_="stop")
    cross = tag("text", "✕", x=left + BAR / 2, y=BAR - 4, text_anchor="middle", class_="cross")
    return tag("svg", box, cross, x=_percent(each.end_s / longest), y=top, class_="end")


def _tick(seconds: float, longest: float, bottom: int) -> Markup:
    x = _percent(seconds / longest)
    anchor = "start" if not seconds else "end" if seconds / longest > 0.93 else "middle"
    line = tag("line", x1=x, x2=x, y1=0, y2=bottom, class_="grid")
    return line + tag("text", f"{seconds:g} s", x=x, y=bottom + AXIS - 8, text_anchor=anchor, class_="tick")


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%"


def numbers(boots: Sequence[tuple[Markup, BootRecord, str]]) -> Markup:
    """Return rows of a table: what a boot is called, the seconds of its stages, and below, how it ended."""
    return join(_numbers(*each) for each in boots)


def _numbers(name: Markup, boot: BootRecord, ended: str) -> Markup:
    cells = [tag("td", f"{boot.stages[stage]:.1f}" if stage in boot.stages else "-", class_="n") for stage in STAGES]
    row = tag("tr", tag("th", name, scope="row"), *cells)
    return row + (tag("tr", tag("td", ended, colspan=len(STAGES) + 1, class_="ended")) if ended else "")
