"""Run the plan of lab.yaml: every branch in every configuration on every board, as boards become free.

What has not changed since its last complete run is not run again. Started again after it was killed or stopped, it goes
on where it was. Status 1 when a kernel is at fault, 2 when the bench is or not all is known, else 0.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import attrs

from harness.cli._terminal import Progress
from harness.errors import UsageError
from harness.lab import config
from harness.lab import plan as plans
from harness.lab.config import Lab
from harness.lab.plan import Plan
from harness.nightly import db
from harness.nightly.morning import publish
from harness.nightly.night import book as books
from harness.nightly.night import past, schedule, state, tell
from harness.nightly.night.agenda import Agenda, Drafter
from harness.nightly.night.book import Book
from harness.nightly.night.hands import Hands
from harness.nightly.night.memory import Memory
from harness.nightly.night.runner import Runner
from harness.report.redact import printable

HINT = "add a `nightly:` section: branches, boards, configurations; docs/nightly.md has one"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--dry-run", action="store_true", help="print what would be done and when; do nothing")
    parser.add_argument(
        "--budget", metavar="TIME", help="begin nothing that would not end within: 8h, 90m (the plan's)"
    )
    parser.add_argument("--again", action="store_true", help="run what has not changed as well")
    parser.add_argument("--go-on", action="store_true", help="only go on with a night that was killed or stopped")
    parser.add_argument("--branch", action="append", default=[], metavar="NAME", help="of the plan; may be repeated")
    parser.add_argument("--board", action="append", default=[], metavar="NAME", help="of the plan; may be repeated")
    parser.add_argument("--board-wait", metavar="TIME", help="how long to wait for a board that is in use (the plan's)")
    parser.add_argument("--lg-env", metavar="FILE", type=Path, default=Path("lab.yaml"), help="another lab.yaml")
    parser.add_argument("--runs", metavar="DIR", type=Path, default=Path("runs"), help="records (default: %(default)s)")
    parser.add_argument("--history", metavar="FILE", type=Path, help=f"history (default: {db.NAME} in --runs)")


def run(args: argparse.Namespace) -> int:
    """Run a night, or tell what it would be."""
    lab, runs = config.load(args.lg_env), args.runs.absolute()
    known = Memory((args.history or runs / db.NAME).absolute(), runs, _say)
    start = _Start(lab, _plan(args, lab), known, again=args.again)
    if args.dry_run:
        return _foretold(start)
    with books.locked(start.nights, _say) as lock:
        known.catch_up()
        before = start.before()
        if args.go_on and not before:
            _say("there is no night to go on with")
            return 0
        return _night(start, before, lock)


def _plan(args: argparse.Namespace, lab: Lab) -> Plan:
    if lab.nightly is None:
        raise UsageError(f"{lab.path}: no plan for a night", hint=HINT)
    plan = lab.nightly.only(branches=tuple(args.branch), boards=tuple(args.board))
    if not any(plan.jobs()):
        raise UsageError("nothing of the plan is left to be run", hint="see --branch, --board, and its `without`")
    return attrs.evolve(
        plan,
        budget_s=plans.duration(args.budget) if args.budget else plan.budget_s,
        board_wait_s=plans.duration(args.board_wait) if args.board_wait else plan.board_wait_s,
    )


@attrs.frozen
class _Start:
    """What a night begins with."""

    lab: Lab
    plan: Plan
    known: Memory
    again: bool

    @property
    def nights(self) -> Path:
        """Where nights lie."""
        return self.known.runs / state.FOLDER

    def before(self) -> state.Night | None:
        """Return the night that is to be gone on with, if there is one."""
        labels = [wanted.label for wanted in self.plan.jobs()]
        return books.unfinished(self.nights, labels, budget_s=self.plan.budget_s)

    def agenda(self, before: state.Night | None) -> Agenda:
        """Return what there is to do; a person sees meanwhile what is looked at."""
        earlier, progress = past.read(self.nights, besides=before.name if before else ""), Progress()
        taken_up = {past.label(job): books.taken_up(job, again=self.again) for job in before.jobs} if before else None
        drafter = Drafter(
            self.plan, self.lab, earlier, self.known.usual_s, Path.cwd(), again=self.again, progress=progress
        )
        try:
            return drafter.draw_up(taken_up)
        finally:
            progress.clear()


def _foretold(start: _Start) -> int:
    plan, agenda = start.plan, start.agenda(start.before())
    works = [task.work(number) for number, task in enumerate(agenda.tasks) if _due(agenda.jobs[number])]
    builds = {work.build: agenda.tasks[work.job].build_s for work in works}
    boards = {board.name: board.count for board in plan.boards}
    order = schedule.order(works, builds, boards, budget_s=plan.budget_s)
    expected = schedule.forecast(works, order, builds, boards)
    print("\n".join(tell.plan(agenda, expected, budget_s=plan.budget_s)))
    return 0


def _due(job: state.Job) -> bool:
    return job.state in {"waiting", "running"}


def _night(start: _Start, before: state.Night | None, lock: int) -> int:
    agenda, runs, history = start.agenda(before), start.known.runs, start.known.history
    book = _book(start, before, agenda)
    hands = Hands(start.lab.path.absolute(), runs, Path.cwd(), book.path, start.plan.pytest, (lock,))
    with publish.live(runs, book.night.name, history=history):
        Runner(start.plan, agenda.tasks, book, hands, start.known, tell=_say).go()
    print("\n".join(["", *tell.night(book.night)]), flush=True)
    _publish(runs, book.night, history, start.plan)
    return tell.status(book.night)


def _book(start: _Start, before: state.Night | None, agenda: Agenda) -> Book:
    budget_s = start.plan.budget_s
    if before:
        _say(f"going on with the night {before.name}")
        return books.go_on(start.nights, before, agenda.jobs, budget_s=budget_s, tell=_say)
    books.close(start.nights, "the next night was begun without it")
    book = books.begin(start.nights, agenda.jobs, budget_s=budget_s, tell=_say)
    _say(f"{len(agenda.jobs)} jobs: {os.path.relpath(book.path)}")
    return book


def _publish(runs: Path, night: state.Night, history: Path, plan: Plan) -> None:
    """Write the night's page, and mail its summary, but not of one that was stopped: the next start goes on with it."""
    made = publish.publish(runs, night, history=history, mail=None if night.stopped else plan.mail)
    for line in [f"page: {os.path.relpath(made.page)}" if made.page else "", *made.problems]:
        if line:
            _say(line)


def _say(line: str) -> None:
    """Say one line, with the time: a night's log is read by day."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {printable(line)}\n")
    sys.stdout.flush()
