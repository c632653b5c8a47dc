"""How long work gets on: a line below the present one that changes on a terminal, plain lines everywhere else."""

import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from harness.report.redact import printable

REDRAW_S = 0.1
PLAIN_S = 20.0  # between two lines of the same work in a log file


class Progress:
    """Call it with one line of state; the part before the first colon says which work it is.

    *reporter* is pytest's terminal reporter, or None to show nothing. It writes inside of *uncaptured*, because pytest
    captures what is written while a fixture works. *note* gets every line, and an empty one when the work is done.
    """

    def __init__(
        self,
        reporter: Any,
        uncaptured: Callable[[], AbstractContextManager[Any]] = nullcontext,
        *,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._reporter, self._uncaptured, self._note = reporter, uncaptured, note
        self._live = reporter is not None and reporter.isatty and os.environ.get("TERM") != "dumb"
        self._work = ""
        self._shown = 0.0

    def __call__(self, text: str) -> None:
        """Show *text* now, or drop it because the last one was shown just before."""
        self._note(text)
        work, now = text.partition(":")[0], time.monotonic()
        if work == self._work and now - self._shown < (REDRAW_S if self._live else PLAIN_S):
            return
        self._work, self._shown = work, now
        self._show(text)

    def clear(self) -> None:
        """Take the line away: the work is done."""
        if self._work:
            self._note("")
        if self._work and self._live:
            self._show("")
        self._work = ""

    def _show(self, text: str) -> None:
        if self._reporter is None:
            return
        text = printable(text)
        with self._uncaptured():
            if self._live:
                self._draw_below(text[: shutil.get_terminal_size().columns - 1])
            else:
                self._reporter.write_line(text)
                self._reporter.flush()

    def _draw_below(self, text: str) -> None:
        """Draw on the line below and come back, past pytest's writer, which keeps count of what stands on its line."""
        self._reporter.flush()
        column = self._reporter._tw.width_of_current_line + 1  # noqa: SLF001 - nobody else knows
        sys.stdout.write(f"\n\r\x1b[K{text}\x1b[1A\x1b[{column}G")
        sys.stdout.flush()
