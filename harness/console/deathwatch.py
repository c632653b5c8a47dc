"""Armed in every read: a kernel that dies, or restarts unasked, while somebody waits for something else."""

import time
from collections.abc import Callable

from harness.model import Finding
from harness.verdict.findings import Scanner, finding
from harness.verdict.stages import StageTracker

TRACE_QUIET_S = 1.0  # after a death string: so long nothing more, and its trace is complete
TRACE_LIMIT_S = 5.0  # a board that resets itself is never quiet


def hear_out(listen: Callable[[float], object]) -> None:
    """Let a trace end: its last lines are evidence too. *listen* waits so many seconds and tells if anything came."""
    limit = time.monotonic() + TRACE_LIMIT_S
    while time.monotonic() < limit and listen(TRACE_QUIET_S):
        pass


class DeathWatch:
    """Reads along; ``deaths`` are the findings after which waiting is of no use.

    ``expected`` names the kinds of findings (``panic``, ``restart``) that somebody provokes on purpose just now.
    """

    def __init__(self, *, first_line: int) -> None:
        self._scanner = Scanner(first_line=first_line)
        self._number = first_line - 1
        self._rest = b""
        self._fatal: list[Finding] = []
        self.expected: set[str] = set()

    def feed(self, data: bytes) -> None:
        """Take what came."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for raw in lines:
            self._take(raw.decode(errors="replace").rstrip("\r"))

    @property
    def deaths(self) -> list[Finding]:
        """What killed the system so far; the last one may still be without the end of its trace."""
        pending = self._scanner.pending
        return [*self._fatal, *([pending] if pending and self._kills(pending) else [])]

    def close(self) -> list[Finding]:
        """Say that nothing more will come, and return the deaths with whole traces."""
        self._keep(self._scanner.close())
        return self._fatal

    def _take(self, line: str) -> None:
        self._number += 1
        self._keep(self._scanner.feed(line))
        restarted = any(found.kind == "restart" for found in self._fatal)
        if not restarted and not {"firmware", "kernel"}.isdisjoint(StageTracker().feed(0.0, line)):
            message = "the board restarted, and nobody had asked for it"
            number, text = self._number, [line]
            self._keep([finding("restart", message, fault="KERNEL", severity="fatal", first_line=number, text=text)])

    def _keep(self, findings: list[Finding]) -> None:
        self._fatal += filter(self._kills, findings)

    def _kills(self, found: Finding) -> bool:
        return found.severity == "fatal" and found.kind not in self.expected
