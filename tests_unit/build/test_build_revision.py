"""What a source holds now, without fetching it; and the work tree that a pinned commit of a branch gets."""

import os
import subprocess
from pathlib import Path

import pytest
from fakelinux import write

from harness.build import lease, mirror, revision, source
from harness.errors import LabError, UsageError

IDENTITY = ["-c", "user.name=A", "-c", "user.email=a@example.org"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    return tmp_path / "cache"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write(tmp_path / "linux")


@pytest.fixture
def repository(tree: Path) -> Path:
    git(tree, "init", "--quiet", "--initial-branch=main")
    commit(tree)
    return tree


def git(folder: Path, *command: str) -> str:
    done = subprocess.run(["git", "-C", folder, *IDENTITY, *command], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(tree: Path, text: str = "one") -> str:
    (tree / "said").write_text(text)
    git(tree, "add", "--all")
    git(tree, "commit", "--quiet", "--message", text)
    return git(tree, "rev-parse", "HEAD")


def test_a_branch_is_looked_up_and_nothing_is_fetched(repository, cache) -> None:
    found = revision.look(f"git+{repository}", ref="main")
    assert (found.commit, found.pinned) == (git(repository, "rev-parse", "HEAD"), True)
    assert list((cache / "mirrors").glob("*.git")) == []
    assert revision.look(str(repository), ref="main") == found  # a folder with a ref is a repository
    assert revision.look(f"git+{repository}").commit == found.commit


def test_a_tag_stands_for_its_commit(repository) -> None:
    git(repository, "tag", "--annotate", "v1", "--message", "v1")
    assert revision.look(f"git+{repository}", ref="v1").commit == git(repository, "rev-parse", "HEAD")


def test_what_the_server_does_not_have_is_told(repository, tmp_path) -> None:
    with pytest.raises(UsageError, match="no branch, tag or commit mian") as caught:
        revision.look(f"git+{repository}", ref="mian")
    assert "did you mean main" in caught.value.hint
    with pytest.raises((LabError, UsageError), match=r"nowhere\.git"):
        revision.look(f"git+{tmp_path / 'nowhere.git'}", ref="main")


def test_a_work_tree_is_what_lies_there_and_cannot_be_pinned(repository) -> None:
    clean = revision.look(str(repository))
    (repository / "said").write_text("two")
    changed = revision.look(str(repository))
    assert (clean.dirty, changed.dirty, changed.pinned) == (False, True, False)
    assert clean.commit == changed.commit
    assert clean.digest != changed.digest


def test_a_tarball_is_known_by_its_content(tmp_path) -> None:
    tarball = tmp_path / "linux.tar"
    tarball.write_bytes(b"one")
    before = revision.look(str(tarball)).digest
    tarball.write_bytes(b"another")
    assert revision.look(str(tarball)).digest != before


def test_a_tarball_has_no_branches(tmp_path) -> None:
    tarball = tmp_path / "linux.tar"
    tarball.write_bytes(b"one")
    with pytest.raises(UsageError, match="so it has no ref main"):
        revision.look(str(tarball), ref="main")


def test_a_full_sha_needs_no_server() -> None:
    assert mirror.tip("git://127.0.0.1:1/none.git", "A" * 40) == "a" * 40


def test_commits_of_one_branch_share_a_work_tree_and_those_of_another_do_not(repository, monkeypatch) -> None:
    """What the next commit of a branch does not change is not compiled again."""
    monkeypatch.setattr(mirror, "MIRROR_BYTES", 0)
    monkeypatch.setattr(lease, "_HELD", {})
    url, one = f"git+{repository}", git(repository, "rev-parse", "HEAD")
    two = commit(repository, "two")
    first = source.open_tree(url, ref=one, branch="main").path
    _let_go()
    assert source.open_tree(url, ref=two, branch="other").path != first
    _let_go()
    assert source.open_tree(url, ref=two, branch="main").path != first  # the very commit lies elsewhere already
    three = commit(repository, "three")
    assert source.open_tree(url, ref=three, branch="main").path == first


def _let_go() -> None:
    """Stop using all work trees, as the end of a process does."""
    for handle in lease._HELD.values():
        os.close(handle)
    lease._HELD.clear()
