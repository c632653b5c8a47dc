"""What a night asks of the history and tells it. A history that cannot be read or written is told of once, no more."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import attrs

from harness import host
from harness.errors import Pi64Error
from harness.nightly import db, evidence, importer
from harness.nightly.compare import Change, Comparison
from harness.nightly.night import past
from harness.nightly.night.hands import line

T = TypeVar("T")
MOST = 20  # regressions of one job that its night tells; its run's page has all


@attrs.define
class Memory:
    """One history, and the folder of runs from which it is made."""

    history: Path
    runs: Path
    tell: Callable[[str], object]
    _told: set[str] = attrs.field(factory=set, init=False)

    def catch_up(self) -> None:
        """Take in the runs that are new since."""
        self.runs.mkdir(parents=True, exist_ok=True)
        self._tried(lambda: importer.catch_up(self.history, self.runs))

    def usual_s(self, branch: str, board: str, config: str) -> float | None:
        """Return how long a run usually takes; None where nobody knows."""
        return self._asked(lambda opened: past.run_s(opened, branch, board, config))

    def known_good(self, board: str, *, besides: str) -> str:
        """Return the key of a stored kernel that has passed on *board*, another one than *besides*; empty: none."""
        keys = self._asked(lambda opened: past.good_kernels(opened, board)) or []
        stored = host.cache_dir("kernels")
        there = [key for key in keys if (stored / key / "build.json").is_file()]
        return next((key for key in there if key != besides), "")

    def compared(self, folder: Path) -> Comparison | None:
        """Take in the run in *folder*; return what is new in it, None when that cannot be said."""

        def ask() -> Comparison:
            with db.writing(self.history) as opened:
                importer.take(opened, [folder])
                return evidence.compared(opened, evidence.find(opened, folder.name))

        return self._tried(ask)

    def _asked(self, ask: Callable[[sqlite3.Connection], T]) -> T | None:
        def read() -> T:
            with db.reading(self.history) as opened:
                return ask(opened)

        return self._tried(read) if self.history.exists() else None

    def _tried(self, work: Callable[[], T]) -> T | None:
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - whatever stands in it, the boards have work to do
            said = error.message if isinstance(error, Pi64Error) else str(error) or type(error).__name__
            if said not in self._told:
                self._told.add(said)
                self.tell(f"history: {line(said)}; the night goes on without it")
            return None


def regressions(found: Comparison) -> tuple[str, ...]:
    """Return what broke, a line each."""
    return tuple(_regression(change) for change in found.regressions[:MOST])


def _regression(change: Change) -> str:
    detail = f": {change.detail}" if change.detail not in change.subject else ""
    return line(f"{change.kind}: {change.subject}{detail}")
