"""How long the offline tests take: what `make test` runs once everything is installed."""

import re
import subprocess
from collections.abc import Iterator

from _common import ROOT, Figure, main, median, repeats, timed

from harness.errors import LabError

LIMIT_S = 60.0


def figures() -> Iterator[Figure]:
    """Run them all, from the command to its end; they must pass."""
    seconds: list[float] = []
    for _ in range(repeats(1)):
        with timed(seconds):
            done = subprocess.run([*_command(), "-q"], cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LabError("the offline tests do not pass", evidence=done.stdout.splitlines()[-8:], hint="make test")
    yield Figure("offline", median(seconds), limit=LIMIT_S)


def _command() -> list[str]:
    """Return the command that the Makefile calls OFFLINE."""
    variables = dict(re.findall(r"^(\w+) :?= (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE))
    line = variables["OFFLINE"].replace("$(BIN)", variables["BIN"])
    return [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', line)]


if __name__ == "__main__":
    main(figures())
