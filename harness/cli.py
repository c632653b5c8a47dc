"""The ``pi64`` command: what one wants to know without running a test."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from harness import boards
from harness.bootfs import explain, firmware
from harness.bootfs.partition import BootPartition
from harness.card import layout
from harness.card.fat import FatPartition
from harness.card.files import CardFiles, FolderFiles
from harness.errors import Pi64Error, UsageError
from harness.report.redact import printable
from harness.verdict import classify
from harness.verdict.lines import split


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0, 1 for a finding, 2 for a mistake in what was asked."""
    args = _parser().parse_args(argv)
    try:
        status: int = args.run(args)
        return status
    except Pi64Error as error:
        print(printable(f"pi64: {error}"), file=sys.stderr)
        return 2
    except BrokenPipeError:  # `pi64 ... | head`
        sys.stderr.close()
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pi64", description="64-bit kernels on Raspberry Pi boards")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    bootfs = commands.add_parser("bootfs", help="show what the firmware would load from a card, and why")
    bootfs.add_argument("card", metavar="IMAGE-OR-DIR", type=Path, help="card image, or a folder with the boot files")
    bootfs.add_argument("--model", required=True, help=f"board model: {', '.join(boards.names())}")
    bootfs.add_argument("--tryboot", action="store_true", help="as after `reboot '0 tryboot'`")
    bootfs.add_argument("--json", action="store_true", help="one JSON object")
    bootfs.set_defaults(run=_bootfs)

    judge = commands.add_parser("classify", help="say whose fault a recorded console log shows")
    judge.add_argument("logs", metavar="LOG", nargs="+", help="console log; - for standard input")
    judge.add_argument("--json", action="store_true", help="one JSON object a line")
    judge.set_defaults(run=_classify)
    return parser


def _bootfs(args: argparse.Namespace) -> int:
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


def _classify(args: argparse.Namespace) -> int:
    results = [_classified(name) for name in args.logs]
    for result in results:
        print(json.dumps(result) if args.json else _explain(result))
    return 0 if all(result["verdict"] == "PASS" for result in results) else 1


def _classified(name: str) -> dict[str, Any]:
    if name == "-":
        return classify.classify(split(_blocks(sys.stdin.buffer)), name)
    try:
        with Path(name).open("rb") as log:
            return classify.classify(split(_blocks(log)), name)
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}") from error


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: file.read(1 << 16), b"")


def _explain(result: dict[str, Any]) -> str:
    """Return what a person wants to read about one log."""
    lines = [f"{result['file']}: {result['verdict']}: {result['rule']}"]
    lines += [f"  boots: {result['boots']}, last stage: {result['last_stage']}"]
    lines += [f"  {one['kind']} in line {one['first_line']}: {one['message']}" for one in result["findings"]]
    return printable("\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())
