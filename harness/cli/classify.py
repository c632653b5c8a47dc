"""Say whose fault a recorded console log shows."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from harness.errors import UsageError
from harness.report.redact import printable
from harness.verdict import classify


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("logs", metavar="LOG", nargs="+", help="console log; - for standard input")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(args: argparse.Namespace) -> int:
    """Return 0 if every log is a PASS."""
    passed = True
    for name in args.logs:
        result = _classified(name)
        print(json.dumps(result) if args.json else _explain(result), flush=True)
        passed = passed and result["verdict"] == "PASS"
    return 0 if passed else 1


def _classified(name: str) -> dict[str, Any]:
    if name == "-":
        return classify.classify_bytes(_blocks(sys.stdin.buffer), name)
    try:
        with Path(name).open("rb") as log:
            return classify.classify_bytes(_blocks(log), name)
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}") from error


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: file.read(1 << 16), b"")


def _explain(result: dict[str, Any]) -> str:
    """Return what a person wants to read about one log."""
    lines = [f"{result['file']}: {result['verdict']}: {result['rule']}"]
    lines += [f"  boots: {result['boots']}, last stage: {result['last_stage']}"]
    for one in result["findings"]:
        boot = f" of boot {one['boot']}" if result["boots"] > 1 else ""
        lines.append(f"  {one['kind']} in line {one['first_line']}{boot}: {one['message']}")
    return printable("\n".join(lines))
