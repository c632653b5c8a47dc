"""Flakes in the history: tests that answered otherwise when the same kernel was asked again on the same board."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import attrs

from harness.nightly.questions import Where, ref_of
from harness.nightly.views import Ref


@attrs.frozen
class Flaky:
    """A test with more than one answer of the same kernel on the same board."""

    test: str
    board: str
    kernels: int
    """How many gave both answers, or one only when asked again."""
    good: int
    """Answers of those kernels."""
    bad: int
    set_aside: int
    """Attempts that were set aside because the bench had a part in them."""
    last: Ref


def flaky(db: sqlite3.Connection, where: Where) -> list[Flaky]:
    """Return the tests that answered otherwise when asked again, the flakiest first."""
    given: dict[tuple[int, int], dict[int, list[int]]] = defaultdict(dict)  # test, target -> kernel -> good, bad, aside
    last: dict[tuple[int, int], tuple[int, int]] = {}
    for test, target, kernel, good, bad, aside, started, run in [*_contradictions(db, where), *_repeated(db, where)]:
        counts = given[test, target].setdefault(kernel, [0, 0, 0])
        given[test, target][kernel] = [one + other for one, other in zip(counts, (good, bad, aside), strict=True)]
        last[test, target] = max(last.get((test, target), (0, 0)), (started, run))
    found = []
    for (test, target), kernels in given.items():
        good, bad, aside = (sum(column) for column in zip(*kernels.values(), strict=True))
        name = db.execute("SELECT name FROM test WHERE id = ?", (test,)).fetchone()[0]
        board = db.execute("SELECT name FROM target WHERE id = ?", (target,)).fetchone()[0]
        found.append(Flaky(name, board, len(kernels), good, bad, aside, ref_of(db, last[test, target][1])))
    return sorted(found, key=lambda one: (-one.kernels, -one.bad, one.test, one.board))


_WHERE = """
run.started >= :since AND (:board = '' OR run.target_id = (SELECT id FROM target WHERE name = :board))
AND (:branch = '' OR run.series_id IN (
  SELECT series.id FROM series JOIN branch ON branch.id = series.branch_id WHERE :branch IN (branch.name, branch.tree)))
"""


def _contradictions(db: sqlite3.Connection, where: Where) -> Iterator[tuple[Any, ...]]:
    """Yield what one kernel answered on one board, where it answered both ways. Few kernels run twice and fail."""
    select = f"""
    WITH twice AS MATERIALIZED (
      SELECT run.target_id AS target, run.kernel_id AS kernel FROM run
      WHERE run.kernel_id IS NOT NULL AND {_WHERE}
      GROUP BY run.target_id, run.kernel_id HAVING COUNT(*) > 1 AND MAX(run.bad) > 0),
    failed AS MATERIALIZED (
      SELECT DISTINCT twice.target, twice.kernel, outcome.test_id AS test FROM twice
      CROSS JOIN run ON run.target_id = twice.target AND run.kernel_id = twice.kernel AND run.bad > 0
      CROSS JOIN outcome INDEXED BY outcome_bad ON outcome.run_id = run.id AND outcome.good = 0)
    SELECT failed.test, failed.target, failed.kernel, SUM(outcome.good = 1), SUM(outcome.good = 0), 0,
           MAX(run.started), run.id
    FROM failed CROSS JOIN run ON run.target_id = failed.target AND run.kernel_id = failed.kernel
    CROSS JOIN outcome ON outcome.run_id = run.id AND outcome.test_id = failed.test AND outcome.good IS NOT NULL
    GROUP BY 1, 2, 3 HAVING SUM(outcome.good = 1) > 0"""  # noqa: S608 - our own words
    yield from db.execute(select, attrs.asdict(where))


def _repeated(db: sqlite3.Connection, where: Where) -> Iterator[tuple[Any, ...]]:
    """Yield the tests of which an attempt was set aside, and another one passed."""
    select = f"""
    SELECT attempt.test_id, run.target_id, IFNULL(run.kernel_id, 0), 0, 0, COUNT(*), MAX(run.started), run.id
    FROM attempt CROSS JOIN run ON run.id = attempt.run_id
    CROSS JOIN outcome ON outcome.run_id = attempt.run_id AND outcome.test_id = attempt.test_id
      AND outcome.attempt > attempt.number AND outcome.outcome = 'p'
    WHERE attempt.set_aside AND {_WHERE} GROUP BY 1, 2, 3"""  # noqa: S608 - our own words
    yield from db.execute(select, attrs.asdict(where))
