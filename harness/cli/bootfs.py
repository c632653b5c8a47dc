"""Show what the firmware would load from a card, and why."""

import argparse
import json
from pathlib import Path

from harness import boards
from harness.bootfs import explain, firmware
from harness.bootfs.partition import BootPartition
from harness.card import layout
from harness.card.fat import FatPartition
from harness.card.files import CardFiles, FolderFiles
from harness.errors import UsageError
from harness.report.redact import printable


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("card", metavar="IMAGE-OR-DIR", type=Path, help="card image, or a folder with the boot files")
    parser.add_argument("--model", required=True, help=f"board model: {', '.join(boards.names())}")
    parser.add_argument("--tryboot", action="store_true", help="as after `reboot '0 tryboot'`")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Return 0 for a card that boots."""
    board = boards.load(args.model)
    plan = firmware.plan(_partition(args.card), board, tryboot=args.tryboot)
    print(json.dumps(explain.describe(plan), indent=1) if args.json else printable(explain.explain(plan)))
    return 0 if plan.bootable else 1


def _partition(card: Path) -> BootPartition:
    if card.is_dir():
        return FolderFiles(card)
    if not card.exists():
        raise UsageError(f"{card}: no such file or folder")
    return CardFiles(FatPartition(card, layout.find(card).boot.start_bytes))
