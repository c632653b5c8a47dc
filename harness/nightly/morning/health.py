"""How each board and its bench have done: how often the bench failed, control boots, how long boots take."""

import sqlite3
from collections.abc import Iterable, Mapping

from harness.nightly import boards, slowness
from harness.nightly.morning.values import Health
from harness.nightly.questions import Where

_RUNS = """
SELECT target.name, target.model, COUNT(*), SUM(verdict = 'LAB'), SUM(control_failed IS NOT NULL)
FROM run JOIN target ON target.id = run.target_id
WHERE run.started >= ? AND verdict IS NOT NULL GROUP BY run.target_id"""
_CONTROLS = """
SELECT target.name, COUNT(*) FROM run CROSS JOIN boot ON boot.run_id = run.id JOIN target ON target.id = run.target_id
WHERE run.started >= ? AND boot.control GROUP BY run.target_id"""


def health(
    opened: sqlite3.Connection, targets: Iterable[str], *, since: int, out: Mapping[str, str]
) -> tuple[Health, ...]:
    """Return how *targets* have done from *since* on (seconds since 1970); *out*: board -> why it was taken out.

    How long boots take is judged by as many runs before as the test for that wants.
    """
    runs = {name: (model, *counts) for name, model, *counts in opened.execute(_RUNS, (since,))}
    controls = dict(opened.execute(_CONTROLS, (since,)))
    times = {each.series.board: each for each in boards.board_times(opened, Where())}
    found = []
    for board in dict.fromkeys([*targets, *out]):
        model, many, spoilt, failed = runs.get(board, ("", 0, 0, 0))
        known = times.get(board)
        boot_s, spread = known.stages.get(slowness.WHOLE, (None, None)) if known else (None, None)
        slower = tuple(f"{each.stage} +{each.share:.0%}" for each in known.slower) if known else ()
        controlled = controls.get(board, 0)
        found.append(Health(board, model, out.get(board, ""), many, spoilt, controlled, failed, boot_s, spread, slower))
    return tuple(found)
