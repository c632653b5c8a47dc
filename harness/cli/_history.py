"""Where the commands that ask the history find it, and how it comes to know the newest runs."""

import argparse
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from harness.cli._terminal import Progress
from harness.errors import LabError, UsageError
from harness.nightly import db, importer
from harness.nightly.importer import Imported
from harness.report.redact import printable


def add_files(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say where things are."""
    parser.add_argument(
        "--runs", metavar="DIR", type=Path, default=Path("runs"), help="records of runs (default: %(default)s)"
    )
    parser.add_argument("--history", metavar="FILE", type=Path, help=f"history (default: {db.NAME} in --runs)")
    parser.add_argument("--as-is", action="store_true", help="ask the history as it is: do not look for new runs first")


def history(args: argparse.Namespace) -> Path:
    """Return where the history is."""
    given: Path | None = args.history
    return given or Path(args.runs, db.NAME)


@contextmanager
def caught_up(args: argparse.Namespace) -> Iterator[sqlite3.Connection]:
    """Open the history for questions, with what is new below ``--runs`` in it.

    Where there is a history but no such folder, or it cannot be written to, it is asked as it is, and that is told.
    """
    problem: LabError | None = None
    try:
        if not args.as_is:
            _tell(import_(args))
    except LabError as error:
        problem = error
    with ExitStack() as stack:
        try:
            opened = stack.enter_context(db.reading(history(args)))
        except UsageError:
            if problem:
                raise problem from None  # there is no history because it could not be made
            raise
        if problem:
            _say(f"asked as it is: {problem.message}")
        yield opened


def import_(args: argparse.Namespace, *, again: bool = False) -> Imported:
    """Import what is new."""
    if args.history and args.history.exists() and not args.runs.is_dir():
        return Imported()
    progress = Progress()
    try:
        return importer.catch_up(history(args), args.runs, again=again, progress=progress)
    finally:
        progress.clear()


def _tell(done: Imported) -> None:
    if done.passed_over:
        _say(f"{len(done.passed_over)} records below --runs cannot be read; `pi64 history import` tells why")


def _say(text: str) -> None:
    print(printable(f"pi64: {text}"), file=sys.stderr)
