"""A small lab over many nights, and one night's state: something of everything that a page of a night can show."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
from nightrecords import KERNEL, OOPS, boot, night, spoilt

from harness.nightly import db
from harness.nightly.night.state import Job, Night
from harness.nightly.store import Paper, Store
from harness.report.record import RunRecord

BRANCHES = ("rpi-6.12.y", "rpi-6.6.y", "mainline")
BOARDS = ("rpi3-a", "rpi3-b", "rpi4-a", "rpi4-b")
NIGHTS = 60
HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e\"'&"


def lab(
    nights: int = NIGHTS, branches: Sequence[str] = BRANCHES, boards: Sequence[str] = BOARDS, *, slow: int = 12
) -> Iterator[RunRecord]:
    """Yield the runs of all nights: 6.6 breaks on rpi4 in the last one, mainline is mended, rpi3-b gets slower.

    *slow*: for so many nights it has been so.
    """
    rng = random.Random(7)
    for number in range(nights):
        for branch in branches:
            for board in boards:
                last = number == nights - 1
                tests = {"test_boots": "passed", "test_check[release]": "passed", "test_check[modules]": "passed"}
                findings, verdict, attempts = (), None, ()
                if last and branch == "rpi-6.6.y" and board.startswith("rpi4"):
                    tests |= {"test_check[modules]": "failed"}
                    findings = (OOPS,)
                if branch == "mainline" and nights - 5 < number and not last:
                    tests |= {"test_check[release]": "failed"}
                if rng.random() < 0.03 or (last and (branch, board) == ("rpi-6.12.y", "rpi3-a")):
                    verdict = "LAB"
                elif rng.random() < 0.02:
                    attempts = (spoilt("test_boots"),)
                stretch = 1.25 if board == "rpi3-b" and number >= nights - slow else 1.0
                boots = tuple(
                    boot(round(20 * stretch * rng.gauss(1, 0.02), 2), findings=findings if n == 0 else ())
                    for n in range(3)
                )
                record = night(
                    number, verdict, tests=tests, target=board, boots=boots, attempts=attempts, branch=branch,
                    board="rpi-3-b" if board.startswith("rpi3") else "rpi-4-b",
                    asked={"kernel": {**KERNEL, "ref": branch}, "layout": "side-by-side"},
                    build_key=f"{number:030x}{branches.index(branch):02x}",
                    commit=f"{number + 0x51C0:04x}{branches.index(branch) + 0x7EE2:04x}{0:032x}",
                )  # fmt: skip
                yield attrs.evolve(record, run_id=f"{record.run_id}-{branch}")


def filled(runs: Path, records: Sequence[RunRecord]) -> Path:
    """Write *records* into the history of *runs*, without folders; return the history's file."""
    path = runs / db.NAME
    with db.writing(path) as opened:
        store = Store(opened)
        with db.transaction(opened):
            for record in records:
                store.take(Paper(record, record.run_id.encode(), str(runs / record.run_id)))
    return path


def state(records: Sequence[RunRecord], **facts: object) -> Night:
    """A night whose jobs have made the newest of *records* on each branch and board."""
    newest = {(record.branch, record.target): record for record in records}
    jobs = tuple(
        Job(branch, board, "default", "done", run=record.run_id, verdict=str(record.verdict.name), commit=record.commit)
        for (branch, board), record in newest.items()
    )
    first = min(record.started for record in newest.values())
    finished = first.replace("T01:", "T05:")
    known = Night(first[:-1].replace(":", "-"), first, finished, host="bench", jobs=jobs)
    return attrs.evolve(known, **facts)
