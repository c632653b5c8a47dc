"""Python and the libraries are the right ones: above all `serial`, which two packages claim."""

import importlib
import importlib.metadata
import sys
from collections.abc import Collection, Iterator

from harness.lab.doctor.answer import Answer, fault, ok
from harness.lab.doctor.bench import Bench

ORDER = 10
OLDEST = (3, 11)
FORK, PLAIN = "pyserial-labgrid", "pyserial"
FORKED = "3.5.0."
"""How the fork's own versions begin; the plain one says 3.5."""
MEND = f"`.venv/bin/pip uninstall -y {PLAIN} {FORK}`, then `make setup` (or pip install {FORK})"


def look(bench: Bench) -> Iterator[Answer]:  # noqa: ARG001 - each part is asked alike
    """Import what everything else stands on."""
    yield judge_python(sys.version_info[:2])
    try:
        version = str(getattr(importlib.import_module("serial"), "__version__", "unknown"))
    except ImportError as error:
        version = f"not to be imported: {error}"
    installed = {dist.name.lower() for dist in importlib.metadata.distributions()}
    yield judge_serial(version, installed)
    yield _labgrid()


def judge_python(version: tuple[int, int]) -> Answer:
    """Judge the version of Python that runs this."""
    shown = ".".join(map(str, version))
    if version >= OLDEST:
        return ok("Python", shown)
    return fault(
        "Python", f"{shown}, and pi64 needs {'.'.join(map(str, OLDEST))}", "`make setup` looks for a newer one"
    )


def judge_serial(version: str, installed: Collection[str]) -> Answer:
    """Judge the library `serial`: *version* is what it says of itself, *installed* names the packages there are."""
    if PLAIN in installed and version.startswith(FORKED):
        return fault("serial", f"{FORK} {version}, and plain {PLAIN} beside it: both own the folder `serial`", MEND)
    if version.startswith(FORKED):
        return ok("serial", f"{FORK} {version}")
    if version[:1].isdigit():
        slow = "over RFC 2217 it negotiates anew before each read, 0.15 s a byte"
        return fault("serial", f"plain {PLAIN} {version} stands where labgrid's fork belongs: {slow}", MEND)
    return fault("serial", version, MEND)


def _labgrid() -> Answer:
    try:
        importlib.import_module("labgrid")
        return ok("labgrid", importlib.metadata.version("labgrid"))
    except ImportError as error:
        return fault("labgrid", f"cannot be imported: {error}", "`make setup`")
