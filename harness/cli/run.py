"""Run the tests on one board, or on several side by side, each in a process of its own.

`pytest --board A --board B` does the same; here `-n N` takes N boards of a target that reserves one by tags.
"""

import argparse
from pathlib import Path

from harness.errors import UsageError
from harness.lab import sidebyside

TESTS = "tests_hw"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--board", action="append", required=True, metavar="NAME", help="target of lab.yaml; may be repeated"
    )
    parser.add_argument("-n", type=int, default=1, metavar="N", help="so many of each board, for those chosen by tags")
    parser.add_argument(
        "arguments",
        nargs=argparse.REMAINDER,
        metavar="PYTEST...",
        help=f"what pytest is given: tests ({TESTS}), or `--`, then its options",
    )


def run(args: argparse.Namespace) -> int:
    """Return the worst exit status of the boards' pytests."""
    if args.n < 1:
        raise UsageError(f"-n {args.n}: at least one of each board is run on")
    given = [word for number, word in enumerate(args.arguments) if number or word != "--"]
    rest = sidebyside.without_boards(given)
    if rest != given:
        raise UsageError(
            "--board and -n stand before what pytest is given", hint="pi64 run --board A --board B tests_hw"
        )
    boards = [board for board in args.board for _ in range(args.n)]
    tests = rest if rest and not rest[0].startswith("-") else [TESTS, *rest]
    return sidebyside.run(boards, tests, tell=lambda line: print(line, flush=True), folder=Path.cwd())
