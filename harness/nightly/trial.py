"""One run of the tests on one board in a process of its own, as a user would start it, and the record it leaves."""

import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from harness.lab import child
from harness.lab.child import Child
from harness.report.record import RunRecord

END_S = 180.0
"""What a run that is told to end may take for it: its board goes off, its record is written."""


@attrs.frozen
class Trial:
    """What came of it."""

    record: RunRecord | None
    """None when no run was begun: pytest refused, or was ended before."""
    folder: Path | None
    """Of the run."""
    status: int
    """pytest's exit status, as a shell has it."""
    seconds: float
    said: tuple[str, ...] = ()
    """Its last lines, for when there is no record."""
    ended: int = 0
    """The signal by which it was told to end; 0 when it ended by itself."""
    late: bool = False
    """Whether it was told to end because its time was over."""

    @property
    def complete(self) -> bool:
        """Whether a run came to its own end."""
        return self.record is not None and bool(self.record.finished) and not self.ended


def run_once(
    board: str,
    args: Sequence[str],
    *,
    folder: Path,
    tell: Callable[[str], object],
    timeout_s: float | None = None,
    told: Path | None = None,
    keep: tuple[int, ...] = (),
    begun: Callable[[Child], object] = lambda _: None,
) -> Trial:
    """Run pytest with *args* (tests first, say) on *board* in *folder*, the one with lab.yaml; *tell* its lines.

    In the main thread SIGINT, SIGTERM and SIGHUP are passed on: the board goes off, the record is written, and the
    trial says by which signal it ended. In any other thread *begun* gets the process before it starts; whoever keeps it
    may `end` it. The process dies with the thread that called. The path of the run's folder is left in the file *told*,
    if given; *keep* are locks (file descriptors) that the process holds on to until it has ended as well.
    """
    began = time.monotonic()
    last: list[str] = []

    def pass_on(line: str) -> None:
        last[:] = [*last[-19:], line]
        tell(line)

    with tempfile.TemporaryDirectory(prefix="pi64-") as beside:
        run = Child("", told or Path(beside) / "told", keep)
        run.told.unlink(missing_ok=True)
        with child.passing_on([run]):
            begun(run)
            run.start(board, args, folder, pass_on)
            late = not run.wait(timeout_s) and _end(run)
        there = child.folder(run.told)
    record = child.record(there) if there else None
    return Trial(record, there, run.status, time.monotonic() - began, tuple(last), run.ended, late)


def _end(run: Child) -> bool:
    """Tell a run whose time is over to end, and make it end."""
    run.end(signal.SIGTERM)
    if not run.wait(END_S):
        run.end(signal.SIGKILL)
        run.wait()
    return True
