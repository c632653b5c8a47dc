"""Put the stock system back onto a target's boot medium, as it was before the first deploy."""

import argparse

from labgrid import Environment

from harness.cli._board import add_lab
from harness.cli._terminal import Progress
from harness.errors import UsageError
from harness.lab import config, images, sharing
from harness.lab.options import TargetOptions
from harness.lab.targets import strategy_of
from harness.model import BaseImage
from harness.strategy import Assignment, RaspberryPiStrategy


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--board", metavar="NAME", default="virtual-rpi3", help="target of lab.yaml (%(default)s)")
    add_lab(parser)


def run(args: argparse.Namespace) -> int:
    """Return 0 when the board is off and its medium is as before the first deploy."""
    options = config.load(args.lg_env).target(args.board)
    progress, environment = Progress(), Environment(str(args.lg_env))
    try:
        with sharing.hold(
            environment, args.board, reserve=options.reserve, wait_s=args.board_wait, tell=progress
        ) as present:
            _stock(args, options, environment, progress, present)
    finally:
        progress.clear()
    print(f"{args.board}: off, and its stock system is back")
    return 0


def _stock(
    args: argparse.Namespace,
    options: TargetOptions,
    environment: Environment,
    progress: Progress,
    present: sharing.Present,
) -> None:
    strategy = strategy_of(environment, args.board)
    if not strategy.medium:
        raise UsageError(f"{args.board}: nothing to restore: this target has no deploy method in {args.lg_env}")
    who = options.login.account(args.board)
    asked = Assignment(None, who, options.deadlines, progress=progress, present=present)
    _restore(strategy, images.base_image(options, who, progress=progress), asked)


def _restore(strategy: RaspberryPiStrategy, base: BaseImage, asked: Assignment) -> None:
    """Restore, and leave the board off, whatever happens."""
    try:
        strategy.prepare(asked, base)
        strategy.restore()
    finally:
        strategy.close()
