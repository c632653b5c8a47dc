"""What a waiting person sees of a long command: one line on a terminal, a plain line now and then elsewhere."""

import shutil
import sys
import time

from harness.report.redact import printable

REDRAW_S = 0.1
PLAIN_S = 20.0


class Progress:
    """Call it with one line of state; it goes to standard error, the result alone to standard output."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._work = ""
        self._shown = 0.0

    def __call__(self, text: str) -> None:
        """Show *text* now, or drop it because the last one of the same work was shown just before."""
        work, now = text.partition(":")[0], time.monotonic()
        if work == self._work and now - self._shown < (REDRAW_S if self._live else PLAIN_S):
            return
        self._work, self._shown = work, now
        line = printable(text)
        if self._live:
            sys.stderr.write(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}")
        else:
            sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away: the work is done."""
        if self._live and self._work:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
