"""One night from its first job to its last: the only one who begins something, and who writes the night's state."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from harness.lab import child
from harness.lab.plan import Plan
from harness.model import VerdictName
from harness.nightly.compare import as_news
from harness.nightly.night import bisections, memory, schedule
from harness.nightly.night import book as books
from harness.nightly.night.agenda import Task
from harness.nightly.night.book import Book
from harness.nightly.night.crew import Crew
from harness.nightly.night.hands import Built, Hands, line
from harness.nightly.night.memory import Memory
from harness.nightly.night.schedule import Work
from harness.nightly.night.standing import Standing
from harness.nightly.night.state import Job
from harness.nightly.trial import Trial
from harness.report import moment
from harness.report.record import RunRecord

LOOK_S = 0.5
"""Between two looks for the folders of runs that have just begun."""
SPOILT = (VerdictName.LAB, VerdictName.INCONCLUSIVE)


class Runner:
    """Runs the jobs of a night."""

    def __init__(
        self,
        plan: Plan,
        tasks: tuple[Task, ...],
        book: Book,
        hands: Hands,
        known: Memory,
        *,
        tell: Callable[[str], object],
    ) -> None:
        self._plan, self._tasks, self._book, self._hands, self._known = plan, tasks, book, hands, known
        self._tell = tell
        self._crew = Crew()
        self._count = {board.name: board.count for board in plan.boards}
        self._free = dict(self._count)
        self._standing = Standing(self._count)
        self._order: tuple[str, ...] = ()
        self._built: dict[str, Built] = {}
        self._building = ""
        """The build that goes on; empty while there is none."""
        self._ending = ""
        """Why no more is begun and what runs is ended; empty while the night goes on."""
        budget_s = book.night.budget_s
        self._deadline = None if budget_s is None else time.monotonic() + budget_s - books.age_s(book.night)

    def go(self) -> None:
        """Run all there is, to the end, the budget's end, or a signal; the state tells which."""
        with self._crew.signals(self._stop):
            self._recover()
            works = list(self._works())
            costs = {work.build: self._tasks[work.job].build_s for work in works}
            self._order = schedule.order(works, costs, self._count, budget_s=self._left_s)
            self._work()
            self._bisect()
        self._close()

    def _work(self) -> None:
        """Begin what can be begun and take what comes, until nobody works and nothing can be begun."""
        while True:
            if not self._ending:
                self._give_up()
                self._begin()
            if not self._crew:
                return
            self._crew.serve(LOOK_S)
            self._look()

    # --- what to begin -----------------------------------------------------------------------------------------------
    def _begin(self) -> None:
        for board, free in self._free.items():
            for _ in range(free):
                works = (work for work in self._works() if not self._held(work.job))
                if chosen := schedule.choose(works, board, self._built.__contains__):
                    self._run(chosen.job)
        if not self._building:
            waiting = {work.build: work.job for work in reversed([*self._works()]) if work.build not in self._built}
            if following := next((build for build in self._order if build in waiting), ""):
                self._build(following, waiting[following])

    def _works(self) -> Iterator[Work]:
        return (self._tasks[number].work(number) for number, _ in self._jobs("waiting"))

    def _jobs(self, *states: str) -> list[tuple[int, Job]]:
        return [(number, job) for number, job in enumerate(self._book.night.jobs) if not states or job.state in states]

    def _kin(self, number: int, state: str) -> list[int]:
        """Return the jobs in *state* that need the same kernel for the same model: all of them get it, or none."""
        task = self._tasks[number]
        same = (task.build, task.model)
        return [other for other, _ in self._jobs(state) if (self._tasks[other].build, self._tasks[other].model) == same]

    def _held(self, number: int) -> bool:
        """Tell whether another job is just finding out why the kernel of this one does not build."""
        built = self._built.get(self._tasks[number].build)
        return built is not None and built.failed and bool(self._kin(number, "running"))

    @property
    def _left_s(self) -> float | None:
        return None if self._deadline is None else self._deadline - time.monotonic()

    def _give_up(self) -> None:
        """Leave what would not end within the budget."""
        left_s = self._left_s
        if left_s is None:
            return
        given_up = {}
        for work in self._works():
            task = self._tasks[work.job]
            needs_s = task.run_s + (0.0 if work.build in self._built else task.build_s)
            if needs_s > left_s:
                reason = f"the budget: {clock(max(0.0, left_s))} left, it takes {clock(needs_s)}"
                given_up[work.job] = {"state": "left", "reason": reason}
        self._book.jobs(given_up)

    # --- builds ------------------------------------------------------------------------------------------------------
    def _build(self, build: str, number: int) -> None:
        task, now = self._tasks[number], books.now()
        self._building = build
        self._tell(f"{task.name}: building")
        sharing = [other for other, _ in self._jobs("waiting") if self._tasks[other].build == build]
        self._book.all(sharing, state="building", started=now)
        self._crew.start(number, partial(self._hands.build, number, task), self._on_built)

    def _on_built(self, number: int, built: Built | Exception) -> None:
        build, self._building = self._building, ""
        task = self._tasks[number]
        waiting = [other for other, _ in self._jobs("building")]
        if self._ending:
            self._book.all(waiting, state="left", reason=self._ending, started="")
            return
        if isinstance(built, Exception):
            built = Built(verdict="LAB", message=line(f"{type(built).__name__}: {built}"))
        self._book.all(waiting, state="waiting", started="")
        if built.verdict and not built.failed:
            # What is wrong for one model (it may lack a device tree) need not be for another.
            kin = [other for other in self._kin(number, "waiting") if other in waiting]
            self._book.all(kin, state="broken", reason=f"no kernel: {built.message}")
            self._tell(f"{task.name}: no kernel ({built.verdict}): {built.message}")
            return
        self._built[build] = built
        if built.key:
            self._book.all(waiting, build=built.key, build_s=built.seconds)
        how = f"built in {clock(built.seconds)}" if built.seconds else "from the cache"
        self._tell(f"{task.name}: {built.message if built.failed else f'{built.release}, {how}'}")

    # --- runs --------------------------------------------------------------------------------------------------------
    def _run(self, number: int) -> None:
        task, job = self._tasks[number], self._book.night.jobs[number]
        self._free[job.board] -= 1
        self._hands.told(number).unlink(missing_ok=True)
        now = books.now()
        self._book.job(number, state="running", started=now, run="", verdict="", reason="", tries=job.tries + 1)
        self._tell(f"{job.label}: started")
        left_s = self._left_s
        wait_s = self._plan.board_wait_s if left_s is None else max(0.0, min(self._plan.board_wait_s, left_s))
        control = self._known.known_good(job.board, besides=job.build)
        self._crew.start(number, partial(self._hands.run, number, task, wait_s=wait_s, control=control), self._on_ran)

    def _on_ran(self, number: int, trial: Trial | Exception) -> None:
        job = self._book.night.jobs[number]
        self._free[job.board] += 1
        if isinstance(trial, Exception):
            self._book.job(number, state="broken", reason=line(f"{type(trial).__name__}: {trial}"))
        elif trial.record and trial.folder and complete(trial.record):
            self._take(number, trial.record, trial.folder, trial.seconds)
        elif self._ending:
            self._book.job(number, state="left", reason=f"{self._ending} while it ran", seconds=round(trial.seconds, 1))
        else:
            self._no_verdict(number, trial)

    def _no_verdict(self, number: int, trial: Trial) -> None:
        """Take a run that somebody ended, or that was never begun."""
        said = next((word for word in reversed(trial.said) if word.strip(" =")), "")
        begun = "the run has no verdict" if trial.folder else "no run was begun"
        reason = line(f"{begun}: pytest ended with status {trial.status}: {said}")
        name = trial.folder.name if trial.folder else ""
        job = self._book.job(number, state="broken", reason=reason, run=name, seconds=round(trial.seconds, 1))
        self._tell(f"{job.label}: {reason}")
        if trial.folder:
            self._again(number, "no verdict")

    def _take(self, number: int, record: RunRecord, folder: Path, seconds: float) -> None:
        """Take a complete run, with what is new in it at once: killed before that, the next start finds it complete."""
        assert record.verdict is not None
        job, verdict = self._book.night.jobs[number], record.verdict.name
        broke = self._compared(job, folder)
        job = self._book.job(
            number, state="done", reason="", run=folder.name, verdict=str(verdict), seconds=round(seconds, 1),
            commit=record.commit or job.commit, build=record.build_key or job.build, **broke,
        )  # fmt: skip
        self._tell(f"{job.label}: {verdict}, {clock(seconds)}")
        for told in job.regressions if broke else ():
            self._tell(f"{job.label}: {told}")
        if verdict is VerdictName.BUILD:  # none of its kin can come to another verdict
            kin, reason = self._kin(number, "waiting"), f"not built, see {job.label}"
            self._book.all(kin, state="done", run=job.run, verdict=job.verdict, reason=reason)
        if why := self._standing.judge(job.board, record):
            self._out(job.board, line(why))
        if verdict in SPOILT:
            self._again(number, f"{verdict} in {folder.name}")

    def _compared(self, job: Job, folder: Path) -> dict[str, Any]:
        """Return what broke in the run in *folder*; nothing where that cannot be said: then an earlier one counts."""
        found = self._known.compared(folder)
        if found is None or found.silent:
            return {}
        found = as_news(found, began=moment.seconds(self._book.night.started) or 0, told=job.told)
        good = found.against.commit if found.against and found.regressions else ""
        return {"regressions": memory.regressions(found), "good": good}

    def _again(self, number: int, why: str) -> None:
        """Run a job again that the bench spoilt, if its board is in and the plan allows it."""
        job = self._book.night.jobs[number]
        if job.tries <= self._plan.repeat and job.board not in self._book.night.boards_out and not self._ending:
            self._book.job(number, state="waiting", reason=f"again: {why}")

    def _out(self, board: str, why: str) -> None:
        self._book.know(boards_out={**self._book.night.boards_out, board: why})
        self._leave_out()
        self._tell(f"{board}: taken out: {why}")

    def _leave_out(self) -> None:
        """Give up the jobs of boards that are out."""
        out = self._book.night.boards_out
        jobs = [(number, job) for number, job in self._jobs("waiting", "building") if job.board in out]
        self._book.jobs({number: {"state": "out", "reason": out[job.board]} for number, job in jobs})

    # --- bisections --------------------------------------------------------------------------------------------------
    def _bisect(self) -> None:
        """Look for the commits that broke something, one bisection after the other, until the budget ends."""
        if self._plan.on_regression != "bisect":
            return
        for number in list(bisections.due(self._book.night.jobs, self._tasks, self._book.night.boards_out)):
            if self._ending:
                return
            job, task = self._book.night.jobs[number], self._tasks[number]
            self._tell(f"{job.label}: bisecting {job.good[:12]}..{job.commit[:12]}")
            words = bisections.words(job, task, self._plan.pytest, lab=self._hands.lab, runs=self._hands.runs)
            self._crew.start(number, partial(self._hands.bisect, number, words), self._on_bisected)
            self._work()

    def _on_bisected(self, number: int, status: int | Exception) -> None:
        name = bisections.folder(self._hands.runs, self._book.night.jobs[number])
        job = self._book.job(number, bisection=name)
        said = {0: "the commit is found", 1: "some commits are left"}.get(status if isinstance(status, int) else 2)
        self._tell(f"{job.label}: bisection {name}: {said or f'no answer ({status})'}")

    # --- first, meanwhile and last -----------------------------------------------------------------------------------
    def _recover(self) -> None:
        """Look at what ran when the night before this start was killed: a run that came to its end counts."""
        for number, job in self._jobs("running"):
            folder = child.folder(self._hands.told(number))
            record = child.record(folder) if folder else None
            if folder and record and complete(record):
                self._take(number, record, folder, job.seconds)
            else:
                self._book.job(number, state="waiting", run="", verdict="", reason="again: it was killed")
        self._leave_out()

    def _look(self) -> None:
        """Take note of the folders of runs that have begun, and end everything when the budget is over."""
        told = [
            (number, child.folder(self._hands.told(number))) for number, job in self._jobs("running") if not job.run
        ]
        self._book.jobs({number: {"run": there.name} for number, there in told if there})
        if self._left_s is not None and self._left_s <= 0:
            self._end("the budget ended")

    def _stop(self, name: str) -> None:
        self._book.know(stopped=name)
        self._end(f"stopped by {name}")

    def _end(self, why: str) -> None:
        """Begin no more, and tell what runs to end."""
        if not self._ending:
            self._ending = why
            self._tell(f"{why}: {len(self._crew)} at work are told to end")
            self._crew.end()

    def _close(self) -> None:
        rest = [number for number, job in self._jobs() if not job.complete and job.state != "left"]
        self._book.all(rest, state="left", reason=self._ending or "its turn did not come")
        self._book.know(finished=books.now())


def complete(record: RunRecord) -> bool:
    """Tell whether a run came to its own end."""
    return bool(record.finished and record.verdict) and not record.interrupted


def clock(seconds: float) -> str:
    """Return e.g. ``45 s``, ``12 min`` or ``2 h 05 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"
