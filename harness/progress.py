"""How long work gets on: one line that changes on a terminal, plain lines now and then everywhere else."""

import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

REDRAW_S = 0.1
PLAIN_S = 20.0  # between two lines of the same work in a log file


class Reporter(Protocol):
    """What is needed of pytest's terminal reporter, or of anything else with a screen."""

    @property
    def isatty(self) -> bool:
        """Whether lines can be drawn over."""

    def rewrite(self, line: str, **markup: bool) -> None:
        """Draw *line* over the present one."""

    def write_line(self, line: str) -> None:
        """Write a line of its own."""

    def flush(self) -> None:
        """Show it now."""


class Progress:
    """Call it with one line of state; the part before the first colon says which work it is."""

    def __init__(
        self, reporter: Reporter | None, uncaptured: Callable[[], AbstractContextManager[Any]] = nullcontext
    ) -> None:
        """Write to *reporter*, inside of *uncaptured*: pytest captures what is written while a fixture works."""
        self._reporter, self._uncaptured = reporter, uncaptured
        self._work = ""
        self._shown = 0.0

    def __call__(self, text: str) -> None:
        """Show *text* now, or drop it because the last one was shown just before."""
        if self._reporter is None:
            return
        work, now = text.partition(":")[0], time.monotonic()
        terminal = self._reporter.isatty
        if work == self._work and now - self._shown < (REDRAW_S if terminal else PLAIN_S):
            return
        self._work, self._shown = work, now
        with self._uncaptured():
            if terminal:
                self._reporter.rewrite(text[: shutil.get_terminal_size().columns - 1], erase=True)
            else:
                self._reporter.write_line(text)
            self._reporter.flush()
