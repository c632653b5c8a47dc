"""What commands that take a board for themselves have in common."""

import argparse
from pathlib import Path

LAB = Path("lab.yaml")


def add_lab(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say where targets are told, and how long to wait for one that is in use."""
    parser.add_argument("--lg-env", metavar="FILE", type=Path, default=LAB, help="another lab.yaml")
    parser.add_argument(
        "--board-wait",
        metavar="SECONDS",
        type=float,
        default=0.0,
        help="wait so long for a board that is in use (default: not at all)",
    )
