"""What a bisection does next: a history and the answers so far in, the next commit to ask or the end out. Pure.

Good is verified first and then bad, for a wrong one of the two would lead anywhere; then where they parted; then the
search; at last bad without the culprit.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import attrs

from harness.nightly.bisection import search
from harness.nightly.bisection.graph import Graph
from harness.nightly.bisection.search import Among, Vote
from harness.nightly.bisection.state import Answer, Role, State
from harness.nightly.bisection.votes import TRIES, Known

Standing = Vote | Literal["out"] | None
"""What is known of a commit; ``out``: the board cannot be asked any more."""


@attrs.frozen
class Ask:
    """Run this commit."""

    sha: str
    role: Role
    left: int
    """Commits of which one is the culprit."""
    steps: int
    """Commits that will have to be tried, this one included, if none is skipped."""


@attrs.frozen
class Without:
    """Make bad without the culprit."""

    culprit: str


@attrs.frozen
class Refused:
    """Good is not good, or bad not bad: nothing can be found between them."""

    answer: Answer
    why: str
    hint: str = ""


@attrs.frozen
class Out:
    """The board says nothing any more; the bisection can go on when somebody has seen to it."""

    answer: Answer


@attrs.frozen
class Done:
    """The answer."""

    among: Among


Step = Ask | Without | Refused | Out | Done


def following(state: State, graph: Graph) -> Step:
    """Return what comes next."""
    for check in (*_ends(state), *_bases(state)):
        if step := _verified(state, graph, *check):
            return step
    votes = _votes(state, graph)
    found = search.look(graph, votes)
    if isinstance(found, search.Try):
        if standing(state, found.sha) == "out":
            return Out(last(state, found.sha))
        return Ask(found.sha, "try", found.left, found.steps)
    return _after(state, found)


def standing(state: State, sha: str, *, every: bool = False) -> Standing:
    """Return what the answers say about *sha*; with *every*, a bad one too is asked as often as a good one."""
    boots = state.question.boots
    said = of(state, sha)
    votes = [answer.vote for answer in said]
    if "skip" in votes:
        return "skip"
    if "bad" in votes and (not every or votes.count("bad") + votes.count("good") >= boots):
        return "bad"
    if "bad" not in votes and votes.count("good") >= boots:
        return "good"
    nothing = [answer for answer in said if answer.vote == "again" and answer.number > state.forgiven]
    if len(nothing) < TRIES:
        return None
    return "out" if nothing[-1].bench else "skip"


def of(state: State, sha: str) -> list[Answer]:
    """Return the answers about *sha*."""
    return [answer for answer in state.answers if answer.sha == sha]


def last(state: State, sha: str) -> Answer:
    """Return the last of them."""
    return of(state, sha)[-1]


def known(state: State, sha: str) -> Known:
    """Return what is known before *sha* is asked once more."""
    ends = (state.question.bad, *state.question.goods)
    good = [said for answer in state.answers if answer.role == "good" for said in answer.symptoms]
    bad = [said for answer in of(state, ends[0]) if answer.vote == "bad" for said in answer.marks]
    before = [said for answer in of(state, sha) if answer.vote == "again" for said in answer.marks]
    return Known(frozenset(good), frozenset(() if sha in ends else bad), frozenset(before))


def good_votes(state: State, graph: Graph) -> list[str]:
    """Return the commits of the search that were voted good."""
    return [sha for sha, vote in _votes(state, graph).items() if vote == "good"]


# --- good and bad, verified ------------------------------------------------------------------------------------------
def _ends(state: State) -> Iterator[tuple[str, Role, str, str]]:
    """Yield each commit that is said to be so and so: its role, the vote that it must have, the hint if it has not."""
    symptom = state.question.symptom
    for sha in state.question.goods:
        yield sha, "good", "good", "name an older commit with --good; the bench may have changed as well"
    hint = "name a worse commit with --bad, or another symptom; one that does not show every time needs --boots N"
    yield state.question.bad, "bad", "bad", hint if symptom.kind == "verdict" else f"{hint}; asked for was: {symptom}"


def _bases(state: State) -> Iterator[tuple[str, Role, str, str]]:
    for sha in state.bases:
        yield sha, "base", "good", "the symptom is older than both, and good has the repair: bisect for that one"


def _verified(state: State, graph: Graph, sha: str, role: Role, must: str, hint: str) -> Step | None:
    """Return what is to be done about a commit that must have a vote; None when it has it."""
    seen = standing(state, sha, every=role == "bad")
    if seen == must or (role == "base" and seen == "skip"):
        return None
    left = len(graph.commits)
    if seen is None:
        return Ask(sha, role, left, max(left - 1, 0).bit_length())
    if seen == "out":
        return Out(last(state, sha))
    cannot = "cannot be asked" if seen == "skip" else f"is {seen}"
    name = {
        "good": "the commit given as good",
        "bad": "the commit given as bad",
        "base": "the commit where they parted",
    }
    return Refused(_telling(of(state, sha), seen), f"{name[role]} {cannot}", hint)


def _telling(answers: Sequence[Answer], vote: str) -> Answer:
    return next((answer for answer in answers if answer.vote == vote), answers[-1])


# --- the search and what follows --------------------------------------------------------------------------------------
def _votes(state: State, graph: Graph) -> dict[str, Vote]:
    """Return the votes of commits between good and bad, in the order in which they were first asked."""
    votes: dict[str, Vote] = {state.question.bad: "bad"}
    for answer in state.answers:
        if answer.role == "try" and answer.sha in graph.commits and answer.sha not in votes:
            seen = standing(state, answer.sha)
            if seen is not None and seen != "out":
                votes[answer.sha] = seen
    return votes


def _after(state: State, found: Among) -> Step:
    """Return what is left to do with the answer in hand."""
    if len(found.shas) > 1:
        return Done(found)
    if state.revert is None:
        return Without(found.shas[0])
    if not state.revert.sha:
        return Done(found)
    seen = standing(state, state.revert.sha)
    if seen is None:
        return Ask(state.revert.sha, "revert", 1, 1)
    return Out(last(state, state.revert.sha)) if seen == "out" else Done(found)
