"""How many builds it takes to find one of 1,000 commits, with lab faults and unbuildable commits in between.

Whole campaigns are played through the pure core that `pi64 bisect` runs on, against histories with merges that are made
up from a seed. A wrong culprit is an answer that the commit which broke it is not among. No board, no build; with
`--real` one on a virtual board as well, over 32 commits of a real kernel.

Not called `bisect.py`: a module of Python's own has that name, and every program here would find this one instead.
"""

import argparse
import math
import random
import statistics
from collections.abc import Iterator

import _bisection_real
import attrs
from _common import Figure, main, say

from harness.nightly.bisection import plan
from harness.nightly.bisection.graph import Commit, Graph
from harness.nightly.bisection.plan import Ask, Done, Out, Without
from harness.nightly.bisection.state import Answer, Question, Revert, State
from harness.nightly.bisection.votes import Said

COMMITS = 1000
LAB, UNBUILDABLE = 0.05, 0.10
RUN = 4.0
"""Mean length of a row of unbuildable commits: who breaks the build repairs it some commits later."""
SIDE = 12
"""Longest side branch."""


@attrs.frozen
class Cost:
    """What one campaign came to."""

    wrong: bool
    among: int
    """Commits in the answer."""
    tried: int
    """Commits built or tried to be, good, bad and the revert included."""
    runs: int
    lab: int
    """Runs that the bench spoilt."""
    outs: int
    """Times the board was out, and somebody had it seen to."""


def figures() -> Iterator[Figure]:
    """Play all campaigns."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--campaigns", type=int, default=1000, metavar="N", help="default: %(default)s")
    parser.add_argument("--commits", type=int, default=COMMITS, metavar="N", help="default: %(default)s")
    parser.add_argument("--real", action="store_true", help="bisect a real kernel too: half an hour on two idle cores")
    args = parser.parse_args()
    least = math.log2(args.commits)
    for lab, unbuildable, name in ((0.0, 0.0, "clean"), (LAB, UNBUILDABLE, "faults")):
        costs = [campaign(seed, args.commits, lab=lab, unbuildable=unbuildable) for seed in range(args.campaigns)]
        search = [cost.tried - 3 for cost in costs]  # good, bad and the revert are not part of the search
        spoilt, outs = sum(cost.lab for cost in costs), sum(cost.outs for cost in costs)
        say(f"{name}: {spoilt} runs spoilt by the bench, {outs} times the board was out")
        yield Figure(f"bisect.{name}.wrong_culprits", sum(cost.wrong for cost in costs), "", 0)
        yield Figure(f"bisect.{name}.log2", least, "")
        yield Figure(f"bisect.{name}.builds.mean", statistics.mean(search), "")
        yield Figure(f"bisect.{name}.builds.over_log2", statistics.mean(search) / least, "")
        yield Figure(f"bisect.{name}.builds.worst", max(search), "")
        yield Figure(f"bisect.{name}.runs.mean", statistics.mean(cost.runs for cost in costs), "")
        single = 100 * sum(cost.among == 1 for cost in costs) / len(costs)
        yield Figure(f"bisect.{name}.one_commit", single, "%")
        yield Figure(f"bisect.{name}.answer.mean", statistics.mean(cost.among for cost in costs), "")
    if args.real:
        yield from _bisection_real.figures()


def campaign(seed: int, commits: int, *, lab: float, unbuildable: float) -> Cost:
    """Play one campaign through to its end."""
    chance = random.Random(seed)
    graph = history(chance, commits)
    shas = list(graph.commits)
    culprit = chance.choice(shas)
    bad = {sha for sha in shas if _behind(graph, culprit, sha)}
    broken = _rows(chance, shas[:-1], unbuildable)
    state = State("simulated", "", Question("simulated", ("good",), shas[-1]))
    outs = 0
    while not isinstance(step := plan.following(state, graph), Done):
        match step:
            case Ask(sha):
                vote: Said = "skip" if sha in broken else "bad" if sha in bad else "good"
                answer = Answer(len(state.answers) + 1, sha, step.role, vote, "")
                if chance.random() < lab:
                    answer = attrs.evolve(answer, vote="again", bench=True)
                state = attrs.evolve(state, answers=(*state.answers, answer))
            case Without(sha):
                state = attrs.evolve(state, revert=Revert(sha, "reverted"))
            case Out():
                outs += 1
                state = attrs.evolve(state, forgiven=len(state.answers))
            case _:
                raise AssertionError(step)
    found, said = step.among.shas, state.answers
    spoilt = sum(answer.vote == "again" for answer in said)
    return Cost(culprit not in found, len(found), len({answer.sha for answer in said}), len(said), spoilt, outs)


def history(chance: random.Random, count: int) -> Graph:
    """Return a line of *count* commits from which side branches leave, of up to SIDE commits, and come back."""
    commits: list[Commit] = []
    tip: tuple[str, ...] = ()
    while len(commits) < count:
        if tip and len(commits) + SIDE + 3 < count and chance.random() < 0.1:
            sides = [_branch(chance, commits, tip) for _ in range(2)]
            tip = tuple(sides)
        commits.append(Commit(f"c{len(commits)}", tip))
        tip = (commits[-1].sha,)
    return Graph.of(commits)


def _branch(chance: random.Random, commits: list[Commit], fork: tuple[str, ...]) -> str:
    tip = fork
    for _ in range(chance.randint(1, SIDE // 2)):
        commits.append(Commit(f"c{len(commits)}", tip))
        tip = (commits[-1].sha,)
    return tip[0]


def _behind(graph: Graph, older: str, newer: str) -> bool:
    return older in graph.behind(newer, graph.commits)


def _rows(chance: random.Random, shas: list[str], share: float) -> set[str]:
    """Return a *share* of *shas*, half of them alone and half of them in rows."""
    broken: set[str] = set()
    while len(broken) < share * len(shas):
        at = chance.randrange(len(shas))
        length = 1 if chance.random() < 0.5 else 1 + int(chance.expovariate(1 / RUN))
        broken.update(shas[at : at + length])
    return broken


if __name__ == "__main__":
    main(figures())
