"""Watches a board boot: which stages it reached when, and the moment from which waiting longer is of no use."""

import attrs

from harness.console.deathwatch import hear_out
from harness.console.recorder import Recorder
from harness.host import Progress, silent
from harness.model import STAGES, BootRecord, Finding
from harness.verdict.findings import Scanner
from harness.verdict.stages import Boot, StageTracker

POLL_S = 0.25  # how often the deadlines are looked at while nothing comes
TAIL_LINES = 12
LOOP_BANNERS = 3  # kernel banners in one boot: it resets itself before the login, again and again


@attrs.frozen
class Deadlines:
    """Seconds from power-on to the first line of each stage, at most, and how long a board may be silent."""

    shutdown: float = 180.0
    """After ``reboot``, until the new system's first line; systemd alone gives a stubborn service 90 s."""
    firmware: float = 30.0
    kernel: float = 60.0
    rootfs: float = 120.0
    init: float = 150.0
    login: float = 300.0
    silence: float = 90.0


class BootWatch:
    """One boot, watched from *position* of the recording; *started* is its power-on on the recorder's clock.

    *started* is None after a ``reboot`` command: then the boot counts from its own first line, and what stands before
    that is the old system shutting down.
    """

    def __init__(
        self,
        recorder: Recorder,
        deadlines: Deadlines,
        *,
        position: int,
        started: float | None,
    ) -> None:
        self._recorder, self._deadlines = recorder, deadlines
        self._position, self._begun = position, started
        self._opened = recorder.now
        self._heard = recorder.now
        self._line_number = recorder.line_number(position)
        self._first_line = self._line_number
        self._line = b""
        self._line_at = recorder.now
        self._tracker = StageTracker(first_line=self._line_number)
        self._scanner = Scanner(first_line=self._line_number)
        self._findings: list[Finding] = []
        self._tail: list[str] = []
        self._warm = started is None
        self._begins = not self._warm

    @property
    def line_position(self) -> int:
        """Where in the recording the line begins that is being received: at the end, the login prompt's."""
        return self._position - len(self._line)

    def run(self, *, progress: Progress = silent) -> BootRecord:
        """Watch until login prompt, death string, boot loop, silence or a deadline; LabError if the line dies."""
        while not (reason := self._over()):
            self._listen(POLL_S)
            progress(f"booting: stage {self._boot.last_stage}, {self._recorder.now - self._opened:.0f} s")
        if self._fatal():
            hear_out(self._listen)
        self._findings += self._scanner.close()
        return self._record("" if reason == "login" else reason)

    def _listen(self, timeout: float) -> bool:
        data = self._recorder.read(self._position, timeout=timeout)
        if data:
            self._heard = self._recorder.now
            self._take(data)
        return bool(data)

    def _take(self, data: bytes) -> None:
        *whole, rest = data.split(b"\n")
        for piece in whole:
            self._stamp()
            self._position += len(piece) + 1
            line, self._line = self._line + piece, b""
            self._finish_line(line.decode(errors="replace").rstrip("\r"))
        if rest:
            self._stamp()
            self._position += len(rest)
            self._line += rest
            # A login prompt has no line end; the tracker may be fed a line again when more of it has come.
            self._track(self._line.decode(errors="replace"))

    def _stamp(self) -> None:
        if not self._line:
            self._line_at = self._recorder.time_at(self._position)

    def _finish_line(self, line: str) -> None:
        self._track(line)
        self._findings += self._scanner.feed(line)
        self._line_number += 1
        self._tail = [*self._tail[-TAIL_LINES:], line] if line.strip() else self._tail

    def _track(self, line: str) -> None:
        """Feed the stage tracker; after a ``reboot`` not before the new system's first line."""
        if not self._begins and not {"firmware", "kernel"}.isdisjoint(StageTracker().feed(0.0, line)):
            self._begins = True
            self._opened = self._line_at
        if self._begins:
            self._tracker.feed(self._line_at, line, number=self._line_number)

    def _over(self) -> str:
        """Return why there is nothing more to wait for; ``login`` for the good reason, empty while there is."""
        boot = self._boot
        if "login" in boot.stages:
            return "login"
        if fatal := self._fatal():
            return fatal.message
        if self._tracker.banners >= LOOP_BANNERS:
            return f"boot loop: {self._tracker.banners} kernel banners and no login prompt"
        return self._late(boot)

    def _fatal(self) -> Finding | None:
        """Return the first finding that ends a boot, known from its first line on."""
        found = [*self._findings, *filter(None, [self._scanner.pending])]
        return next((finding for finding in found if finding.severity == "fatal"), None)

    def _late(self, boot: Boot) -> str:
        now = self._recorder.now
        since = self._begun if self._begun is not None else self._opened
        quiet = now - max(self._heard, self._opened)
        if quiet > self._deadlines.silence:
            return f"silent for {quiet:.0f} s after stage `{boot.last_stage}`"
        if not self._begins:
            limit = self._deadlines.shutdown
            return f"the old system was not down within {limit:g} s of the reboot" if now - since > limit else ""
        for number, stage in enumerate(STAGES):
            limit = getattr(self._deadlines, stage)
            if boot.stages.keys().isdisjoint(STAGES[number:]) and now - since > limit:
                return f"no stage `{stage}` within {limit:g} s of {'the reset' if self._warm else 'power-on'}"
        return ""

    @property
    def _boot(self) -> Boot:
        return self._tracker.boots[-1] if self._tracker.boots else Boot(self._first_line)

    def _record(self, reason: str) -> BootRecord:
        boot = self._boot
        zero = min(boot.stages.values(), default=0.0) if self._begun is None else self._begun
        return BootRecord(
            target=self._recorder.name,
            stages={stage: round(seconds - zero, 3) for stage, seconds in boot.stages.items()},
            reached=not reason,
            reason=reason,
            findings=tuple(self._findings),
            log=self._recorder.log,
            first_line=boot.first_line,
            tail=tuple(self._tail[-TAIL_LINES:]),
        )
