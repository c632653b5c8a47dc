"""Where bisections lie: a folder each, found by the question that is asked there, and one process at a time in it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import attrs

from harness import host
from harness.errors import LabError, UsageError
from harness.nightly import trial
from harness.nightly.bisection.state import FILE, FOLDER, Question, State, from_json

LATEST = "latest"
LOCK = "bisect.lock"


@attrs.frozen
class Bench:
    """Where it is asked."""

    folder: Path
    """The one from which pytest is started."""
    lab: Path
    """lab.yaml."""
    runs: Path
    """Bisections go to ``bisect/`` below it."""

    @property
    def bisections(self) -> Path:
        """Where bisections lie."""
        return self.runs / FOLDER


def read(place: Path) -> State:
    """Return the state of the bisection in the folder *place*; UsageError when there is none."""
    try:
        return from_json((place / FILE).read_text(), name=str(place / FILE))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{place}: no bisection there: {error}") from error


def same(question: Question, bench: Bench) -> Path | None:
    """Return the folder in which *question* is being answered, or was left; None when it is a new one."""
    for place, state in _all(bench):
        if state.question == question and not state.finished:
            return place
    return None


def find(name: str, bench: Bench) -> Path:
    """Return the folder of the bisection *name*, or of the newest that has not ended (``latest``)."""
    if name != LATEST:
        place = next((path for path in (bench.bisections / name, Path(name)) if (path / FILE).is_file()), None)
    else:
        place = next((path for path, state in _all(bench) if not state.finished), None)
    if place is None:
        there = [f"{path.name}{'' if state.finished else ' (not ended)'}" for path, state in _all(bench)]
        what = "no bisection is left to go on with" if name == LATEST else f"{name}: no such bisection"
        raise UsageError(f"{what} below {bench.bisections}", evidence=there[:8])
    return place.resolve()


def _all(bench: Bench) -> Iterator[tuple[Path, State]]:
    """Yield all bisections that can be read, the newest first."""
    for path in sorted(bench.bisections.glob(f"*/{FILE}"), reverse=True):
        if not path.parent.is_symlink():
            with suppress(UsageError):
                yield path.parent, read(path.parent)


@contextmanager
def alone(place: Path) -> Iterator[IO[str]]:
    """Hold the lock of a bisection, which its processes have too: one that was killed is waited for till all is off."""
    place.mkdir(parents=True, exist_ok=True)
    with (place / LOCK).open("a+") as lock:
        until = time.monotonic() + trial.END_S
        while True:
            try:
                host.take(lock, f"bisection {place.name}", hint="it is going on; wait for its end")
                break
            except LabError:
                if _alive(lock) or time.monotonic() > until:
                    raise
                time.sleep(0.2)
        yield lock


def _alive(lock: IO[str]) -> bool:
    """Return whether the process that noted itself there is still alive."""
    lock.seek(0)
    try:
        os.kill(int(lock.read().rpartition(" ")[2]), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True
