"""The ``pi64`` command: what one wants to know or do without running a test. A file here is a command, found by name.

It has a first line of docstring that says what the command does, ``add(parser)`` for its arguments, and ``run(args)``,
which returns the exit status.
"""

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Sequence

from harness.errors import Pi64Error, TargetError
from harness.report.redact import printable


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; status 0, 1 for a finding, 2 for a mistake in what was asked or a fault of the bench."""
    words = list(sys.argv[1:] if argv is None else argv)
    args = _parser(words[:1]).parse_args(words)
    try:
        status: int = args.run(args)
        return status
    except Pi64Error as error:
        print(printable(f"pi64: {error}"), file=sys.stderr)
        return 1 if isinstance(error, TargetError) else 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `pi64 ... | head`
        sys.stderr.close()
        return 1


def names() -> list[str]:
    """Return the commands."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def _parser(first: Sequence[str]) -> argparse.ArgumentParser:
    """Return a parser of the command that *first* names, else of all: none need wait for another's imports."""
    parser = argparse.ArgumentParser(prog="pi64", description="64-bit kernels on Raspberry Pi boards")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name in [name for name in names() if name in first] or names():
        module = importlib.import_module(f"{__name__}.{name}")
        says = (module.__doc__ or "").partition("\n")[0].rstrip(".")
        command = commands.add_parser(name, help=f"{says[:1].lower()}{says[1:]}", description=f"{says}.")
        module.add(command)
        command.set_defaults(run=module.run)
    return parser
