"""How fast recorded logs are read, and in how much memory: `pi64 classify` on 100 MB, in seconds of one core.

Two logs that people have: a healthy board that rebooted for months, and many runs of all kinds one after another. The
third is made to hurt: nothing but complaints.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from _common import ROOT, Figure, main, median, repeats, say

from harness.errors import LabError

SIZE = 100_000_000  # bytes
LIMIT_S = 10.0
LIMIT_MIB = 64.0
DATA = ROOT / "tests_unit" / "data"
COMPLAINT = re.compile(rb"Unable to handle|BUG|WARNING|version magic|I/O error|not syncing|Call trace")


def figures() -> Iterator[Figure]:
    """Classify each log, in a process of its own; its memory over that of a log of one line is the growth."""
    number = repeats(3)
    with tempfile.TemporaryDirectory(prefix="pi64-") as name:
        log = Path(name) / "console.log"
        log.write_text("[    0.000000] Booting Linux on physical CPU 0x0\n")
        base = _classify(log)[1]
        for kind, content in _contents().items():
            _fill(log, content)
            runs = [_classify(log) for _ in range(number)]
            seconds, grown = median([run[0] for run in runs]), median([run[1] for run in runs]) - base
            say(f"{kind}: {log.stat().st_size / 1e6 / seconds:.1f} MB/s")
            yield Figure(f"classify.{kind}", seconds, limit=None if kind == "worst" else LIMIT_S)
            yield Figure(f"classify.{kind}.memory", grown, "MiB", LIMIT_MIB)


def _contents() -> dict[str, bytes]:
    """Return what the logs repeat."""
    recorded = {path.stem: path.read_bytes() for path in sorted(DATA.glob("*.log"))}
    mixed = b"\n".join(recorded.values())
    worst = b"\n".join(line for line in mixed.split(b"\n") if COMPLAINT.search(line)) + b"\n"
    return {"healthy": recorded["virtual-rpi3-debian"], "mixed": mixed, "worst": worst}


def _fill(log: Path, content: bytes) -> None:
    with log.open("wb") as file:
        for _ in range(-(-SIZE // len(content))):
            file.write(content)


def _classify(log: Path) -> tuple[float, float]:
    """Return the processor seconds of the whole command, and the most memory in MiB that it held."""
    command = [sys.executable, "-c", _MEASURED, str(log)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if not done.stdout.startswith("{"):
        raise LabError("pi64 classify failed", evidence=done.stderr.splitlines()[-8:])
    seconds, kib = done.stderr.split()[-2:]
    return float(seconds), int(kib) / 1024


_MEASURED = """
import resource, sys
from harness.cli import main
main(["classify", "--json", sys.argv[1]])
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, used.ru_maxrss, file=sys.stderr)
"""

if __name__ == "__main__":
    main(figures())
