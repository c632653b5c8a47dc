"""Ends a writer at any of its steps, as a SIGKILL would: between two programs, or between two records it writes."""

from collections.abc import Callable
from typing import Any

import pytest

from harness import host
from harness.card.debugfs import Debugfs
from harness.card.fat import FatPartition


class Killed(BaseException):
    """Not an Exception: no `except` of the writer may take it for a fault."""


class Steps:
    """Counts the steps of a writer, and ends it at one of them; on that step nothing is done any more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done = 0
        self.limit: int | None = None
        for owner, name in ((host, "run"), (Debugfs, "_run"), (FatPartition, "_patch")):
            monkeypatch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            if self.done == self.limit:
                raise Killed
            self.done += 1
            return real(*args, **kwargs)

        return step

    def end_at(self, limit: int | None) -> None:
        """Start counting anew; *limit* is the first step that is not taken."""
        self.done, self.limit = 0, limit
