"""All that a night has to tell, out of the history, the state of the night, and what lies in the folder of runs."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from harness.errors import UsageError
from harness.lab import leavings
from harness.nightly import flakes, told
from harness.nightly.bisection import state as bisections
from harness.nightly.compare import Comparison, as_news
from harness.nightly.morning import health, slots, trends, when
from harness.nightly.morning.news import Found, news
from harness.nightly.morning.slots import Slot
from harness.nightly.morning.values import DAY_S, Bisected, Cell, Morning, Trend
from harness.nightly.night.state import Night
from harness.nightly.questions import Where
from harness.report import moment

DAYS = 90
WEEKS = 4


@attrs.frozen
class Gathered:
    """A morning, and what had to be worked out for it, to be kept in the history."""

    morning: Morning
    compared: Mapping[int, Comparison]


def gather(
    opened: sqlite3.Connection, runs: Path, night: Night | None, *, days: int = DAYS, running: bool = False
) -> Gathered:
    """Return what *night* has to tell, or without one, the last day of the history; trends go *days* back.

    *running* says that the night goes on: its file alone cannot tell that from one that was killed.
    """
    places = slots.of_night(opened, night) if night else slots.of_history(opened)
    compared = told.compared(opened, [place.run for place in places if place.run is not None])
    pages: dict[str, bool] = {}
    plain = _cells(opened, runs, places, pages)
    newest = max((cell.started for _, cell in plain), default=0)
    found = list(_found(places, compared, began=_began(night, newest)))
    cells = tuple(_changed(cell, each) for (_, cell), each in zip(plain, found, strict=True))
    out = night.boards_out if night else {}
    weeks = newest - 7 * WEEKS * DAY_S
    morning = Morning(
        night.name if night else when.date(newest),
        night.started if night else when.iso(newest),
        night.finished if night else when.iso(newest),
        running,
        _stopped(night, running=running),
        night.host if night else "",
        days,
        cells,
        news(filter(None, found), published=lambda run: pages.get(run, False)),
        health.health(opened, [place.board for place in places], since=weeks, out=out),
        WEEKS,
        _trends(opened, places, since=newest - days * DAY_S),
        tuple(flakes.flaky(opened, Where(since=weeks))),
        _bisected(runs, [place.job.bisection for place in places if place.job]),
    )
    return Gathered(morning, compared)


def _cells(
    opened: sqlite3.Connection, runs: Path, places: list[Slot], pages: dict[str, bool]
) -> list[tuple[Slot, Cell]]:
    """Return each place with its cell; fill *pages* with which runs have one."""
    plain = list(slots.cells(opened, places))
    pages |= {cell.run: (runs / cell.run / leavings.PAGE).is_file() for cell in plain if cell.run}
    named = [attrs.evolve(cell, published=pages.get(cell.run, False)) for cell in plain]
    return list(zip(places, named, strict=True))


def _changed(cell: Cell, found: Found | None) -> Cell:
    if found is None or found.comparison.silent:
        return cell
    if found.comparison.regressions:
        return attrs.evolve(cell, change="worse")
    mended = cell.verdict == "PASS" and cell.before not in {"", "PASS"} and cell.runs == 1
    return attrs.evolve(cell, change="better") if mended else cell


def _began(night: Night | None, newest: int) -> int:
    return (moment.seconds(night.started) or 0) if night else newest - DAY_S


def _found(places: list[Slot], compared: Mapping[int, Comparison], *, began: int) -> Iterator[Found | None]:
    """Yield what is new in the run of each place; None where there is none."""
    for place in places:
        if place.run is None:
            yield None
        else:
            told, bisection = (place.job.told, place.job.bisection) if place.job else ("", "")
            yield Found(place.line, place.board, as_news(compared[place.run], began=began, told=told), bisection)


def _trends(opened: sqlite3.Connection, places: list[Slot], *, since: int) -> tuple[Trend, ...]:
    marks: dict[int, list[int]] = {}
    for series, started, _ in told.slow_runs(opened, since=since):
        marks.setdefault(series, []).append(trends.night_of(started))
    found = []
    for place in places:
        if place.series is not None and not place.lent:
            points = trends.points(opened, place.series, since=since)
            if points:
                found.append(Trend(place.line, place.board, points, tuple(marks.get(place.series, ()))))
    return tuple(found)


def _stopped(night: Night | None, *, running: bool) -> str:
    if night is None or running:
        return ""
    return night.stopped or ("" if night.finished else "it was killed")


# --- bisections ------------------------------------------------------------------------------------------------------
def _bisected(runs: Path, names: Sequence[str]) -> tuple[Bisected, ...]:
    return tuple(_one_bisected(runs / bisections.FOLDER / name) for name in dict.fromkeys(filter(None, names)))


def _one_bisected(folder: Path) -> Bisected:
    try:
        state = bisections.from_json((folder / bisections.FILE).read_text())
    except (OSError, UnicodeDecodeError, UsageError):
        return Bisected(folder.name, said="nothing is known of it yet")
    page = (folder / leavings.PAGE).is_file()
    return Bisected(state.name, state.question.board, _said(state), bool(state.finished), page)


def _said(state: bisections.State) -> str:
    if len(state.first_bad) == 1:
        sure = {True: ", and without it all is good", False: ", but without it all is bad still"}
        revert = sure[state.confirmed] if state.confirmed is not None else ""
        return f"the first bad commit is {state.first_bad[0][:12]}{revert}"
    if state.first_bad:
        return f"one of {len(state.first_bad)} commits, from {state.first_bad[0][:12]} on"
    return state.stopped or f"it goes on; {len(state.answers)} answers so far"
