"""How long the boots of each board take, and which of its stages have become slower."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

import attrs

from harness.model import STAGES
from harness.nightly import slowness
from harness.nightly.questions import JOINED, SERIES, WHERE, Series, Where, series_of
from harness.nightly.slowness import Slower

NOW = 30  # runs that tell how long a boot takes these days
RECENT = slowness.REFERENCE + max(slowness.WINDOWS)  # runs of a board by which one judges whether that has changed
_SPOKEN = "verdict IS NOT NULL AND verdict != 'LAB' AND control_failed IS NULL"
_EQUAL = "image_id, host_id, toolchain_id, setup_id"


@attrs.frozen
class BoardTimes:
    """How long a board's boots take, over its last runs that differ in the kernel alone."""

    series: Series
    runs: int
    stages: dict[str, tuple[float, float]]
    """Stage (and ``boot``, from power-on to login) -> median seconds, and their robust spread as a share of it."""
    slower: tuple[Slower, ...]
    """What the statistical test says; see `slowness`."""


def board_times(db: sqlite3.Connection, where: Where) -> list[BoardTimes]:
    """Return how long boots take on each board, the slowest first: of the series that ran there last."""
    select = f"""
    SELECT series.id, {SERIES} FROM series {JOINED}
    WHERE {WHERE} AND EXISTS (SELECT 1 FROM run WHERE run.series_id = series.id AND started >= :since)"""  # noqa: S608
    latest: dict[str, tuple[int, int, list[Any]]] = {}
    newest = f"SELECT MAX(started) FROM run WHERE series_id = ? AND {_SPOKEN}"  # noqa: S608 - our own words
    for series, *named in db.execute(select, attrs.asdict(where)).fetchall():
        started = db.execute(newest, (series,)).fetchone()[0] or 0
        latest[named[2]] = max(latest.get(named[2], (0, 0, [])), (started, series, named))
    found = (_times(db, series, series_of(named), where.since) for _, series, named in latest.values() if series)
    return sorted(filter(None, found), key=lambda one: -one.stages.get(slowness.WHOLE, (0.0, 0.0))[0])


def _times(db: sqlite3.Connection, number: int, series: Series, since: int) -> BoardTimes | None:
    columns = ", ".join(f"boot.{stage}_ms" for stage in STAGES)
    select = f"""
    SELECT run.id, {columns} FROM (
      SELECT id, started FROM run WHERE series_id = :series AND started >= :since AND {_SPOKEN} AND ({_EQUAL}) = (
        SELECT {_EQUAL} FROM run WHERE series_id = :series AND {_SPOKEN} ORDER BY started DESC LIMIT 1)
      ORDER BY started DESC LIMIT :limit) AS run
    CROSS JOIN boot ON boot.run_id = run.id WHERE NOT boot.control AND NOT boot.set_aside
    ORDER BY run.started DESC, boot.number"""  # noqa: S608 - our own words
    runs: dict[int, list[dict[str, float]]] = defaultdict(list)
    for run, *times in db.execute(select, {"series": number, "since": since, "limit": RECENT}):
        runs[run].append({stage: ms / 1000 for stage, ms in zip(STAGES, times, strict=True) if ms is not None})
    if not runs:
        return None
    boots = list(runs.values())
    return BoardTimes(series, len(boots), dict(_stages(boots)), tuple(slowness.slower(boots)))


def _stages(boots: Sequence[Sequence[dict[str, float]]]) -> Iterator[tuple[str, tuple[float, float]]]:
    """Yield each stage with its median seconds and their spread; a run counts once, with its median boot."""
    took = [[slowness.durations(boot) for boot in run] for run in boots[:NOW]]
    for stage in slowness.ASKED:
        known = [median(times) for run in took if (times := [boot[stage] for boot in run if stage in boot])]
        if known:
            middle = median(known)
            spread = 1.4826 * median(abs(value - middle) for value in known) / middle if middle else 0.0
            yield stage, (middle, spread)
