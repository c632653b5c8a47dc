"""Ask what all runs say together: last good runs, where a signature comes from, flaky tests, slow boards.

`good`: how each branch does on each board; `signature TEXT`: when the kernel said so first and last; `flaky`: tests
that answered otherwise when asked again; `slow`: how long boots take, and what has become slower; `runs`: the newest;
`import`: look for new records, and tell which cannot be read.
"""

import argparse
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from harness.cli._history import add_files, caught_up, import_
from harness.errors import UsageError
from harness.nightly import boards, flakes, questions, slowness
from harness.nightly.boards import BoardTimes
from harness.nightly.flakes import Flaky
from harness.nightly.questions import LastGood, Series, Sighted, Where
from harness.nightly.tell import day
from harness.nightly.views import Ref
from harness.report.redact import printable

DAY_S = 86_400


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("question", nargs="?", choices=[*QUESTIONS, "import"], default="good", help="default: good")
    parser.add_argument("text", nargs="?", default="", metavar="TEXT", help="part of a signature")
    parser.add_argument(
        "--branch", metavar="NAME", default="", help="of this branch (or tree, as it was asked for) only"
    )
    parser.add_argument("--board", metavar="NAME", default="", help="on this target only")
    parser.add_argument(
        "--days", metavar="N", type=float, help="of the last N days only; signatures: first seen in them"
    )
    parser.add_argument("--again", action="store_true", help="import: read all records once more")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    add_files(parser)


def run(args: argparse.Namespace) -> int:
    """Return 0; 1 when a record cannot be imported."""
    if args.text and args.question != "signature":
        raise UsageError(f"{args.text}: only `signature` takes a text")
    if args.question == "import":
        return _import(args)
    since = round(time.time() - args.days * DAY_S) if args.days is not None else 0
    ask, header, line = QUESTIONS[args.question]
    with caught_up(args) as db:
        answers = list(ask(db, Where(args.branch, args.board, max(since, 0)), args.text))
    if args.json:
        print(json.dumps({args.question: [_plain(answer) for answer in answers]}, indent=1))
    else:
        print(printable("\n".join(_table([header, *map(line, answers)]) if answers else ["nothing"])))
    return 0


def _import(args: argparse.Namespace) -> int:
    done = import_(args, again=args.again)
    if args.json:
        print(json.dumps(attrs.asdict(done), indent=1))
    else:
        told = [f"passed over {folder}: {why}" for folder, why in done.passed_over]
        counts = f"{done.new} new, {done.renewed} renewed, {done.known} known as they are"
        print(printable("\n".join([*told, f"{counts}, {len(done.passed_over)} passed over"])))
    return 1 if done.passed_over else 0


# --- a line for each answer ------------------------------------------------------------------------------------------
def _good(one: LastGood) -> list[str]:
    good = [day(one.good), one.good.kernel, one.good.name] if one.good else ["never", "", ""]
    many = f"{one.since} run{'s' * (one.since != 1)}"
    newest = "it is the newest" if one.good == one.newest else f"{many}, now {one.newest.verdict}"
    return [*_named(one.series), *good, newest]


def _signature(one: Sighted) -> list[str]:
    first, last = (f"{day(ref)} {ref.kernel}" for ref in (one.first, one.last))
    return [first, last, str(one.runs), one.series.label, one.series.board, f"{one.severity}: {one.signature}"]


def _flaky(one: Flaky) -> list[str]:
    return [one.board, str(one.kernels), str(one.good), str(one.bad), str(one.set_aside), day(one.last), one.test]


def _slow(one: BoardTimes) -> list[str]:
    stages = [f"{one.stages[stage][0]:.1f}" if stage in one.stages else "-" for stage in slowness.ASKED]
    spread = f"{one.stages[slowness.WHOLE][1]:.0%}" if slowness.WHOLE in one.stages else "-"
    slower = ", ".join(f"{each.stage} +{each.share:.0%} in {each.runs} runs" for each in one.slower)
    return [one.series.board, one.series.label, str(one.runs), *stages, spread, slower or "as usual"]


def _run(one: tuple[Series, Ref]) -> list[str]:
    series, ref = one
    return [ref.name, ref.verdict or "-", series.label, series.config, ref.kernel]


def _named(series: Series) -> list[str]:
    return [series.label, series.board, series.config]


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return *rows* in columns; the last column may be as wide as it likes."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return [line.rstrip() for line in lines]


def _plain(answer: Any) -> Any:
    if isinstance(answer, tuple):
        series, ref = answer
        return {**attrs.asdict(series), **attrs.asdict(ref)}
    return attrs.asdict(answer)


Ask = Callable[[sqlite3.Connection, Where, str], Iterable[Any]]
QUESTIONS: dict[str, tuple[Ask, list[str], Callable[[Any], list[str]]]] = {
    "good": (
        lambda db, where, _: questions.last_good(db, where),
        ["branch", "board", "configuration", "last good", "kernel", "run", "since then"],
        _good,
    ),
    "signature": (
        lambda db, where, text: questions.signatures(db, text, where),
        ["first seen", "last seen", "runs", "branch", "board", "signature"],
        _signature,
    ),
    "flaky": (
        lambda db, where, _: flakes.flaky(db, where),
        ["board", "kernels", "passed", "failed", "set aside", "last", "test"],
        _flaky,
    ),
    "slow": (
        lambda db, where, _: boards.board_times(db, where),
        ["board", "branch", "runs", *slowness.ASKED, "spread", "now"],
        _slow,
    ),
    "runs": (
        lambda db, where, _: questions.runs(db, where),
        ["run", "verdict", "branch", "configuration", "kernel"],
        _run,
    ),
}
