"""What a board does now, as a value and as a line of a table; how far a run is, from what it has left so far. Pure."""

import attrs

from harness.report.moment import told
from harness.report.redact import printable

BOARD, BRANCH, STAGE, TIME = 24, 24, 26, 21  # columns of the table, at most
LEAST_LINE = 20
LEAST = 8
"""A column of a narrow terminal; below 40 characters the last ones are cut off."""
LATE = 1.5  # times the usual: beyond that it is told


@attrs.frozen
class Doing:
    """A run that goes on, or one that should: its process is gone."""

    board: str
    branch: str
    run: str
    """Name of its folder."""
    stage: str
    """``starting``, ``building``, ``deploying``, ``booting: kernel``, ``tests: 12 done``."""
    elapsed_s: float
    usual_s: float | None = None
    """How long such a run usually takes; None where the history does not know."""
    silent_s: float | None = None
    """Since its console was heard last; None before that."""
    line: str = ""
    """The last line on its console."""
    gone: str = ""
    """Why it is told to be dead: no verdict will come of it."""

    @property
    def time(self) -> str:
        """Elapsed against usual."""
        usual = f" of {told(self.usual_s)}" if self.usual_s else ""
        return f"{told(self.elapsed_s)}{usual}"

    @property
    def late(self) -> bool:
        """Whether it takes much longer than usual."""
        return self.usual_s is not None and self.elapsed_s > LATE * self.usual_s

    @property
    def state(self) -> str:
        """The stage, or what became of it."""
        return f"gone: {self.gone}" if self.gone else self.stage


@attrs.frozen
class Idle:
    """A board on which no run goes on."""

    board: str
    branch: str = ""
    verdict: str = ""
    """Of its last run; empty when that had none."""
    ago_s: float | None = None
    """Since that run ended; None when there was none lately."""
    waiting: int = 0
    """Jobs of this night that wait for it."""
    out: str = ""
    """Why it was taken out."""

    @property
    def state(self) -> str:
        """What there is to tell of it."""
        if self.out:
            return f"out: {self.out}"
        last = "idle" if self.ago_s is None else f"idle, {self.verdict or 'no verdict'} {told(self.ago_s)} ago"
        return f"{last}, {self.waiting} waiting" if self.waiting else last


@attrs.frozen
class Now:
    """All boards, and how far the night is."""

    doing: tuple[Doing, ...] = ()
    idle: tuple[Idle, ...] = ()
    building: tuple[str, ...] = ()
    """Kernels that are being built, a line each."""
    night: str = ""
    """A line that says how far the night is; empty when none goes on."""


def table(now: Now, width: int) -> list[str]:
    """Return printable lines, none wider than *width*, for a terminal; each is whole without colours."""
    rows = [(each.board, each.branch, each.state, each.time, _said(each)) for each in now.doing]
    rows += [(each.board, each.branch, each.state, "", "") for each in now.idle]
    head = ("board", "branch", "now", "elapsed of usual", "last line")
    limits = (BOARD, BRANCH, STAGE, TIME)
    clean = [[_plain(cell) for cell in row] for row in [head, *rows]]
    widths = _fitting([min(limit, max(len(row[n]) for row in clean)) for n, limit in enumerate(limits)], width)
    lines = [_line(row, widths, width) for row in clean] if rows else ["no board does anything, and none did lately"]
    first = [_plain(now.night)] if now.night else []
    return [line[:width].rstrip() for line in [*first, *lines, *map(_plain, now.building)]]


def _fitting(widths: list[int], width: int) -> list[int]:
    """Return *widths* with room for a last line behind them: the widest column gives way first."""
    while sum(widths) + 2 * len(widths) + LEAST_LINE > width and max(widths) > LEAST:
        widths[widths.index(max(widths))] -= 1
    return widths


def _line(row: list[str], widths: list[int], width: int) -> str:
    idle = not row[3] and not row[4]
    cells = [cut(cell, limit).ljust(limit) for cell, limit in zip(row, widths, strict=False)]
    if idle:  # nothing follows: it may be as long as it likes
        cells = [*cells[:2], row[2]]
        return "  ".join(cells)
    before = "  ".join(cells)
    return f"{before}  {cut(row[4], max(width - len(before) - 2, LEAST_LINE))}"


def _said(each: Doing) -> str:
    quiet = each.silent_s is not None and each.silent_s >= 30 and not each.gone  # it says something every few seconds
    return f"[{told(each.silent_s or 0)} silent] {each.line}" if quiet else each.line


def cut(text: str, width: int) -> str:
    """Return *text*, or as much as fits with a sign that there is more."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _plain(text: str) -> str:
    return " ".join(printable(text).split())
