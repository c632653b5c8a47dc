"""Tell what is new in a run, against the last good one of the same branch, board and configuration.

RUN is its name, how the name begins, a folder below runs/, or `latest`. Status 1 when something broke that was good.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import attrs

from harness.cli._history import add_files, caught_up
from harness.errors import UsageError
from harness.nightly import evidence, tell
from harness.nightly.compare import Comparison


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("run_", metavar="RUN", nargs="?", default="latest", help="the run (default: %(default)s)")
    parser.add_argument(
        "--against", metavar="RUN", default=evidence.LAST_GOOD, help="another run, or %(default)s (default)"
    )
    parser.add_argument("--board", metavar="NAME", default="", help="target whose `latest` is meant")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    add_files(parser)


def run(args: argparse.Namespace) -> int:
    """Return 0 when nothing broke that was good before, 1 when something did, 2 when nothing can be said."""
    with caught_up(args) as db:
        number = evidence.find(db, _name(args.run_, args.runs), target=args.board)
        named = "" if args.against == evidence.LAST_GOOD else args.against
        against = evidence.find(db, _name(named, args.runs), target=args.board) if named else None
        if against == number:
            raise UsageError(f"{args.against}: a run against itself", hint="name another one with --against")
        found, place = evidence.compared(db, number, against=against), evidence.place(db, number)
    if args.json:
        print(json.dumps({**attrs.asdict(place), **_plain(found)}, indent=1))
    else:
        print("\n".join(tell.lines(found, place)))
    if found.silent:
        return 2
    return 1 if found.regressions else 0


def _name(word: str, runs: Path) -> str:
    """Return the name of the run that *word* means: it may be a folder, `runs/latest` too, or a record's file."""
    path = Path(word)
    if path.name == "run.json":
        path = path.parent
    if path.exists() and len(path.parts) > 1:
        return path.resolve().name
    link = runs / word
    return link.resolve().name if word == "latest" and not link.exists() and link.is_symlink() else word


def _plain(found: Comparison) -> dict[str, Any]:
    plain = attrs.asdict(found)
    for change, told in zip(found.changes, plain["changes"], strict=True):
        told["regression"] = change.regression
    return plain
