"""Bisections played through without a board: what is verified, repeated, skipped, given up, and what flakes prove."""

from collections.abc import Callable

import attrs
import pytest

from harness.errors import UsageError
from harness.nightly.bisection import confidence, plan, tell
from harness.nightly.bisection.confidence import Seen
from harness.nightly.bisection.graph import Commit, Graph
from harness.nightly.bisection.plan import Ask, Done, Out, Refused, Step, Without
from harness.nightly.bisection.state import Answer, Question, Revert, State, from_json, to_json
from harness.nightly.bisection.votes import TRIES, Said

GRAPH = Graph.of(Commit(str(number), (str(number - 1),), f"commit {number}") for number in range(1, 33))
COMMITS = dict(GRAPH.commits)
STATE = State("one", "now", Question("pi", ("0",), "32"))
Kernel = Callable[[Ask, int], Said]
"""What the run of a commit says, and how many runs of it there were before."""


def kernel(ask: Ask, _: int) -> Said:
    """Number 20 broke it, and the revert mends it."""
    return "good" if ask.role == "revert" or int(ask.sha) < 20 else "bad"


def play(says: Kernel, state: State = STATE, graph: Graph = GRAPH) -> tuple[State, Step]:
    """Go on until there is nothing more to ask."""
    while True:
        match plan.following(state, graph):
            case Ask() as ask:
                said = says(ask, len(plan.of(state, ask.sha)))
                answer = Answer(len(state.answers) + 1, ask.sha, ask.role, said, "as it is", bench=said == "again")
                state = attrs.evolve(state, answers=(*state.answers, answer))
            case Without(sha):
                state = attrs.evolve(state, revert=Revert(sha, "1000"))
            case step:
                return state, step


def test_good_is_verified_first_then_bad_then_the_middle() -> None:
    state, step = play(kernel)
    assert isinstance(step, Done)
    assert step.among.shas == ("20",)
    assert [answer.role for answer in state.answers[:3]] == ["good", "bad", "try"]
    assert state.answers[-1].role == "revert"
    assert len(state.answers) == 1 + 1 + 5 + 1


@pytest.mark.parametrize(("role", "said", "word"), [("good", "bad", "good is bad"), ("bad", "good", "bad is good")])
def test_a_wrong_end_is_refused_with_its_evidence(role: str, said: Said, word: str) -> None:
    _, step = play(lambda ask, before: said if ask.role == role else kernel(ask, before))
    assert isinstance(step, Refused)
    assert word in step.why
    assert step.answer.vote == said


def test_what_the_bench_spoilt_is_repeated_and_changes_nothing() -> None:
    state, step = play(lambda ask, before: "again" if before < TRIES - 1 else kernel(ask, before))
    assert isinstance(step, Done)
    assert step.among.shas == ("20",)
    assert len(state.answers) == 8 * TRIES


def test_a_board_that_says_nothing_ever_is_out_and_asked_again_when_it_was_seen_to() -> None:
    state, step = play(lambda ask, before: "again" if ask.role == "try" else kernel(ask, before))
    assert isinstance(step, Out)
    state, step = play(kernel, attrs.evolve(state, forgiven=len(state.answers)))
    assert isinstance(step, Done)
    assert step.among.shas == ("20",)


def test_of_commits_that_cannot_be_asked_all_that_may_be_it_are_told() -> None:
    _, step = play(lambda ask, before: "skip" if ask.sha in {"18", "19"} else kernel(ask, before))
    assert isinstance(step, Done)
    assert step.among.shas == ("18", "19", "20")


def test_where_the_two_parted_must_be_good() -> None:
    state = attrs.evolve(STATE, bases=("-1",))
    _, step = play(lambda ask, before: "bad" if ask.role == "base" else kernel(ask, before), state)
    assert isinstance(step, Refused)
    assert "parted" in step.why
    _, step = play(lambda ask, before: "skip" if ask.role == "base" else kernel(ask, before), state)
    assert isinstance(step, Done)


def test_a_flaky_symptom_is_asked_for_n_times_and_one_is_enough() -> None:
    """It shows at each second run of a bad commit only."""
    flaky = attrs.evolve(STATE, question=attrs.evolve(STATE.question, boots=3))
    state, step = play(lambda ask, before: "good" if before % 2 == 0 else kernel(ask, before), flaky)
    assert isinstance(step, Done)
    assert step.among.shas == ("20",)
    assert len(plan.of(state, "32")) == 3, "bad is asked as often as a good one: that gives the rate"
    tried = {answer.sha: len(plan.of(state, answer.sha)) for answer in state.answers if answer.role == "try"}
    assert all(count == (2 if int(sha) >= 20 else 3) for sha, count in tried.items())
    told = list(tell.certainty(state, len(plan.good_votes(state, GRAPH))))
    assert "1 of 3 runs" in told[0]


def test_the_bound_on_a_rate_is_clopper_and_pearsons() -> None:
    assert Seen(5, 5).least == pytest.approx(0.05 ** (1 / 5), abs=1e-6)
    assert Seen(3, 10).least == pytest.approx(0.0873, abs=1e-4)
    assert Seen(1, 1).least == pytest.approx(0.05, abs=1e-6)


def test_so_many_boots_as_are_asked_for_are_enough() -> None:
    boots = confidence.needed(0.3, 5)
    assert confidence.wrong(0.3, boots, 5) < confidence.RARE <= confidence.wrong(0.3, boots - 1, 5)


def test_what_is_written_is_what_is_read() -> None:
    state, _ = play(kernel)
    assert from_json(to_json(state)) == state


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": 1}', '{"schema": "x"}', '{"schema": 99}', "[" * 99999])
def test_what_is_no_bisection_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"state of a bisection|schema 99"):
        from_json(text)
