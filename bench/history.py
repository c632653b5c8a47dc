"""The history of a year: 10 branches, 20 boards, 365 nights, 60 checks. Seconds of a question, of an import, its size.

The runs are made up (`_history.py`), the way into the history is the real one. A question is asked of a file that has
just been opened, as a command does; what the system keeps of it in memory stays.
"""

import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from _common import Figure, main, median, repeats, say, timed
from _history import MODULES, Plan, filled, year

from harness.nightly import boards, db, evidence, flakes, importer, questions
from harness.nightly.questions import Where
from harness.report.record import RunRecord, to_json

PLAN = Plan()
QUESTION_MS = 100.0
IMPORT_MS = 50.0
CATCH_UP_S = 1.0
FILES = 200  # records that are imported as files
WEEK_S = 7 * 86_400


def figures() -> Iterator[Figure]:
    """Fill a history, import some more runs, ask everything."""
    number = repeats(5)
    with tempfile.TemporaryDirectory(prefix="pi64-", dir=Path.home()) as name:
        path, folder = Path(name) / "history.sqlite", Path(name) / "runs"
        runs = list(filled(PLAN, path, folder))
        say(f"{len(runs)} runs, {len(runs) * PLAN.checks} outcomes")
        yield Figure("history.size", path.stat().st_size / 1e6, "MB")
        yield _imported(path, folder.with_name("other"))
        for run in runs:
            (folder / run).mkdir(parents=True)  # what has ended is not opened again: they may be empty
        took: list[float] = []
        for _ in range(number):
            with timed(took):
                importer.catch_up(path, folder)
        yield Figure("history.nothing_new", median(took), limit=CATCH_UP_S)
        for question, ask in _questions(path).items():
            yield Figure(
                f"history.{question}", 1000 * median([_asked(path, ask) for _ in range(number)]), "ms", QUESTION_MS
            )


def _imported(path: Path, folder: Path) -> Figure:
    """Import the records of another lab as they lie in their folders."""
    some = [record for record, _ in zip(year(Plan(2, 10, 20, PLAN.checks), seed=2), range(FILES), strict=False)]
    for record in some:
        _written(folder / record.run_id, record)
    took: list[float] = []
    with timed(took):
        done = importer.catch_up(path, folder)
    assert done.new + done.renewed == len(some), done
    return Figure("history.import", 1000 * took[0] / len(some), "ms", IMPORT_MS)


def _written(folder: Path, record: RunRecord) -> None:
    folder.mkdir(parents=True)
    text = to_json(record).replace('"host": "bench', '"host": "other')
    (folder / "run.json").write_text(text)
    (folder / "kernel.json").write_text(json.dumps({"modules": MODULES}))


Ask = Callable[[sqlite3.Connection], object]


def _questions(path: Path) -> dict[str, Ask]:
    everywhere, where = Where(), Where("rpi-6.3.y", "desk-rpi7")
    with db.reading(path) as opened:
        (newest,) = opened.execute("SELECT MAX(started) FROM run").fetchone()
        runs = [row[0] for row in opened.execute("SELECT id FROM run WHERE bad > 0 ORDER BY started DESC LIMIT 1")]
    return {
        "last_good": lambda opened: questions.last_good(opened, everywhere),
        "last_good.one": lambda opened: questions.last_good(opened, where),
        "signature": lambda opened: questions.signatures(opened, "warning", everywhere),
        "signature.of_all_runs": lambda opened: questions.signatures(opened, "root-wait", everywhere),
        "signature.new": lambda opened: questions.signatures(opened, "", Where(since=newest - WEEK_S)),
        "flaky": lambda opened: flakes.flaky(opened, everywhere),
        "flaky.month": lambda opened: flakes.flaky(opened, Where(since=newest - 4 * WEEK_S)),
        "slow": lambda opened: boards.board_times(opened, everywhere),
        "runs": lambda opened: questions.runs(opened, everywhere),
        "usual_seconds": lambda opened: questions.usual_seconds(opened, where),
        "compare": lambda opened: evidence.compared(opened, runs[0]),
    }


def _asked(path: Path, ask: Ask) -> float:
    took: list[float] = []
    with timed(took), db.reading(path) as opened:
        assert ask(opened) is not None
    return took[0]


if __name__ == "__main__":
    main(figures())
