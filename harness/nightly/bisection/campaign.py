"""A bisection on a board: asks one commit after the other, and has everything on disk before it goes on.

Each run is a pytest in a process of its own, as a user would start it. Killed at any point, a bisection goes on where
it was: a run that had ended is not repeated.
"""

import datetime
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs

from harness import host
from harness.build import store
from harness.errors import LabError, UsageError
from harness.lab import child, choices, config
from harness.lab import folder as folders
from harness.lab.child import Child
from harness.nightly import trial
from harness.nightly.bisection import ending, git, places, plan, tell, votes
from harness.nightly.bisection.git import History
from harness.nightly.bisection.places import Bench
from harness.nightly.bisection.plan import Ask, Done, Out, Refused, Step
from harness.nightly.bisection.state import FILE, Answer, Question, Revert, State, to_json
from harness.nightly.bisection.votes import Judged, Symptom
from harness.nightly.trial import Trial
from harness.report.record import RunRecord
from harness.report.redact import HIDDEN, without_credentials

TESTS = ("tests_hw",)
WAIT_S = 3600.0
"""How long a run waits for a board that somebody else has; none of it speaks against the board."""


@attrs.frozen
class Wanted:
    """What is asked, in the words of whoever asks."""

    board: str
    good: tuple[str, ...]
    """Branches, tags or commits."""
    bad: str
    symptom: Symptom = Symptom()
    boots: int = 1
    source: str | None = None
    """A git repository other than the target's own."""
    args: tuple[str, ...] = TESTS


@attrs.frozen
class Outcome:
    """How it ended."""

    state: State
    folder: Path
    end: Step | None
    """Done, Refused or Out; None when a signal ended it."""
    lines: tuple[str, ...]
    """For people."""
    signal: int = 0


def start(
    wanted: Wanted,
    bench: Bench,
    *,
    say: Callable[[str], object],
    progress: host.Progress = host.silent,
    begun: Callable[[Child], object] = lambda _: None,
) -> Outcome:
    """Bisect, from where the same question was left if it has no answer yet.

    *say* gets a line a step, *progress* what goes on meanwhile, *begun* each process before it starts: whoever calls
    from another thread than the main one passes signals on to it. UsageError when nothing can be asked, LabError when
    the repository is out of reach or somebody else bisects the same.
    """
    where, source = _repository(wanted.board, wanted.source, bench, wanted.bad)
    history = git.read(where, wanted.good, wanted.bad, progress)
    question = Question(
        wanted.board, history.goods, history.bad, wanted.symptom, wanted.boots, source, tuple(wanted.args) or TESTS
    )
    place = places.same(question, bench) or folders.make(bench.bisections, wanted.board)
    known = places.read(place) if (place / FILE).exists() else None
    fresh = State(place.name, _now(), question, (*wanted.good, wanted.bad), without_credentials(where), history.bases)
    return _go(known or fresh, history, (where, wanted.source or ""), place, bench, _Voice(say, progress, begun))


def resume(
    name: str,
    bench: Bench,
    *,
    source: str | None = None,
    say: Callable[[str], object],
    progress: host.Progress = host.silent,
    begun: Callable[[Child], object] = lambda _: None,
) -> Outcome:
    """Go on with the bisection *name*, or with the newest that has not ended (``latest``)."""
    place = places.find(name, bench)
    state = places.read(place)
    question = state.question
    source = source or question.source
    if HIDDEN in source:
        raise UsageError(f"{source}: its password is not kept", hint="name the repository again: --kernel-source GIT")
    where, _ = _repository(question.board, source or None, bench, question.bad)
    history = git.read(where, question.goods, question.bad, progress)
    return _go(state, history, (where, source), place, bench, _Voice(say, progress, begun))


# --- what is asked ----------------------------------------------------------------------------------------------------
def _repository(board: str, source: str | None, bench: Bench, ref: str) -> tuple[str, str]:
    """Return where the git repository is, and how it was given if it is not the target's own."""
    given = config.load(bench.lab).target(board).kernel
    wanted = choices.kernel(given, source=source)
    if wanted.prebuilt:
        raise UsageError(
            f"{board}: its kernel is one that is built already", hint="name a git repository with --kernel-source"
        )
    name = ref if re.fullmatch(r"[\w./-]+", ref) else None  # HEAD~3 is resolved where the repository is on this host
    return git.repository(wanted.source, name).where, without_credentials(source or "")


# --- one bisection ----------------------------------------------------------------------------------------------------
@attrs.frozen
class _Voice:
    """Who is told."""

    say: Callable[[str], object]
    progress: host.Progress
    begun: Callable[[Child], object]


def _go(state: State, history: History, tree: tuple[str, str], place: Path, bench: Bench, voice: _Voice) -> Outcome:
    """Take the folder *place* and go on to the end; *tree*: where the repository is, and how it was given."""
    with places.alone(place) as lock:
        again = (place / FILE).exists()
        if again:
            state = _anew(places.read(place))
        campaign = _Campaign(state, history, *tree, place, bench, voice, lock.fileno())
        for line in tell.begun(state, history.commits, len(history.graph.commits), again=again):
            voice.say(line)
        return campaign.run()


def _anew(state: State) -> State:
    """Return *state* as it goes on: what said nothing is forgiven, and an answer of several commits is open again."""
    known = state.first_bad if len(state.first_bad) == 1 else ()
    return attrs.evolve(state, stopped="", finished="", first_bad=known, forgiven=len(state.answers))


@attrs.define
class _Campaign:
    """A bisection that goes on."""

    state: State
    history: History
    where: str
    source: str
    """What pytest is given for it; it may hold a password, which stands in no file."""
    folder: Path
    bench: Bench
    voice: _Voice
    lock: int
    signal: int = 0
    known_good: str = ""

    def run(self) -> Outcome:
        """Go from step to step to the end."""
        self._know()
        while True:
            step = plan.following(self.state, self.history.graph)
            match step:
                case Ask():
                    self._ask(step)
                    if self.signal:
                        return self._ended(None)
                case plan.Without(culprit):
                    self.voice.progress("revert: on top of bad")
                    self._know(revert=self._without(culprit), first_bad=(culprit,))
                case _:
                    return self._ended(step)

    def _without(self, culprit: str) -> Revert:
        try:
            return git.without(self.where, self.history.graph.commits[culprit], self.state.question.bad)
        except LabError as error:  # the repository is out of reach: the answer is worth telling without it
            return Revert(culprit, why=error.message)

    def _ask(self, step: Ask) -> None:
        number = len(self.state.answers) + 1
        self.voice.say(tell.asking(self.state, step, self.history.commits))
        done = self._left_behind(step, number) or self._trial(step, number)
        answer = self._answer(step, number, done)
        self.signal = done.ended
        if self.signal and answer.vote == "again":  # we ended it: it had no chance to say anything
            return
        self.voice.say(tell.answered(answer))
        self._know(answers=(*self.state.answers, answer))
        with suppress(OSError):
            self._told(number).unlink(missing_ok=True)

    def _trial(self, step: Ask, number: int) -> Trial:
        with (self.folder / f"trial-{number}.log").open("w", encoding="utf-8", errors="replace") as log:

            def tell_line(line: str) -> None:
                if not log.closed:  # a process that the run has left behind may still talk
                    log.write(f"{line}\n")
                    log.flush()
                self.voice.progress(f"run: {line}")

            return trial.run_once(
                self.state.question.board,
                self._arguments(step),
                folder=self.bench.folder,
                tell=tell_line,
                told=self._told(number),
                keep=(self.lock,),
                begun=self.voice.begun,
            )

    def _arguments(self, step: Ask) -> list[str]:
        """Return what pytest is given: a known-good kernel too, for a bad one may be mute as a broken bench is."""
        question = self.state.question
        given = any(word.partition("=")[0] == "--known-good" for word in question.args)
        known = self._known_good() if step.role not in {"good", "base"} and not given else ""
        words = [*question.args, "--lg-env", str(self.bench.lab), "--runs", str(self.folder / "runs")]
        words += ["--source", self.source] if self.source else []
        if not any(word.startswith("--board-wait") for word in question.args):
            words += ["--board-wait", f"{WAIT_S:.0f}"]
        return [*words, *(["--known-good", known] if known else []), "--ref", step.sha]

    def _known_good(self) -> str:
        """Return the key of the good commit's kernel if the cache has it; it stays there as long as we live."""
        if not self.known_good:
            for said in self.state.answers:
                if said.vote == "good" and said.key and said.role in {"good", "base"}:
                    with suppress(UsageError):
                        self.known_good = store.known(said.key).key
        return self.known_good

    def _left_behind(self, step: Ask, number: int) -> Trial | None:
        """Return the run that had answered when we were killed, before that was written down."""
        there = child.folder(self._told(number))
        record = child.record(there) if there else None
        if record is None or record.commit != step.sha or not record.finished:
            return None
        if votes.judge(self.state.question.symptom, record, plan.known(self.state, step.sha)).vote == "again":
            return None
        return Trial(record, there, 0, _seconds(record))

    def _answer(self, step: Ask, number: int, done: Trial) -> Answer:
        record = done.record
        known = plan.known(self.state, step.sha)
        if record and step.role == "good":  # whatever it does wrong is what a good one may do
            known = attrs.evolve(known, usual=known.usual | votes.symptoms(record))
        judged = votes.judge(self.state.question.symptom, record, known)
        if judged.vote != "again" and record and record.commit != step.sha:
            judged = Judged("again", f"the run was of another kernel: {record.source}", bench=True)
        found = judged.finding
        boots = record.boots if record else ()
        after = [boot.first_line - 1 for boot in boots if found and boot.first_line > found.first_line]
        return Answer(
            number=number,
            sha=step.sha,
            role=step.role,
            vote=judged.vote,
            reason=judged.reason,
            evidence=judged.evidence if record else done.said[-8:],
            bench=judged.bench,
            verdict=record.verdict.name if record and record.verdict else "",
            run=done.folder.name if done.folder else "",
            seconds=round(done.seconds, 1),
            build_seconds=record.build_seconds if record else 0.0,
            boots=len(boots),
            key=record.build_key if record else "",
            first_line=found.first_line if found else 0,
            last_line=found.last_line if found else 0,
            end_line=min(after, default=0),
            symptoms=tuple(sorted(votes.symptoms(record))) if record else (),
            marks=tuple(sorted(votes.marks(record))) if record else (),
        )

    def _told(self, number: int) -> Path:
        return self.folder / f"trial-{number}.told"

    # --- the end ------------------------------------------------------------------------------------------------------
    def _ended(self, step: Step | None) -> Outcome:
        match step:
            case Done(among):
                revert = self.state.revert
                seen = plan.standing(self.state, revert.sha) if revert and revert.sha else None
                confirmed = {"good": True, "bad": False}.get(str(seen))
                self._know(first_bad=among.shas, confirmed=confirmed, finished=_now())
            case Refused():
                self._know(stopped=f"{step.why}: {step.answer.reason}", finished=_now())
            case Out():
                board, why = self.state.question.board, step.answer.reason
                self._know(stopped=f"{board} is out: {votes.TRIES} runs of one commit said nothing: {why}")
            case _:
                self._know(stopped="ended by a signal")
        return Outcome(
            self.state,
            self.folder,
            step,
            tuple(ending.leave(self.state, self.history, step, self.folder, self.bench)),
            self.signal,
        )

    def _know(self, **facts: Any) -> None:
        """Write down what is known now, before anything else is done."""
        self.state = attrs.evolve(self.state, **facts)
        host.write_atomic(self.folder / FILE, to_json(self.state).encode())
        host.write_atomic(self.folder / ending.LOG, tell.git_log(self.state, self.history.commits).encode())


def _seconds(record: RunRecord) -> float:
    began, ended = map(datetime.datetime.fromisoformat, (record.started, record.finished))
    return (ended - began).total_seconds()


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
