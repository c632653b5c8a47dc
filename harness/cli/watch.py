"""Show what every board does now: stage, elapsed against usual, the last line of its console; from the records alone.

On a terminal the table is drawn again and again until Ctrl-C; elsewhere, and with --once, it is printed once.
"""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

import attrs

from harness.errors import UsageError
from harness.nightly import db
from harness.nightly.doing import Now, table
from harness.nightly.watching import Watch
from harness.report.redact import printable

EVERY_S, EVERY_LEAST_S, EVERY_MOST_S = 1.0, 0.1, 3600.0
ROWS, COLUMNS = 24, 120
"""Where there is no terminal to ask."""
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--runs", metavar="DIR", type=Path, default=Path("runs"), help="records (default: %(default)s)")
    parser.add_argument("--history", metavar="FILE", type=Path, help=f"history (default: {db.NAME} in --runs)")
    parser.add_argument("--once", action="store_true", help="print it once")
    parser.add_argument("--json", action="store_true", help="print it once, as JSON")
    parser.add_argument(
        "--every", metavar="SECONDS", type=float, default=EVERY_S, help="how often to look (default: %(default)g)"
    )


def run(args: argparse.Namespace) -> int:
    """Return 0."""
    if not EVERY_LEAST_S <= args.every <= EVERY_MOST_S:
        raise UsageError(f"--every {args.every:g}: from {EVERY_LEAST_S:g} to {EVERY_MOST_S:g} seconds")
    watch = Watch(args.runs, history=args.history)
    if args.json:
        print(printable(json.dumps(attrs.asdict(watch.look()), indent=1)))
    elif args.once or not sys.stdout.isatty():
        width = shutil.get_terminal_size((COLUMNS, ROWS)).columns if sys.stdout.isatty() else COLUMNS
        print("\n".join(table(watch.look(), width)))
    else:
        _draw(watch, args.every)
    return 0


def _draw(watch: Watch, every_s: float) -> None:
    """Draw until somebody presses Ctrl-C; the last picture stays."""
    now = watch.look()  # what is wrong with it is told before the screen is cleared
    sys.stdout.write(f"{HIDE}\x1b[2J")
    try:
        while True:
            _picture(now)
            time.sleep(every_s)
            now = watch.look()
    except KeyboardInterrupt:
        pass
    finally:
        sys.stdout.write(f"{SHOW}\n")
        sys.stdout.flush()


def _picture(now: Now) -> None:
    """Write over what stands there, line by line: a screen that is cleared first would flicker."""
    columns, rows = shutil.get_terminal_size((COLUMNS, ROWS))
    lines = [time.strftime("%H:%M:%S  Ctrl-C ends the watch, not what is watched"), *table(now, columns)]
    if len(lines) > rows - 1:
        lines = [*lines[: rows - 2], f"and {len(lines) - rows + 2} more lines; a taller window shows them"]
    sys.stdout.write("\x1b[H" + "".join(f"{line[:columns]}\x1b[K\n" for line in lines) + "\x1b[J")
    sys.stdout.flush()
