"""Prove each part of a bench alone and in order, and say what is broken and what to do; `--scan`: what is plugged in.

With --board its power is switched off and on, and it is left off; a board that another process has is left alone.
"""

import argparse
import json
import logging
import os
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import attrs

from harness.cli._terminal import Progress
from harness.errors import Pi64Error, UsageError
from harness.lab import doctor
from harness.lab.doctor import answer as answers
from harness.lab.doctor import scan
from harness.lab.doctor.answer import Answer
from harness.lab.doctor.bench import Bench, Roots


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    lab = Path(os.environ.get("LG_ENV") or "lab.yaml")
    parser.add_argument("--board", metavar="NAME", default="", help="target of lab.yaml; without one: the host alone")
    parser.add_argument("--lg-env", metavar="FILE", type=Path, default=lab, help="another lab.yaml (%(default)s)")
    parser.add_argument("--runs", metavar="DIR", type=Path, default=Path("runs"), help="where records of runs go")
    parser.add_argument("--look", action="store_true", help="only look: switch no power and no mux, open no line")
    parser.add_argument("--scan", action="store_true", help="print lab.yaml's resources for what is plugged in")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Return 0 when nothing is broken, 1 for a fault."""
    if args.scan:
        if args.board:
            raise UsageError("--scan looks at what is plugged in, whatever lab.yaml says: leave --board out")
        found = scan.found(Roots())
        print(json.dumps(scan.to_json(found), indent=1) if args.json else scan.to_yaml(found))
        return 0
    logging.getLogger().addHandler(logging.NullHandler())  # labgrid's words for what are answers here
    progress = Progress()
    bench = Bench(args.lg_env, args.board, args.runs, progress=progress)
    _known(bench)
    told = []
    try:
        with closing(_all(bench, prove=not args.look)) as asked:
            for one in asked:
                told.append(one)
                progress.clear()
                if not args.json:
                    print("\n".join(answers.lines(one)), flush=True)
    finally:
        progress.clear()
    _tell(bench, told, as_json=args.json)
    return 1 if any(one.state == "fault" for one in told) else 0


def _known(bench: Bench) -> None:
    """Raise UsageError for a board that lab.yaml does not have; a lab.yaml that is not good is an answer instead."""
    try:
        lab = bench.lab
    except Pi64Error:
        return
    if bench.board:
        lab.target(bench.board)


def _all(bench: Bench, *, prove: bool) -> Generator[Answer]:
    """Yield all answers; whatever ends this early, the board is left off."""
    try:
        yield from doctor.examine(bench, prove=prove)
    finally:
        still_on = bench.close()
    if still_on:
        fact = f"the board is still ON: {still_on}"
        yield attrs.evolve(answers.clean(answers.fault(bench.board, fact, "switch it off by hand")), part="power")


def _tell(bench: Bench, told: list[Answer], *, as_json: bool) -> None:
    model = bench.options.model if bench.has_target else ""
    if as_json:
        print(json.dumps(answers.to_json(told, board=bench.board, model=model), indent=1))
        return
    print(f"{bench.board or 'this host'}: {answers.summary(told)}")
    if not bench.board:
        print("--board NAME proves a board's own parts: its line, its switch, its card")
