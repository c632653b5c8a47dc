"""How long boots took, night for night: the middle of each night's boots, and between which times most of them lie."""

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import groupby

from harness.nightly.morning.values import DAY_S, Point

_BOOTS = """
SELECT (run.started - :noon) / :day, boot.login_ms FROM run CROSS JOIN boot ON boot.run_id = run.id
WHERE run.series_id = :series AND run.started >= :since AND run.verdict IS NOT NULL AND run.verdict != 'LAB'
  AND run.control_failed IS NULL AND boot.login_ms IS NOT NULL AND NOT boot.control AND NOT boot.set_aside
ORDER BY run.started"""


def night_of(started: int) -> int:
    """Return the night of a time: from noon to noon, UTC, in days since 1970."""
    return (started - DAY_S // 2) // DAY_S


def points(opened: sqlite3.Connection, series: int, *, since: int) -> tuple[Point, ...]:
    """Return the nights of a series from *since* on, in seconds since 1970; without what the bench spoilt."""
    known = {"noon": DAY_S // 2, "day": DAY_S, "series": series, "since": since}
    rows: Iterable[tuple[int, int]] = opened.execute(_BOOTS, known)
    return tuple(_point(night, [ms for _, ms in boots]) for night, boots in groupby(rows, key=lambda row: row[0]))


def _point(night: int, times: list[int]) -> Point:
    times.sort()
    return Point(night, _quantile(times, 0.1), _quantile(times, 0.5), _quantile(times, 0.9))


def _quantile(ordered: Sequence[int], share: float) -> float:
    """Return in seconds the time below which *share* of *ordered* milliseconds lie, between the nearest two."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return (ordered[below] + (ordered[above] - ordered[below]) * (place - below)) / 1000
