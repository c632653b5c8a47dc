"""A night in words: what it would do, and what came of it. For a terminal, a log or a mail; pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from harness.model import VerdictName
from harness.nightly.night.agenda import BUILD_S, RUN_S, Agenda
from harness.nightly.night.runner import clock
from harness.nightly.night.schedule import Forecast
from harness.nightly.night.state import Job, Night
from harness.report.redact import printable

BROKE = (VerdictName.KERNEL, VerdictName.DEPLOY, VerdictName.BUILD)
WIDTH = 200  # characters of a line
WORDS: Mapping[str, str] = {"left": "left", "out": "board out", "broken": "no run"}
"""What stands in the table for a job that has no verdict."""


# --- before ----------------------------------------------------------------------------------------------------------
def plan(agenda: Agenda, expected: Forecast, *, budget_s: float | None) -> list[str]:
    """Return what a night would do, and when."""
    return [_line(line) for line in _plan(agenda, expected, budget_s)]


def _plan(agenda: Agenda, expected: Forecast, budget_s: float | None) -> Iterator[str]:
    jobs = agenda.jobs
    for word, what in (("unchanged", "not run, unchanged"), ("broken", "cannot be run")):
        some = [job for job in jobs if job.state == word]
        yield from _headed(f"{what}:", (f"{job.label}: {job.reason}" for job in some))
    yield from _headed("kernels:", _kernels(agenda, expected))
    late = [slot for slot in expected.slots if budget_s is not None and slot.end_s > budget_s]
    yield from _headed(
        "runs (from, to, usual):",
        (
            f"{span(slot.start_s)} {span(slot.end_s)} {_usual(jobs[slot.work.job]):>9}  {jobs[slot.work.job].label}"
            f"{'  beyond the budget' if slot in late else ''}"
            for slot in expected.slots
        ),
    )
    guessed = [job for job in (jobs[slot.work.job] for slot in expected.slots) if job.usual_s is None]
    if guessed:
        yield f"{len(guessed)} runs are not known to the history: taken as {clock(RUN_S)}, a build as {clock(BUILD_S)}"
    total = f"{clock(expected.seconds)} for {len(expected.slots)} runs of {len(jobs)}"
    yield total if budget_s is None else f"{total}; budget {clock(budget_s)}, {len(late)} would be left"


def _kernels(agenda: Agenda, expected: Forecast) -> Iterator[str]:
    begun = 0.0
    for build, done in expected.built.items():
        works = [slot.work for slot in expected.slots if slot.work.build == build]
        if not works:
            continue
        job, task = agenda.jobs[works[0].job], agenda.tasks[works[0].job]
        what = f"{job.branch}/{job.configuration}"
        boards = ", ".join(sorted({agenda.jobs[work.job].board for work in works}))
        yield f"{span(begun)} {span(done)} {clock(task.build_s):>9}  {what} {job.commit[:12]} for {boards}".replace(
            "  for", " for"
        )
        begun = done


def _usual(job: Job) -> str:
    return "?" if job.usual_s is None else clock(job.usual_s)


def span(seconds: float) -> str:
    """Return e.g. ``1:05:00``: hours, minutes and seconds from the beginning."""
    return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02}:{int(seconds) % 60:02}"


# --- after -----------------------------------------------------------------------------------------------------------
def night(found: Night) -> list[str]:
    """Return what came of a night: what broke first, then a table of verdicts, then what is not known."""
    return [_line(line) for line in _night(found)]


def _night(found: Night) -> Iterator[str]:
    jobs = found.jobs
    yield from _headed("broke, and was good before:", (
        each
        for job in jobs
        if job.regressions
        for each in (
            f"{job.label}, {job.run}",
            *(f"  {told}" for told in job.regressions),
            *([f"  bisection: {job.bisection}"] if job.bisection else []),
        )
    ))  # fmt: skip
    yield from table(jobs)
    yield from _headed("boards taken out:", (f"{board}: {why}" for board, why in found.boards_out.items()))
    for word, what in (("broken", "no run:"), ("left", "left:")):
        yield from _headed(what, (f"{job.label}: {job.reason}" for job in jobs if job.state == word))
    yield _sum(jobs)


def table(jobs: Sequence[Job]) -> Iterator[str]:
    """Yield the verdicts: a line for each branch and configuration, a column for each board."""
    boards = list(dict.fromkeys(job.board for job in jobs))
    rows = list(dict.fromkeys((job.branch, job.configuration) for job in jobs))
    cells = {(job.branch, job.configuration, job.board): _cell(job) for job in jobs}
    names = [f"{branch}/{configuration}" for branch, configuration in rows]
    first = max(map(len, names), default=0)
    widths = [max(len(board), *(len(cells.get((*row, board), "")) for row in rows)) for board in boards]
    yield "  ".join([" " * first, *(board.ljust(width) for board, width in zip(boards, widths, strict=True))]).rstrip()
    for name, row in zip(names, rows, strict=True):
        words = (cells.get((*row, board), "").ljust(width) for board, width in zip(boards, widths, strict=True))
        yield "  ".join([name.ljust(first), *words]).rstrip()


def _cell(job: Job) -> str:
    if job.state == "unchanged":
        return f"{job.verdict} as before"
    told = job.verdict or WORDS.get(job.state, job.state)
    return f"{told} NEW" if job.regressions else told


def _sum(jobs: Sequence[Job]) -> str:
    ran = [job for job in jobs if job.state == "done"]
    count = {word: sum(job.state == word for job in jobs) for word in ("unchanged", "left", "out", "broken")}
    rest = ", ".join(f"{number} {word}" for word, number in count.items() if number)
    good = sum(job.verdict == VerdictName.PASS for job in ran)
    passed = f", {good} of them PASS" if ran else ""
    return f"{len(jobs)} jobs: {len(ran)} ran{passed}{', ' if rest else ''}{rest}"


def status(found: Night) -> int:
    """Return the exit status: 1 when a kernel is at fault, 2 when not all is known, else 0."""
    if any(job.verdict in BROKE or job.regressions for job in found.jobs if job.state in {"done", "unchanged"}):
        return 1
    good = all(job.state in {"done", "unchanged"} and job.verdict == VerdictName.PASS for job in found.jobs)
    return 0 if good else 2


def _headed(head: str, lines: Iterable[str]) -> Iterator[str]:
    told = list(lines)
    if told:
        yield head
        yield from (f"  {line}" for line in told)


def _line(text: str) -> str:
    return printable(text.replace("\n", " "))[:WIDTH]
