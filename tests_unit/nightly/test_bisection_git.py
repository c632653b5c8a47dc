"""What git is asked: what lies between, where two parted, bad without the culprit; nobody's work tree is touched."""

import subprocess
from pathlib import Path

import pytest

from harness import host
from harness.errors import UsageError
from harness.nightly.bisection import git, tell
from harness.nightly.bisection.graph import Commit
from harness.nightly.bisection.state import Answer, Question, State

SUBJECT = 'a "subject" with <b>, \x1f, \x1b[31m and ümlaut'


class Tree:
    """A small repository."""

    def __init__(self, path: Path) -> None:
        self.path, self.count = path, 0
        subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(path)], check=True)

    def git(self, *words: str) -> str:
        command = ["git", "-C", str(self.path), "-c", "user.name=Ada <x>", "-c", "user.email=ada@example.org", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, subject: str, **files: str) -> str:
        for name, text in files.items():
            (self.path / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", subject)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    return Tree(tmp_path / "repository")


def read(tree: Tree, good: str, bad: str) -> git.History:
    return git.read(str(tree.path), [good], bad, host.silent)


def test_what_lies_between_is_read_with_its_merges_and_whatever_a_subject_holds(tree: Tree) -> None:
    good = tree.commit("good", a="1")
    tree.git("checkout", "--quiet", "-b", "side")
    side = tree.commit(SUBJECT, b="1")
    tree.git("checkout", "--quiet", "main")
    line = tree.commit("line", a="2")
    tree.git("merge", "--quiet", "--no-ff", "--message", "merge", "side")
    history = read(tree, "HEAD~2", "main")
    merge = history.graph.commits[history.bad]
    assert history.goods == (good,)
    assert set(history.graph.commits) == {side, line, history.bad}
    assert merge.parents == (line, side)
    assert history.graph.commits[side].subject == SUBJECT
    assert history.graph.commits[side].author == "Ada x <ada@example.org>"
    assert history.bases == ()
    assert history.commits[good].subject == "good"


def test_where_a_good_one_parted_that_is_not_behind_bad_is_told(tree: Tree) -> None:
    fork = tree.commit("fork", a="1")
    good = tree.commit("good", a="2")
    tree.git("checkout", "--quiet", "-b", "side", fork)
    bad = tree.commit("bad", b="1")
    history = read(tree, "main", "side")
    assert (history.goods, history.bases) == ((good,), (fork,))
    assert set(history.graph.commits) == {bad}


@pytest.mark.parametrize(
    ("good", "bad", "word"), [("main", "main", "same commit"), ("main", "main~1", "older than good")]
)
def test_what_nothing_lies_between_is_refused(tree: Tree, good: str, bad: str, word: str) -> None:
    tree.commit("one", a="1")
    tree.commit("two", a="2")
    with pytest.raises(UsageError, match=word):
        read(tree, good, bad)


@pytest.mark.parametrize("name", ["--output=x", "no-such-branch", ""])
def test_a_name_that_is_none_is_refused_before_git_sees_it(tree: Tree, name: str) -> None:
    tree.commit("one", a="1")
    with pytest.raises(UsageError):
        read(tree, name, "main")


def test_only_git_has_something_between(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a git repository"):
        git.repository(str(tmp_path), "main")


def test_the_culprit_is_taken_back_on_top_of_bad(tree: Tree) -> None:
    good = tree.commit("good", a="1\n", b="1\n")
    culprit = tree.commit("culprit", a="2\n", c="new\n")
    bad = tree.commit("bad", b="2\n")
    history = read(tree, good, bad)
    before = tree.git("status", "--porcelain"), tree.git("rev-parse", "HEAD")
    made = git.without(str(tree.path), history.graph.commits[culprit], bad)
    mirror = next((host.cache_dir("mirrors")).glob("*.git"))
    shown = subprocess.run(
        ["git", "-C", str(mirror), "diff", "--name-status", bad, made.sha], check=True, capture_output=True, text=True
    ).stdout
    assert shown.split() == ["M", "a", "D", "c"]
    assert (tree.git("status", "--porcelain"), tree.git("rev-parse", "HEAD")) == before
    assert not list(mirror.glob("worktrees/*"))


def test_of_a_merge_all_that_it_brought_is_taken_back(tree: Tree) -> None:
    good = tree.commit("good", a="1")
    tree.git("checkout", "--quiet", "-b", "side")
    tree.commit("side", b="1")
    tree.git("checkout", "--quiet", "main")
    line = tree.commit("line", a="2")
    tree.git("merge", "--quiet", "--no-ff", "--message", "merge", "side")
    history = read(tree, good, "main")
    made = git.without(str(tree.path), history.graph.commits[history.bad], history.bad)
    mirror = next((host.cache_dir("mirrors")).glob("*.git"))
    trees = subprocess.run(
        ["git", "-C", str(mirror), "rev-parse", f"{made.sha}^{{tree}}", f"{line}^{{tree}}"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert made.merge
    assert trees[0] == trees[1]


def test_what_does_not_revert_is_told(tree: Tree) -> None:
    good = tree.commit("good", a="1\n")
    culprit = tree.commit("culprit", a="2\n")
    bad = tree.commit("bad", a="3\n")
    made = git.without(str(tree.path), read(tree, good, bad).graph.commits[culprit], bad)
    assert not made.sha
    assert "does not revert" in made.why


def test_git_itself_takes_the_log_and_comes_to_the_same_answer(tree: Tree) -> None:
    shas = [tree.commit(f"number {number}\x1b[31m", a=str(number)) for number in range(12)]
    votes = [(0, "good", "good"), (11, "bad", "bad"), (5, "try", "skip"), (6, "try", "good"), (8, "try", "bad"),
             (7, "try", "good")]  # fmt: skip
    answers = [Answer(at + 1, shas[number], role, vote, "") for at, (number, role, vote) in enumerate(votes)]  # type: ignore[arg-type]
    state = State("x", "now", Question("pi", (shas[0],), shas[11]), answers=tuple(answers), first_bad=(shas[8],))
    log = tree.path.with_name("bisect.log")
    log.write_text(tell.git_log(state, {sha: Commit(sha, (), f"number {at}") for at, sha in enumerate(shas)}))
    assert "first bad commit" in tree.git("bisect", "replay", str(log))
    assert tree.git("rev-parse", "refs/bisect/bad") == shas[8]
