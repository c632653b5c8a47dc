"""What is said of a bisection on a terminal, in the order in which it happens; and its log as git itself writes it."""

import shlex
from collections.abc import Iterator, Mapping, Sequence

from harness.nightly.bisection import confidence, plan
from harness.nightly.bisection.confidence import Seen
from harness.nightly.bisection.excerpts import Excerpt
from harness.nightly.bisection.graph import Commit
from harness.nightly.bisection.plan import Ask
from harness.nightly.bisection.state import Answer, State
from harness.report.redact import printable

Commits = Mapping[str, Commit]
SHORT = 12
WIDTH = 100  # characters of a console's line; the page has more
MARGIN = 1.2  # of the time that is left: some commit has to be skipped or asked again
FOR = {"good": "is it good?", "bad": "is it bad?", "base": "where they parted: is it good?", "try": "", "revert":
       "bad without the culprit: is it good?"}  # fmt: skip


def begun(state: State, commits: Commits, left: int, *, again: bool) -> Iterator[str]:
    """Say what is asked."""
    question = state.question
    steps = max(left - 1, 0).bit_length()
    word = "goes on" if again else "begins"
    yield f"bisection {state.name} {word}: {left} commits, about {_steps(steps)}, on {question.board}"
    for good in question.goods:
        yield f"  good: {named(good, commits)}"
    yield f"  bad:  {named(question.bad, commits)}"
    yield f"  a commit is bad when: {question.symptom}" + (
        f"; good when it is not so in {question.boots} runs" if question.boots > 1 else ""
    )
    if state.answers:
        yield f"  {len(state.answers)} runs are known from before"


def asking(state: State, step: Ask, commits: Commits) -> str:
    """Say which commit comes next, and how much is left."""
    number = len({answer.sha for answer in state.answers} | {step.sha})
    left = f"{step.left} commits left, about {_steps(step.steps)}{_time(state, step)}"
    what = FOR[step.role] or left
    if step.role in {"good", "bad"}:
        what += f" ({left})"
    again = len(plan.of(state, step.sha))
    return f"{number:>3}  {what}: {named(step.sha, commits)}" + (f", run {again + 1}" if again else "")


def answered(answer: Answer) -> str:
    """Say what the run said."""
    built = f"built in {_span(answer.build_seconds)}" if answer.build_seconds else "nothing to build"
    built = "not built" if answer.verdict == "BUILD" else built
    boots = f"{answer.boots} boot{'' if answer.boots == 1 else 's'}"
    said = {"again": "says nothing", "skip": "skipped"}.get(answer.vote, answer.vote)
    return f"     {said} after {_span(answer.seconds)} ({built}, {boots}): {answer.reason}"


def answer(state: State, commits: Commits) -> Iterator[str]:
    """Say which commit it was, and how sure that is."""
    if not state.first_bad:
        yield f"no answer: {state.stopped or 'it has not ended'}"
        return
    culprit = commits[state.first_bad[-1]]
    if state.first_bad[1:]:
        yield f"the first bad commit is one of {len(state.first_bad)}; those between could not be asked:"
        yield from (f"  {named(sha, commits)}" for sha in state.first_bad)
        return
    yield f"first bad commit: {culprit.sha}"
    yield f"  {culprit.subject}"
    yield f"  {culprit.author}, {culprit.date}"
    if culprit.parents[1:]:
        yield "  a merge: each side is good by itself, what does not go together was merged here"
    yield f"  {confirmation(state)}"


def confirmation(state: State) -> str:
    """Say what bad without the culprit was."""
    revert = state.revert
    if revert is None:
        return "not confirmed by a revert"
    if not revert.sha:
        return f"not confirmed by a revert: {revert.why}"
    what = "all that it merged" if revert.merge else "it"
    if state.confirmed is None:
        return (
            f"not confirmed: {plan.last(state, revert.sha).reason}" if plan.of(state, revert.sha) else "not confirmed"
        )
    told = {True: f"confirmed: bad becomes good when {what} is reverted",
            False: f"not the only one: bad stays bad when {what} is reverted"}  # fmt: skip
    return told[state.confirmed]


def certainty(state: State, goods: int) -> Iterator[str]:
    """Say how sure the answer is when a symptom does not show at every boot; nothing where each was asked once."""
    question = state.question
    votes = [said.vote for said in plan.of(state, question.bad) if said.vote in {"good", "bad"}]
    if question.boots == 1 or "bad" not in votes:
        return
    seen = Seen(votes.count("bad"), len(votes))
    yield f"the symptom showed in {seen.bad} of {seen.boots} runs of bad; each good commit passed {question.boots}"
    for rate, what in (
        (seen.rate, "at that rate"),
        (seen.least, f"at {_share(seen.least)}, the least it can be (95 %)"),
    ):
        missed, wrong = confidence.missed(rate, question.boots), confidence.wrong(rate, question.boots, goods)
        yield f"  {what}, a bad commit passes with probability {_share(missed)}, one of {goods} with {_share(wrong)}"
    rate = min(seen.rate, 1 - 1e-9)
    if confidence.wrong(rate, question.boots, goods) > confidence.RARE:
        yield f"  --boots {confidence.needed(rate, goods)} would make that less than {_share(confidence.RARE)}"


def steps(state: State, commits: Commits) -> Iterator[str]:
    """Yield a line for each run."""
    for said in state.answers:
        yield f"{said.number:>3}  {said.vote:<5}  {said.role:<6}  {named(said.sha, commits)}: {said.reason}"


def costs(state: State) -> str:
    """Say what it took."""
    built = [said.build_seconds for said in state.answers if said.build_seconds or said.verdict == "BUILD"]
    seconds, boots = sum(said.seconds for said in state.answers), sum(said.boots for said in state.answers)
    tried = len({said.sha for said in state.answers})
    runs = f"{len(state.answers)} runs of {tried} commits"
    return f"{runs}, {len(built)} builds ({_span(sum(built))}), {boots} boots, {_span(seconds)} in all"


def by_hand(state: State, log: str) -> Iterator[str]:
    """Yield the commands that repeat it without pi64's bisection."""
    question = state.question
    source = ["--source", question.source] if question.source else []
    words = [*question.args, "--board", question.board, *source]
    yield shlex.join(["git", "bisect", "replay", log]) + f"   # in a clone of {state.tree}"
    bad = [*state.first_bad[-1:], *([] if state.first_bad else [question.bad])][0]
    good = next((said.sha for said in reversed(state.answers) if said.vote == "good" and said.role != "revert"), "")
    for sha, what in ((good, "good"), (bad, "bad")):
        if sha:
            yield shlex.join(["pytest", *words, "--ref", sha]) + f"   # {what}"


def consoles(pair: Sequence[Excerpt | None]) -> Iterator[str]:
    """Yield the two excerpts, one below the other; a mark stands before each line of the symptom."""
    for excerpt in pair:
        if excerpt and excerpt.lines:
            yield f"console of the {excerpt.vote} one, {excerpt.sha[:SHORT]}:"
            for line in excerpt.lines:
                yield f"  {'>' if line.marked else ' '}{line.number:>6}  {printable(line.text)[:WIDTH]}"


def git_log(state: State, commits: Commits) -> str:
    """Return the log as ``git bisect log`` prints it: ``git bisect replay`` takes it."""
    lines, told = ["git bisect start"], set[str]()
    for said in state.answers:
        vote = plan.standing(state, said.sha)
        if said.role == "revert" or vote not in {"good", "bad", "skip"} or said.sha in told:
            continue
        told.add(said.sha)
        commit = commits.get(said.sha)
        subject = printable(commit.subject) if commit else ""
        lines += [f"# {vote}: [{said.sha}] {subject}", f"git bisect {vote} {said.sha}"]
    if len(state.first_bad) == 1:
        subject = printable(commits[state.first_bad[0]].subject)
        lines.append(f"# first bad commit: [{state.first_bad[0]}] {subject}")
    elif state.first_bad:
        lines.append("# only skipped commits left to test")
        lines += [f"# possible first bad commit: [{sha}] {printable(commits[sha].subject)}" for sha in state.first_bad]
    return "\n".join(lines) + "\n"


def named(sha: str, commits: Commits) -> str:
    """Return a commit's short name and its subject."""
    commit = commits.get(sha)
    return f"{sha[:SHORT]} ({commit.subject[:72]})" if commit else sha[:SHORT]


def _time(state: State, step: Ask) -> str:
    """Say how long the rest may take, by what it took so far."""
    spent = [said.seconds for said in state.answers if said.vote != "again"]
    if not spent or not step.steps:
        return ""
    return f", {_span(MARGIN * step.steps * state.question.boots * sum(spent) / len(spent))}"


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count} steps"


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _share(probability: float) -> str:
    return f"{100 * probability:.2g} %"
