"""How long the offline tests take: what `make test` runs once everything is installed."""

import subprocess
from collections.abc import Iterator

from _common import PYTEST, ROOT, Figure, main, median, repeats, timed

from harness.errors import LabError

LIMIT_S = 60.0


def figures() -> Iterator[Figure]:
    """Run them all, from the command to its end; they must pass."""
    seconds: list[float] = []
    for _ in range(repeats(1)):
        with timed(seconds):
            done = subprocess.run(
                [*PYTEST, "tests_unit", "-m", "not slow", "-q"], cwd=ROOT, capture_output=True, text=True, check=False
            )
        if done.returncode != 0:
            raise LabError("the offline tests do not pass", evidence=done.stdout.splitlines()[-8:], hint="make test")
    yield Figure("offline", median(seconds), limit=LIMIT_S)


if __name__ == "__main__":
    main(figures())
