"""The page of a night after a year: 10 branches, 20 boards, 365 nights, 60 checks; and a look at 50 boards that run.

The runs are made up (`_history.py`). What is new in a run is worked out when it has ended, and kept: `morning.compared`
is that, for one run; `morning.page` is all the rest, from the open history to the file on the disk, with trends of so
many days; `morning.first` is both, for a whole night of which nothing was worked out before.
"""

import datetime
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from _common import Figure, main, median, repeats, say
from _history import Plan, filled

from harness.lab import leavings
from harness.nightly import db
from harness.nightly.morning import gather, publish
from harness.nightly.watching import Watch
from harness.report.record import CaseRecord, RunRecord, to_json

PLAN = Plan()
PAGE_S = 2.0
LOOK_S = 0.1
BOARDS = 50
CONSOLE = b"[    3.612399] brcmfmac: F1 signature read @0x18000000=0x15264345\r\n" * 3000


def figures() -> Iterator[Figure]:
    """Fill a history, write the page, look at boards."""
    number = repeats(5)
    with tempfile.TemporaryDirectory(prefix="pi64-", dir=Path.home()) as name:
        runs = Path(name)
        history = runs / db.NAME
        names = list(filled(PLAN, history, runs))
        say(f"{len(names)} runs, {len(names) * PLAN.checks} outcomes")
        first = _took(lambda: publish.publish(runs, None, days=PLAN.nights, catch_up=False))
        yield Figure("morning.first", first)
        yield Figure("morning.compared", 1000 * _compared(history), "ms")
        for days in (PLAN.nights, gather.DAYS):
            took = [_took(lambda days=days: _written(runs, days)) for _ in range(number)]
            yield Figure(f"morning.page.{days}", median(took), "s", PAGE_S)
            yield Figure(f"morning.size.{days}", (runs / "nightly" / publish.PAGE).stat().st_size / 1e6, "MB")
        for run in names:
            (runs / run).mkdir()
        yield from _watched(runs, number)


def _written(runs: Path, days: int) -> None:
    made = publish.publish(runs, None, days=days, catch_up=False)
    assert made.page, made.problems


def _compared(history: Path) -> float:
    """Return the seconds of one comparison: those of a night, forgotten and worked out again."""
    with db.writing(history) as opened:
        opened.execute("DELETE FROM told")
    with db.reading(history) as opened:
        took = _took(lambda: gather.gather(opened, history.parent, None, days=1))
    return took / PLAN.branches / PLAN.boards


def _watched(runs: Path, number: int) -> Iterator[Figure]:
    """Have boards run, each with some tests done, among all those folders."""
    now = datetime.datetime.now(datetime.UTC)
    for board in range(BOARDS):
        name = f"{now:%Y-%m-%dT%H-%M-%S}-board{board}"
        tests = tuple(CaseRecord(f"tests_hw/test_checks.py::test_check[{each}]", "passed", 0.1) for each in range(60))
        record = RunRecord(
            name, f"board{board}", f"{now:%Y-%m-%dT%H:%M:%SZ}", host=platform.node(), pid=os.getpid(), tests=tests,
            branch="rpi-6.3.y",
        )  # fmt: skip
        (runs / name).mkdir()
        (runs / name / "run.json").write_text(to_json(record))
        (runs / name / "console.log").write_bytes(CONSOLE)
    watch = Watch(runs)
    yield Figure("watch.first_look", _took(watch.look, time.process_time))
    took = []
    for _ in range(max(number, 5)):
        for path in runs.glob("*-board?/run.json"):
            path.write_bytes(path.read_bytes())  # ten of them have ended a test since
            leavings.leave_doing(path.parent, leavings.Doing("booting", "booting: stage kernel, 3 s", 0.0, 0.0))
        took.append(_took(watch.look, time.process_time))
    assert len(watch.look().doing) == BOARDS
    yield Figure("watch.look", median(took), "s", LOOK_S)


def _took(work: Callable[[], object], clock: Callable[[], float] = time.monotonic) -> float:
    began = clock()
    work()
    return clock() - began


if __name__ == "__main__":
    main(figures())
