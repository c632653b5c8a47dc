"""The search against brute force on histories of any shape, and against git's own on the number of steps."""

import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.nightly.bisection import search
from harness.nightly.bisection.graph import Commit, Graph
from harness.nightly.bisection.search import Among, Try, Vote


@st.composite
def histories(draw: st.DrawFn) -> Graph:
    """Commits with up to three parents each, all of them behind the last."""
    count = draw(st.integers(1, 24))
    commits = []
    for number in range(count):
        parents = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        commits.append(Commit(str(number), tuple(str(parent) for parent in sorted(parents))))
    behind = Graph.of(commits).behind(str(count - 1), {commit.sha for commit in commits})
    return Graph.of(commit for commit in commits if commit.sha in behind)


def ancestors(graph: Graph, sha: str) -> set[str]:
    """By definition, without bits and without a search."""
    parents = [parent for parent in graph.commits[sha].parents if parent in graph.commits]
    return {sha}.union(*(ancestors(graph, parent) for parent in parents))


def play(graph: Graph, culprit: str, skipped: set[str]) -> tuple[tuple[str, ...], dict[str, Vote]]:
    """Return the answer and the votes that led to it."""
    votes: dict[str, Vote] = {list(graph.commits)[-1]: "bad"}
    while isinstance(step := search.look(graph, votes), Try):
        assert step.sha not in votes
        bad = culprit in ancestors(graph, step.sha)
        votes[step.sha] = "skip" if step.sha in skipped else "bad" if bad else "good"
    return step.shas, votes


def consistent(graph: Graph, votes: dict[str, Vote]) -> set[str]:
    """Return all commits that may be the culprit, by what the votes mean."""
    return {
        sha
        for sha in graph.commits
        if all((sha in ancestors(graph, asked)) == (vote == "bad") for asked, vote in votes.items() if vote != "skip")
    }


@given(histories(), st.data())
def test_the_culprit_is_found_whatever_the_history(graph: Graph, data: st.DataObject) -> None:
    culprit = data.draw(st.sampled_from(list(graph.commits)))
    found, _ = play(graph, culprit, set())
    assert found == (culprit,)


@given(histories(), st.data())
def test_with_skipped_ones_the_answer_is_what_the_votes_allow_and_no_more(graph: Graph, data: st.DataObject) -> None:
    names = list(graph.commits)
    culprit = data.draw(st.sampled_from(names))
    skipped = data.draw(st.sets(st.sampled_from(names), max_size=len(names))) - {names[-1]}
    found, votes = play(graph, culprit, skipped)
    assert culprit in found
    assert set(found) == consistent(graph, votes)
    assert set(found[:-1]) <= skipped, "one that could have been asked was not"
    assert votes[found[-1]] == "bad"


@given(histories())
def test_the_first_commit_tried_halves_as_well_as_any(graph: Graph) -> None:
    tip = list(graph.commits)[-1]
    step = search.look(graph, {tip: "bad"})
    if isinstance(step, Among):
        assert step.shas == (tip,)
        return
    count = len(graph.commits)
    halving = {sha: min(len(ancestors(graph, sha)), count - len(ancestors(graph, sha))) for sha in graph.commits}
    assert halving[step.sha] == max(halving.values())


@given(histories())
def test_weights_do_not_depend_on_how_many_are_counted_at_once(graph: Graph) -> None:
    order = list(graph.commits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.nightly.bisection.graph.BLOCK", 5)
        assert graph.weights(order) == {sha: len(ancestors(graph, sha)) for sha in order}


def test_a_row_of_unbuildable_commits_is_left_behind_in_wide_jumps() -> None:
    graph = Graph.of(Commit(str(number), (str(number - 1),)) for number in range(1000))
    votes: dict[str, Vote] = {"999": "bad"}
    while isinstance(step := search.look(graph, votes), Try):
        number = int(step.sha)
        votes[step.sha] = "skip" if 460 <= number < 540 else "bad" if number >= 700 else "good"
    assert step.shas == ("700",)
    assert list(votes.values()).count("skip") <= 8


def test_votes_that_contradict_each_other_are_no_answer() -> None:
    graph = Graph.of([Commit("a", ()), Commit("b", ("a",)), Commit("c", ("b",))])
    with pytest.raises(ValueError, match="behind a good one"):
        search.look(graph, {"c": "bad", "b": "good", "a": "bad"})


# --- against git ------------------------------------------------------------------------------------------------------
def made(folder: Path, chance: random.Random, count: int) -> list[str]:
    """Make a history with merges by one `git fast-import`; return its commits, the last of which has all behind it."""
    subprocess.run(["git", "init", "--quiet", "--bare", str(folder)], check=True)
    stream, tips = [], [1]
    for number in range(1, count + 1):
        fork = chance.random() < 0.2 and number < count - 8
        parents = [1 if number == 1 else tips[-1]]
        if len(tips) > 1 and (chance.random() < 0.3 or number == count):
            parents = tips[-2:]
            tips = tips[:-2]
        elif not fork and number > 1:
            tips = tips[:-1]
        lines = ["commit refs/heads/main", f"mark :{number}", f"committer a <a@b> {number} +0000", "data 0"]
        if number > 1:
            lines += [f"{word} :{parent}" for word, parent in zip(["from", "merge"], parents, strict=False)]
        stream.append("\n".join(lines) + "\n")
        tips = [*tips, number] if number > 1 else [1]
    run = ["git", "-C", str(folder), "fast-import", "--quiet", "--force"]
    subprocess.run(run, input="\n".join(stream) + "\n", text=True, check=True)
    return git(folder, "rev-list", "--topo-order", "--reverse", "main")


def git(folder: Path, *words: str) -> list[str]:
    return subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True, text=True).stdout.split()


def test_takes_no_more_steps_than_git_bisect(tmp_path: Path) -> None:
    """As many in the mean, within 5 %: two halves that are as good as each other may be chosen differently."""
    chance = random.Random(1)
    shas = made(tmp_path, chance, 150)
    parents = {line.split()[0]: tuple(line.split()[1:]) for line in _lines(tmp_path, "rev-list", "--parents", "main")}
    graph = Graph.of(Commit(sha, parents[sha]) for sha in shas)
    ours = theirs = 0
    for culprit in chance.sample(shas, 30):
        broken = {sha for sha in shas if culprit in graph.behind(sha, graph.commits)}
        found, votes = play_fast(graph, broken)
        assert found == (culprit,)
        ours += len(votes) - 1
        theirs += _steps_of_git(tmp_path, shas[-1], broken)
    assert ours <= 1.05 * theirs
    assert theirs <= 1.05 * ours


def play_fast(graph: Graph, broken: set[str]) -> tuple[tuple[str, ...], dict[str, Vote]]:
    votes: dict[str, Vote] = {list(graph.commits)[-1]: "bad"}
    while isinstance(step := search.look(graph, votes), Try):
        votes[step.sha] = "bad" if step.sha in broken else "good"
    return step.shas, votes


def _steps_of_git(folder: Path, bad: str, broken: set[str]) -> int:
    goods: list[str] = []
    steps = 0
    while (chosen := git(folder, "rev-list", "--bisect", bad, *(f"^{good}" for good in goods))) != [bad]:
        steps += 1
        if chosen[0] in broken:
            bad = chosen[0]
        else:
            goods.append(chosen[0])
    return steps


def _lines(folder: Path, *words: str) -> list[str]:
    return subprocess.run(
        ["git", "-C", str(folder), *words], check=True, capture_output=True, text=True
    ).stdout.splitlines()
