"""Watches a board boot: which stages it reached when, and the moment from which waiting longer is of no use."""

from collections import deque
from contextlib import suppress

from harness.console.deathwatch import hear_out
from harness.console.recorder import Recorder
from harness.errors import LabError
from harness.host import Progress, silent
from harness.model import STAGES, BootRecord, Deadlines, Finding
from harness.report.redact import printable
from harness.verdict.findings import Scanner, finding
from harness.verdict.garbage import REMEDY, GarbageWatch
from harness.verdict.stages import Boot, StageTracker

POLL_S = 0.25  # how often the deadlines are looked at while nothing comes
TAIL_LINES = 40  # a kernel that waits for its root device goes on to talk about others
LOOP_BANNERS = 3  # kernel banners in one boot: it resets itself before the login, again and again
LOOP_STARTS = 4  # starts of the firmware without a kernel: an EEPROM update, or another partition, restarts it once
GARBLED_S = 1.0  # garbage that lasts so long stays; a clock that moves for a moment (cpufreq) does not end a boot
LINE_SHOWN = 120  # characters of the last line in a reason
LINE_READ = 8192  # bytes of an unfinished line that are looked at for a prompt; a line without end must not cost more


class BootWatch:
    """One boot, watched from *position* of the recording; *started* is its power-on on the recorder's clock.

    *started* is None after a ``reboot`` command: then the boot counts from its own first line, and what stands before
    that is the old system shutting down. ``record`` is the boot as far as it is known, also when ``run`` has raised.
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
        self._garbage = GarbageWatch(first_line=self._line_number)
        self._findings: list[Finding] = []
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._warm = started is None
        self._begins = not self._warm
        self._handed_over = False
        self._garbled_at: float | None = None
        self._reason = "the watch was interrupted"

    @property
    def line_position(self) -> int:
        """Where in the recording the line begins that is being received: at the end, the login prompt's."""
        return self._position - len(self._line)

    @property
    def fatal(self) -> Finding | None:
        """The first finding that ends a boot, known from its first line on."""
        found = [*self._findings, *filter(None, [self._scanner.pending])]
        return next((each for each in found if each.severity == "fatal"), None)

    def run(self, *, progress: Progress = silent) -> BootRecord:
        """Watch until login prompt, death string, boot loop, garbage, silence or a deadline; return ``record``.

        Raises LabError when the line dies; ``record`` then says so.
        """
        try:
            with self._recorder.gathering():
                self._watch(progress)
        except LabError as error:
            self._reason = error.message
            raise
        finally:
            self._findings += self._scanner.close()
        return self.record

    @property
    def record(self) -> BootRecord:
        """The boot as far as it is known now; of a boot loop, the boot that came furthest."""
        boot = self._furthest if self._loop() else self._boot
        zero = min(boot.stages.values(), default=0.0) if self._begun is None else self._begun
        return BootRecord(
            target=self._recorder.name,
            stages={stage: round(seconds - zero, 3) for stage, seconds in boot.stages.items()},
            reached=not self._reason,
            reason=printable(self._reason),  # a test may say it by itself
            findings=tuple(self._findings),
            log=self._recorder.log,
            first_line=boot.first_line,
            tail=tuple(map(printable, self._last_lines[-TAIL_LINES:])),
        )

    def _watch(self, progress: Progress) -> None:
        while not (reason := self._over()):
            self._listen(POLL_S)
            progress(f"booting: stage {self._boot.last_stage}, {self._recorder.now - self._opened:.0f} s")
        if self.fatal:
            with suppress(LabError):  # a line that dies with the board (QEMU ends at a reset) changes nothing any more
                hear_out(self._listen, over=self._told_whole)
        elif reason != "login" and (garbage := self._garbage.final()):
            self._findings.append(garbage)
            reason = f"{garbage.message}; {REMEDY}"
        elif reason != "login" and (early := self._boot.early_only):
            self._findings.append(early)
        elif self._loop() and not (self._tracker.banners or self._handed_over):
            self._findings.append(self._no_kernel(reason))
        self._reason = "" if reason == "login" else reason

    # --- what comes ---------------------------------------------------------------------------------------------------
    def _listen(self, timeout: float) -> bool:
        data = self._recorder.read(self._position, timeout=timeout)
        if data:
            self._heard = self._recorder.now
            self._weigh(data)
            self._take(data)
        return bool(data)

    def _weigh(self, data: bytes) -> None:
        """Look for garbage, and since when there is nothing else."""
        self._garbage.feed(data)
        if not self._garbage.lasting:
            self._garbled_at = None
        elif self._garbled_at is None:
            self._garbled_at = self._recorder.now

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
            self._track(self._line[:LINE_READ].decode(errors="replace"))

    def _stamp(self) -> None:
        if not self._line:
            self._line_at = self._recorder.time_at(self._position)

    def _finish_line(self, line: str) -> None:
        self._track(line)
        self._findings += self._scanner.feed(line)
        self._line_number += 1
        if line and not line.isspace():
            self._tail.append(line)

    def _track(self, line: str) -> None:
        """Feed the stage tracker; after a ``reboot`` not before the new system's first line."""
        if not self._begins and not {"firmware", "kernel"}.isdisjoint(StageTracker().feed(0.0, line)):
            self._begins = True
            self._opened = self._line_at
        if self._begins:
            self._tracker.feed(self._line_at, line, number=self._line_number)
            self._handed_over = self._handed_over or "Starting ARM" in line

    def _told_whole(self) -> bool:
        """Tell whether the trace of what ended the boot came to its end: a panic's last words, or other lines."""
        return not self._scanner.pending and self.fatal is not None and len(self.fatal.text) > 1

    # --- whether it is over -------------------------------------------------------------------------------------------
    def _over(self) -> str:
        """Return why there is nothing more to wait for; ``login`` for the good reason, empty while there is."""
        if "login" in self._boot.stages:
            return "login"
        if fatal := self.fatal:
            return fatal.message
        if self._garbled_at is not None and self._recorder.now - self._garbled_at > GARBLED_S:
            return "nothing that can be read"
        return self._loop() or self._late(self._boot)

    def _loop(self) -> str:
        if self._tracker.banners >= LOOP_BANNERS:
            return f"boot loop: {self._tracker.banners} kernel banners and no login prompt"
        starts = len(self._tracker.boots)
        if starts >= LOOP_STARTS and not self._tracker.banners:
            return f"boot loop: the firmware started {starts} times and no kernel came"
        return ""

    def _no_kernel(self, reason: str) -> Finding:
        """Make the finding of a firmware that restarts by itself: power, card or EEPROM, for no kernel was started."""
        first, last = self._first_line, self._line_number
        return finding(
            "firmware-loop",
            reason,
            fault="LAB",
            severity="fatal",
            first_line=first,
            last_line=last,
            text=[*self._tail][-6:],
        )

    def _late(self, boot: Boot) -> str:
        now = self._recorder.now
        since = self._begun if self._begun is not None else self._opened
        if self._quiet > self._deadlines.silence:
            return self._silent(boot)
        if not self._begins:
            limit = self._deadlines.shutdown
            return f"the old system was not down within {limit:g} s of the reboot" if now - since > limit else ""
        for number, stage in enumerate(STAGES):
            limit = getattr(self._deadlines, stage)
            if boot.stages.keys().isdisjoint(STAGES[number:]) and now - since > limit:
                return f"no stage `{stage}` within {limit:g} s of {'the reset' if self._warm else 'power-on'}"
        return ""

    def _silent(self, boot: Boot) -> str:
        when = f"after stage `{boot.last_stage}`" if self._begins else "while the old system went down"
        last = self._last_lines[-1:]
        said = f"; last line: `{printable(last[0].strip())[:LINE_SHOWN]}`" if last else ""
        return f"silent for {self._quiet:.0f} s {when}{said}"

    @property
    def _quiet(self) -> float:
        return self._recorder.now - max(self._heard, self._opened)

    @property
    def _last_lines(self) -> list[str]:
        """The last lines that were not empty, and the one without an end."""
        unfinished = self._line[:LINE_READ].decode(errors="replace").rstrip()
        return [*self._tail, *([unfinished] if unfinished else [])]

    @property
    def _boot(self) -> Boot:
        return self._tracker.boots[-1] if self._tracker.boots else Boot(self._first_line)

    @property
    def _furthest(self) -> Boot:
        return max(self._tracker.boots, key=lambda boot: ("none", *STAGES).index(boot.last_stage))
