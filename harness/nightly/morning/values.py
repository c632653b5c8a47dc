"""What there is to tell in the morning after a night, as values: a page, a mail and a terminal show the same ones."""

from collections.abc import Iterator

import attrs

from harness.nightly.compare import REGRESSIONS, Kind
from harness.nightly.flakes import Flaky
from harness.nightly.morning import when

DAY_S = 86_400
NOT_RUN = {
    "left": "left over",
    "out": "not run, their board is out",
    "broken": "came to no run",
    "unchanged": "unchanged",
}
"""State of a job that made no run this night -> what is told of it."""


@attrs.frozen
class Line:
    """One branch in one configuration: a row of the matrix."""

    branch: str
    configuration: str

    @property
    def label(self) -> str:
        """What people call it."""
        return f"{self.branch} {self.configuration}".strip()


@attrs.frozen
class Cell:
    """How one branch does on one board."""

    line: Line
    board: str
    verdict: str = ""
    """Of the newest run that has one; empty when there is none."""
    run: str = ""
    """Name of that run's folder."""
    published: bool = False
    """Whether its report.html is there."""
    kernel: str = ""
    started: int = 0
    """When that run began, in seconds since 1970; so are *since* and all other times here."""
    since: int = 0
    """When the first of the runs in a row began that had this verdict; the bench's own are passed over."""
    runs: int = 0
    """How many are in that row."""
    before: str = ""
    """The verdict before them."""
    tonight: bool = True
    """Whether the run was made this night."""
    state: str = "done"
    """Of its job, see `night.state`."""
    reason: str = ""
    """Why it was not run, or what the rule of the verdict says."""
    change: str = ""
    """``worse``, ``better``, or nothing of the kind."""
    bisection: str = ""


@attrs.frozen
class News:
    """Something that is not as it was, on one branch and all boards on which it is so."""

    kind: Kind
    line: Line
    boards: tuple[str, ...]
    subjects: tuple[str, ...]
    """Tests, signatures, modules, devices, boot stages of which the same is told."""
    detail: str
    """What is told, of the first board."""
    run: str
    """An example."""
    published: bool = False
    since: int = 0
    """When it was so first, where that is not this night."""
    last_good: str = ""
    """Commit or release of the run in which it was otherwise."""
    bisections: tuple[str, ...] = ()

    @property
    def regression(self) -> bool:
        """Whether it broke this night."""
        return self.kind in REGRESSIONS

    @property
    def past(self) -> tuple[str, ...]:
        """What there is to tell of how it was before."""
        fixed = self.kind is Kind.FIXED
        since = f"{'bad ' if fixed else ''}since {when.date(self.since)}" if self.since else ""
        last = f"last {'bad' if fixed else 'good'}: {self.last_good}" if self.last_good else ""
        return tuple(filter(None, [since, last]))


@attrs.frozen
class Health:
    """How a board and its bench have done in the last weeks."""

    board: str
    model: str = ""
    out: str = ""
    """Why it was taken out of this night."""
    runs: int = 0
    spoilt: int = 0
    """Runs that the bench failed: LAB."""
    controls: int = 0
    """Boots of the known-good kernel."""
    failed_controls: int = 0
    """Runs after which that did not boot either."""
    boot_s: float | None = None
    """From power-on to login, of the last runs."""
    spread: float | None = None
    """Of that, robust, as a share of it."""
    slower: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """How many of its runs the bench spoilt, 0 to 1."""
        return self.spoilt / self.runs if self.runs else 0.0


@attrs.frozen
class Point:
    """The boots of one night: seconds from power-on to login."""

    night: int
    """Days since 1970 on which the night began, noon to noon, UTC."""
    low: float
    """A tenth of the boots is faster."""
    middle: float
    high: float
    """A tenth is slower."""


@attrs.frozen
class Trend:
    """How long the boots of a branch take on a board, night for night, oldest first."""

    line: Line
    board: str
    points: tuple[Point, ...]
    marks: tuple[int, ...] = ()
    """Nights in which a stage was told as slower."""


@attrs.frozen
class Bisected:
    """What came, or comes, of looking for the commit that broke it."""

    name: str
    board: str = ""
    said: str = ""
    done: bool = False
    published: bool = False


@attrs.frozen
class Morning:
    """All that one night has to tell."""

    name: str
    """Of the night's folder; the day where the history alone is asked."""
    started: str
    """ISO 8601, UTC."""
    finished: str = ""
    running: bool = False
    stopped: str = ""
    """What ended it before its end."""
    host: str = ""
    days: int = 90
    """So far back the trends go."""
    cells: tuple[Cell, ...] = ()
    news: tuple[News, ...] = ()
    boards: tuple[Health, ...] = ()
    weeks: int = 4
    """So far back go the health of boards, and flakes."""
    trends: tuple[Trend, ...] = ()
    flakes: tuple[Flaky, ...] = ()
    bisections: tuple[Bisected, ...] = ()

    @property
    def regressions(self) -> tuple[News, ...]:
        """What broke this night."""
        return tuple(each for each in self.news if each.regression)

    @property
    def fixed(self) -> tuple[News, ...]:
        """What is good again."""
        return tuple(each for each in self.news if each.kind is Kind.FIXED)

    @property
    def out(self) -> tuple[Health, ...]:
        """Boards that were taken out."""
        return tuple(board for board in self.boards if board.out)

    @property
    def changed(self) -> bool:
        """Whether somebody should look: something broke, is mended, or a board is out."""
        return bool(self.regressions or self.fixed or self.out or self.stopped)

    @property
    def tonight(self) -> tuple[Cell, ...]:
        """Cells with a verdict of this night."""
        return tuple(cell for cell in self.cells if cell.tonight and cell.verdict)

    @property
    def lines(self) -> tuple[Line, ...]:
        """Rows of the matrix."""
        return tuple(dict.fromkeys(cell.line for cell in self.cells))

    @property
    def targets(self) -> tuple[str, ...]:
        """Columns of the matrix."""
        return tuple(dict.fromkeys(cell.board for cell in self.cells))

    def counts(self) -> dict[str, int]:
        """Return verdict -> how many runs of this night had it, the most usual first."""
        found: dict[str, int] = {}
        for cell in self.tonight:
            found[cell.verdict] = found.get(cell.verdict, 0) + 1
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def not_run(self) -> Iterator[Cell]:
        """Yield what was not run this night, of what was planned."""
        yield from (cell for cell in self.cells if cell.state not in {"done", "running", "building", "waiting"})


def how_many(number: int, word: str) -> str:
    """Return e.g. ``1 board``, ``2 boards``."""
    return f"{number} {word}{'s' * (number != 1)}"


def headline(morning: Morning) -> str:
    """Return in one line what there is to tell; no name that somebody else chose is in it."""
    broke, fixed, out = len(morning.regressions), len(morning.fixed), len(morning.out)
    total, passed = len(morning.tonight), morning.counts().get("PASS", 0)
    parts = [
        how_many(broke, "regression") if broke else "no regressions",
        f"{fixed} fixed" if fixed else "",
        f"{passed} of {total} PASS" if total else "nothing was run",
        f"{how_many(out, 'board')} out" if out else "",
        "it goes on" if morning.running else "stopped before its end" if morning.stopped else "",
    ]
    return ", ".join(filter(None, parts))
