"""Armed in every read: a kernel that dies, or restarts unasked, while somebody waits for something else."""

import time
from collections.abc import Callable

from harness.model import Finding
from harness.verdict.findings import Scanner
from harness.verdict.garbage import GarbageWatch
from harness.verdict.stages import StageTracker, restart

TRACE_QUIET_S = 0.5  # after a death string: so long nothing more, and its trace is complete
TRACE_LIMIT_S = 5.0  # a board that resets itself is never quiet


def hear_out(listen: Callable[[float], object], *, over: Callable[[], bool] = lambda: False) -> None:
    """Let a trace end: its last lines are evidence too. *listen* waits so many seconds and tells if anything came.

    *over* is asked before each wait whether the end was heard already.
    """
    limit = time.monotonic() + TRACE_LIMIT_S
    while not over() and time.monotonic() < limit and listen(TRACE_QUIET_S):
        pass


class DeathWatch:
    """Reads along; ``deaths`` are the findings after which waiting is of no use.

    ``expected`` names the kinds of findings (``panic``, ``restart``, ``console-garbage``) that somebody
    provokes on purpose just now.
    """

    def __init__(self, *, first_line: int) -> None:
        self._scanner = Scanner(first_line=first_line)
        self._number = first_line - 1
        self._rest = b""
        self._garbage = GarbageWatch(first_line=first_line)
        self._fatal: list[Finding] = []
        self.expected: set[str] = set()

    def feed(self, data: bytes) -> None:
        """Take what came."""
        self._garbage.feed(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for raw in lines:
            self._take(raw.decode(errors="replace").rstrip("\r"))

    @property
    def deaths(self) -> list[Finding]:
        """What killed the system so far; the last one may still be without the end of its trace."""
        pending = self._scanner.pending
        return [*self._fatal, *filter(self._kills, filter(None, [pending, self._garbage.found]))]

    @property
    def told_whole(self) -> bool:
        """Whether a death's trace came to its end: there is one of several lines, and none whose lines still come."""
        return not self._scanner.pending and any(len(death.text) > 1 for death in self.deaths)

    @property
    def garbage(self) -> Finding | None:
        """Why what was waited for did not come: the last of what did cannot be read. The bench is set up wrongly then.

        For whoever gives up: little suffices here. So much that ``deaths`` has it too is beyond doubt.
        """
        return self._garbage.found or self._garbage.final()

    def close(self) -> list[Finding]:
        """Say that nothing more will come, and return the deaths with whole traces."""
        self._keep(self._scanner.close())
        self._keep(list(filter(None, [self._garbage.found])))
        return self._fatal

    def _take(self, line: str) -> None:
        self._number += 1
        self._keep(self._scanner.feed(line))
        restarted = any(found.kind == "restart" for found in self._fatal)
        if not restarted and not {"firmware", "kernel"}.isdisjoint(StageTracker().feed(0.0, line)):
            self._keep([restart(self._number, line)])

    def _keep(self, findings: list[Finding]) -> None:
        self._fatal += filter(self._kills, findings)

    def _kills(self, found: Finding) -> bool:
        return found.severity == "fatal" and found.kind not in self.expected
