"""Tell a run to a browser, a forge, a database of kernel tests or a monitor."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from harness import host
from harness.errors import LabError
from harness.lab import leavings
from harness.report import github, gitlab, kcidb, openmetrics, run_page
from harness.report.material import Material


def _kcidb(run: Material, args: argparse.Namespace) -> str:
    return kcidb.report(run.record, origin=args.origin, url=args.url)


def _gitlab(run: Material, args: argparse.Namespace) -> str:
    return gitlab.code_quality(run.record, path=str(args.folder / "console.log"))


FORMATS: dict[str, tuple[str, Callable[[Material, argparse.Namespace], str]]] = {
    "html": ("one self-contained page (the default)", lambda run, _: run_page.render(run)),
    "kcidb": (
        "JSON for KernelCI's database",
        _kcidb,
    ),
    "github": ("annotations for a GitHub workflow", lambda run, _: github.annotations(run.record)),
    "gitlab": ("a GitLab code quality report", _gitlab),
    "openmetrics": ("metrics for Prometheus", lambda run, _: openmetrics.metrics(run.record)),
}
"""Option -> what it is, and how it is made."""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "run_", metavar="RUN", nargs="?", default="latest",
        help="folder of a run, its run.json, or its name below --runs (default: %(default)s)",
    )  # fmt: skip
    chosen = parser.add_mutually_exclusive_group()
    for name, (about, _) in FORMATS.items():
        chosen.add_argument(f"--{name}", dest="format", action="store_const", const=name, help=about)
    parser.add_argument(
        "-o", "--output", metavar="FILE",
        help=f"where to; - for standard output (default: {leavings.PAGE} beside the run.json, else standard output)",
    )  # fmt: skip
    parser.add_argument("--runs", metavar="DIR", type=Path, default=Path("runs"), help="default: %(default)s")
    parser.add_argument("--origin", default="pi64", help="kcidb: name of the submitting lab (default: %(default)s)")
    parser.add_argument("--url", default="", help="kcidb: where the run's folder is published, for links to its logs")
    parser.set_defaults(format="html")


def run(args: argparse.Namespace) -> int:
    """Return 0: a report of a red run is as good as any."""
    args.folder = leavings.find(args.run_, runs=args.runs)
    _, make = FORMATS[args.format]
    text = make(leavings.read(args.folder), args)
    output = args.output or (str(args.folder / leavings.PAGE) if args.format == "html" else "-")
    if output == "-":
        sys.stdout.write(text)
    else:
        _write(Path(output), text)
        print(output)
    return 0


def _write(path: Path, text: str) -> None:
    try:
        host.write_atomic(path, text.encode())
    except OSError as error:
        raise LabError(f"{path}: cannot be written: {error.strerror or error}") from error
