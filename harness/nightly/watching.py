"""What every board does now, from the records alone: run.json, what a run says it does, the end of its console.

Nothing is asked of the runs themselves, so a look disturbs nobody, and a run that was killed is told from one that goes
on: its process is gone, or began after its record was written.
"""

import os
import platform
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from harness.errors import Pi64Error, UsageError
from harness.lab import leavings
from harness.nightly import db, questions
from harness.nightly.doing import Doing, Idle, Now
from harness.nightly.night import state
from harness.nightly.night.state import Night
from harness.nightly.questions import Where
from harness.report import moment, record
from harness.report.moment import told
from harness.report.record import RunRecord
from harness.verdict.lines import clean

LATELY_S = 7 * 86_400
"""Boards on which nothing ran for so long are not shown."""
EACH = 3
"""Newest runs of a board that are looked at: one may have failed at once because another has the board."""
TAIL = 4096
STALE_S = 3600.0
"""A run of another lab host that has written nothing for so long goes on no more."""
_NAME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d)-(.+)")
_TICKS = os.sysconf("SC_CLK_TCK")


@attrs.frozen
class _Read:
    """A record as far as it matters here, and which version of the file it was."""

    stamp: tuple[int, int]
    record: RunRecord


class Watch:
    """Looks again and again, and reads only what has changed since."""

    def __init__(self, runs: Path, *, history: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        self._runs, self._clock = runs, clock
        self._history = history or runs / db.NAME
        self._listed: tuple[int, list[str]] = (-1, [])
        self._records: dict[str, _Read] = {}
        self._usual: dict[tuple[str, str], float | None] = {}

    def look(self) -> Now:
        """Return what goes on. UsageError when there is no such folder."""
        now = self._clock()
        night, written = self._night()
        on = night is not None and not night.finished and alive(night.host, night.pid, written) is not False
        found = self._newest(now)
        kept = {name: read for name, read in self._records.items() if name in found}
        self._records = kept
        named = {job.run: job.branch for job in night.jobs} if night else {}  # as the plan has it
        going = ((name, read.record) for name, read in kept.items() if not read.record.finished)
        doing = [self._doing(name, record_, named.get(name, ""), now) for name, record_ in going]
        shown = self._shown(doing)
        busy = {each.board for each in shown if not each.gone}
        goes_on = night if on else None
        return Now(
            tuple(sorted(shown, key=lambda each: (bool(each.gone), each.board))),
            tuple(self._idle(kept, busy | {each.board for each in shown}, goes_on, now)),
            tuple(_building(goes_on, now)) if goes_on else (),
            _night_line(goes_on, now) if goes_on else "",
        )

    def _shown(self, doing: list[Doing]) -> list[Doing]:
        """Return those that go on; of a board on which none does, the newest one that is gone."""
        busy = {each.board for each in doing if not each.gone}
        gone: dict[str, Doing] = {}
        for each in sorted(doing, key=lambda each: each.run):
            if each.gone and each.board not in busy and not self._followed(each):
                gone[each.board] = each
        return [each for each in doing if not each.gone] + list(gone.values())

    def _followed(self, each: Doing) -> bool:
        """Tell whether a run of that board came after it: then what became of it is no news."""
        return any(read.record.target == each.board and name > each.run for name, read in self._records.items())

    # --- which runs ---------------------------------------------------------------------------------------------------
    def _newest(self, now: float) -> set[str]:
        """Read what has changed of the newest runs of each board; return their names."""
        found: set[str] = set()
        for name in self._candidates(now):
            path = self._runs / name / leavings.RECORD
            try:
                status = path.stat()
                stamp = (status.st_mtime_ns, status.st_ino)
                known = self._records.get(name)
                if known is None or known.stamp != stamp:
                    self._records[name] = _Read(stamp, record.from_json(path.read_text(), name=name))
            except (OSError, UnicodeDecodeError, UsageError):
                continue  # it is being made, or somebody put it there
            found.add(name)
        return found

    def _candidates(self, now: float) -> list[str]:
        """Return the names of the newest folders of each board."""
        try:
            changed = self._runs.stat().st_mtime_ns
            if changed != self._listed[0]:
                self._listed = (changed, sorted(os.listdir(self._runs), reverse=True))  # noqa: PTH208 - names alone
        except OSError as error:
            raise UsageError(f"{self._runs}: {error.strerror}", hint="--runs DIR: where records of runs go") from error
        oldest = time.strftime("%Y-%m-%dT%H-%M-%S", time.gmtime(now - LATELY_S))
        each: dict[str, list[str]] = {}
        for name in self._listed[1]:
            if name[: len(oldest)] < oldest:
                break  # links and files of other names come before, for they begin with letters
            if parts := _NAME.fullmatch(name):
                each.setdefault(parts[5], []).append(name)
        return [name for names in each.values() for name in names[:EACH]]

    # --- one run ------------------------------------------------------------------------------------------------------
    def _doing(self, name: str, record_: RunRecord, branch: str, now: float) -> Doing:
        folder = self._runs / name
        line, heard = _last_line(folder / "console.log")
        elapsed = now - (moment.seconds(record_.started) or now)
        return Doing(
            record_.target,
            branch or record_.branch or record_.tree,
            name,
            stage(record_, leavings.read_doing(folder), heard=heard is not None),
            elapsed,
            self._usual_s(record_),
            None if heard is None else max(now - heard, 0.0),
            line,
            _gone(folder, record_, now),
        )

    def _usual_s(self, record_: RunRecord) -> float | None:
        key = (record_.target, record_.branch or record_.tree)
        if key not in self._usual:
            try:
                with db.reading(self._history) as opened:
                    self._usual[key] = questions.usual_seconds(opened, Where(branch=key[1], board=key[0]))
            except Pi64Error:
                self._usual[key] = None
        return self._usual[key]

    # --- boards that do nothing ---------------------------------------------------------------------------------------
    def _idle(self, kept: dict[str, _Read], busy: set[str], night: Night | None, now: float) -> Iterator[Idle]:
        last: dict[str, RunRecord] = {}
        for name in sorted(kept):
            last[kept[name].record.target] = kept[name].record
        jobs = night.jobs if night else ()
        for board in sorted({*last, *(job.board for job in jobs)} - busy):
            done = last.get(board)
            waiting = sum(job.board == board and job.state == "waiting" for job in jobs)
            out = night.boards_out.get(board, "") if night else ""
            yield _idle_board(board, done, waiting, out, now)

    def _night(self) -> tuple[Night | None, float]:
        """Return the newest night, and when it was written down last."""
        path = self._runs / state.FOLDER / "latest" / state.FILE
        try:
            return state.from_json(path.read_text(), name=str(path)), path.stat().st_mtime
        except (OSError, UnicodeDecodeError, UsageError):
            return None, 0.0


def stage(known: RunRecord, doing: leavings.Doing | None, *, heard: bool) -> str:
    """Return how far a run is: in its own words, or by what it has left so far."""
    if doing and doing.text:
        return doing.text
    if known.tests or doing:
        number = sum(case.outcome != "retried" for case in known.tests)
        bad = sum(case.outcome in {"failed", "error"} for case in known.tests)
        return f"tests: {number} done{f', {bad} bad' if bad else ''}"
    if known.release:
        return "booting" if heard else "deploying"
    return "building" if known.source else "starting"


def alive(host: str, pid: int, written: float) -> bool | None:
    """Tell whether process *pid* on *host* lives that wrote something at *written* (seconds since 1970).

    None: nobody here knows. One that began later has only got the same number.
    """
    if not pid or host != platform.node():
        return None
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        up = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return False
    began = time.time() - up + int(fields[19]) / _TICKS
    return fields[0] != "Z" and began <= written + 1


def _gone(folder: Path, known: RunRecord, now: float) -> str:
    """Return why a run without an end goes on no more; empty when it does, as far as anybody here knows."""
    touched = [_touched(folder / name) for name in (leavings.RECORD, "console.log", leavings.DOING, "build.log")]
    if not touched[0]:
        return ""
    living = alive(known.host, known.pid, touched[0])
    if living is None and now - max(touched) > STALE_S:
        return f"nothing for {told(now - max(touched))}, on {known.host or 'an unknown lab host'}"
    return f"process {known.pid} ended without a verdict" if living is False else ""


def _touched(path: Path) -> float:
    """Return when *path* was written to; 0 when it is not there."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _last_line(log: Path) -> tuple[str, float | None]:
    """Return the last line of a console that says something, and when the log was written to; "" and None: no log."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - TAIL, 0))
            data = file.read(TAIL)
        lines = map(clean, re.split(r"[\r\n]+", data.decode(errors="replace")))
        return next((line for line in reversed([*lines]) if line), ""), log.stat().st_mtime if size else None
    except OSError:
        return "", None


def _idle_board(board: str, done: RunRecord | None, waiting: int, out: str, now: float) -> Idle:
    if done is None:
        return Idle(board, waiting=waiting, out=out)
    ended = moment.seconds(done.finished) or moment.seconds(done.started) or now
    verdict = str(done.verdict.name) if done.verdict else ""
    return Idle(board, done.branch or done.tree, verdict, max(now - ended, 0.0), waiting, out)


def _building(night: Night, now: float) -> Iterator[str]:
    builds: dict[str, list[state.Job]] = {}
    for job in night.jobs:
        if job.state == "building":
            builds.setdefault(job.build, []).append(job)
    for jobs in builds.values():
        since = now - (moment.seconds(jobs[0].started) or now)
        boards = ", ".join(sorted({job.board for job in jobs}))
        yield f"building {jobs[0].branch}/{jobs[0].configuration} for {boards}: {told(since)}"


def _night_line(night: Night, now: float) -> str:
    counts: dict[str, int] = {}
    for job in night.jobs:
        counts[job.state] = counts.get(job.state, 0) + 1
    since = now - (moment.seconds(night.started) or now)
    budget = f" of {told(night.budget_s)}" if night.budget_s else ""
    states = ", ".join(f"{number} {name}" for name, number in counts.items())
    return f"night {night.name}, {told(since)}{budget}: {len(night.jobs)} jobs, {states}"
