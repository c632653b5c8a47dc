"""Write the base image onto the card behind a target's SD mux, or into a card reader, and read it back."""

import argparse
import time
from pathlib import Path

from labgrid import Environment

from harness.card import disks, flashplan
from harness.card.firstboot import Account
from harness.card.prepare import account
from harness.cli._board import add_lab
from harness.cli._terminal import Progress
from harness.deploy.cardwork import Place
from harness.deploy.reach import Reach
from harness.deploy.sdmux import SdMuxDeployDriver
from harness.errors import UsageError
from harness.image.base import base_image
from harness.image.user import user_image
from harness.lab import config, sharing
from harness.lab.options import TargetOptions
from harness.lab.targets import strategy_of
from harness.model import BaseImage
from harness.strategy import Assignment

READER_TIMEOUT_S = 5.0


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--board", metavar="NAME", required=True, help="target of lab.yaml: its mux, image and login")
    parser.add_argument("--device", metavar="DISK", type=Path, help="a card reader's disk instead of the mux: /dev/sdX")
    add_lab(parser)
    parser.add_argument(
        "--image", metavar="FILE", type=Path, help="another image than lab.yaml says: .img, .xz, .gz, .zip"
    )
    parser.add_argument("--image-sha256", metavar="HEX", help="what the SHA-256 of --image must be")
    parser.add_argument("--as-it-is", action="store_true", help="leave out user, ssh and serial console")
    parser.add_argument(
        "--force-device", metavar="SERIAL", default="", help="serial number of a disk that is none one takes out"
    )


def run(args: argparse.Namespace) -> int:
    """Return 0 when the card holds the image, as was read back from it."""
    options, started, progress = config.load(args.lg_env).target(args.board), time.monotonic(), Progress()
    try:
        image, given = _image(args, options, progress)
        plan, who = flashplan.plan(image.path, given), _who(args, options, image)
        flashplan.check(plan, progress=progress)
        write = _to_reader if args.device else _to_mux
        where = write(args, plan, image, who, progress)
    finally:
        progress.clear()
    print(
        f"{where}: {plan.bytes_to_write / 2**20:.0f} MiB of {image.origin} written and read back "
        f"in {time.monotonic() - started:.0f} s ({plan.origin})"
    )
    return 0


def _image(args: argparse.Namespace, options: TargetOptions, progress: Progress) -> tuple[BaseImage, Path]:
    """Return the image as it was given, and the file beside which its block map would lie."""
    wanted = options.image
    file = args.image or (Path(wanted.file) if wanted.file else None)
    if file is None:
        who = options.login.account(args.board)
        image = base_image(username=who.user, password=who.password, suite=wanted.suite, progress=progress)
        return image, image.path
    return user_image(file, sha256=args.image_sha256 if args.image else wanted.sha256, progress=progress), file


def _who(args: argparse.Namespace, options: TargetOptions, image: BaseImage) -> Account | None:
    if args.as_it_is or options.image.prepare == "never" or not (args.image or options.image.file):
        return None  # the image that is made here needs nothing
    who = options.login.account(args.board)
    return account(who.user, who.password, salt=image.digest)


def _to_reader(
    args: argparse.Namespace, plan: flashplan.Plan, image: BaseImage, who: Account | None, progress: Progress
) -> str:
    place = Place(
        args.device, READER_TIMEOUT_S, "a card in the reader", image.boot_offset, image.root_offset, image.origin
    )
    disks.look(args.device)  # a file of that name is not meant
    with Reach(place) as card:
        card.flash(plan, forced=args.force_device, progress=progress)
        if who:
            card.prepare(who, progress=progress)
    return str(args.device)


def _to_mux(
    args: argparse.Namespace, plan: flashplan.Plan, image: BaseImage, who: Account | None, progress: Progress
) -> str:
    """Have the board for this process meanwhile."""
    options = config.load(args.lg_env).target(args.board)
    environment = Environment(str(args.lg_env))
    with sharing.hold(
        environment, args.board, reserve=options.reserve, wait_s=args.board_wait, tell=progress
    ) as present:
        return _behind_mux(args, plan, image, who, progress, environment, present)


def _behind_mux(
    args: argparse.Namespace,
    plan: flashplan.Plan,
    image: BaseImage,
    who: Account | None,
    progress: Progress,
    environment: Environment,
    present: sharing.Present,
) -> str:
    """Write with the power off; off it stays, whatever happens."""
    strategy = strategy_of(environment, args.board)
    if not isinstance(strategy.medium, SdMuxDeployDriver):
        raise UsageError(
            f"{args.board}: no card behind a mux: it deploys with {type(strategy.medium).__name__}",
            hint="--device /dev/sdX writes into a card reader; a CardImage is made by the first deploy",
        )
    try:
        strategy.prepare(Assignment(None, progress=progress, present=present), image)
        strategy.transition("off")
        strategy.medium.flash(plan, who, forced=args.force_device, progress=progress)
    finally:
        strategy.close()
    return f"{args.board}: off, the card in its mux"
