"""Mirrors and their work trees, against git's own server on loopback."""

import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gitserver import GitServer, serving

from harness.build import checkout, git, lease, mirror, source
from harness.errors import LabError, UsageError
from tests_unit import fakelinux

BIG = random.Random(0).randbytes(200_000)  # no zlib makes this small
IDENTITY = ["-c", "user.name=A", "-c", "user.email=a@example.org"]


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(["git", "-C", folder, *IDENTITY, *command], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(repository: Path, text: str) -> str:
    (repository / "kernel/fork.c").write_text(text)
    run(repository, "commit", "--quiet", "--all", "--message", text)
    return run(repository, "rev-parse", "HEAD")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(mirror, "MIRROR_BYTES", 0)
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, "/dev/null")
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one commit, which holds a big file."""
    tree = fakelinux.write(tmp_path_factory.mktemp("template") / "linux")
    (tree / "blob.bin").write_bytes(BIG)
    run(tree, "init", "--quiet", "--initial-branch=rpi-6.12.y")
    run(tree, "config", "uploadpack.allowFilter", "true")
    run(tree, "add", "--all")
    run(tree, "commit", "--quiet", "--message", "first")
    return tree


@pytest.fixture
def repository(template: Path, tmp_path: Path) -> Path:
    subprocess.run(["cp", "-a", template, tmp_path / "linux"], check=True)
    return tmp_path / "linux"


@pytest.fixture
def server(repository: Path) -> Iterator[GitServer]:
    with serving(repository.parent) as running:
        yield running


Opened = Callable[..., str]


@pytest.fixture
def opened(server: GitServer) -> Opened:
    """Open a ref in this process and return the commit that lies in the work tree."""

    def fetch(ref: str | None = "rpi-6.12.y") -> str:
        return str(source.open_tree(server.url("linux"), ref=ref).commit)

    return fetch


def end_process() -> None:
    """Let go of all work trees, as the kernel does when a process ends."""
    for handle in lease._HELD.values():
        os.close(handle)
    lease._HELD.clear()


def the_mirror(cache: Path) -> Path:
    (found,) = (cache / "mirrors").glob("*.git")
    return found


# --- what is fetched -------------------------------------------------------------------------------------------------
def test_branch_tag_and_commit_come_from_one_mirror(opened: Opened, repository: Path, cache: Path) -> None:
    run(repository, "tag", "--annotate", "--message=it", "v6.12.1")
    first = run(repository, "rev-parse", "HEAD")
    second = commit(repository, "int second;\n")
    assert [opened(), opened("v6.12.1"), opened(first), opened(None)] == [second, first, first, second]
    assert the_mirror(cache).is_dir()


def test_a_commit_that_is_no_tip_of_a_branch_is_fetched_by_its_sha(opened: Opened, repository: Path) -> None:
    first = run(repository, "rev-parse", "HEAD")
    commit(repository, "int second;\n")
    assert opened(first) == first


def test_a_commit_that_was_fetched_asks_no_server(opened: Opened, server: GitServer) -> None:
    first = opened()
    server.sessions.clear()
    assert opened(first) == first
    assert server.sessions == []


def test_a_branch_is_asked_for_each_time_and_fetched_only_when_it_moved(opened: Opened, server: GitServer) -> None:
    opened()
    server.sessions.clear()
    opened()
    assert len(server.sessions) == 1  # ls-remote


def test_what_the_mirror_has_is_not_sent_again(opened: Opened, server: GitServer, repository: Path) -> None:
    opened()
    server.sessions.clear()
    commit(repository, "int second;\n")
    opened()
    assert sum(server.sessions) < len(BIG) / 4


def test_blobs_of_other_commits_stay_where_they_are(opened: Opened, server: GitServer, repository: Path) -> None:
    (repository / "blob.bin").unlink()
    commit(repository, "int second;\n")
    opened()
    assert sum(server.sessions) < len(BIG) / 4


def test_a_server_that_cannot_leave_blobs_out_sends_all(opened: Opened, server: GitServer, repository: Path) -> None:
    run(repository, "config", "uploadpack.allowFilter", "false")
    first = run(repository, "rev-parse", "HEAD")
    assert opened() == first


def test_a_branch_that_was_forced_back_is_followed(opened: Opened, repository: Path) -> None:
    first = run(repository, "rev-parse", "HEAD")
    second = commit(repository, "int second;\n")
    seen = [opened()]
    run(repository, "reset", "--quiet", "--hard", first)
    third = commit(repository, "int third;\n")
    assert [*seen, opened(), opened(second)] == [second, third, second]


# --- what does not exist ---------------------------------------------------------------------------------------------
def test_a_branch_that_does_not_exist_is_refused_before_anything_is_fetched(opened: Opened, server: GitServer) -> None:
    with pytest.raises(UsageError, match=r"no branch, tag or commit rpi-6\.21\.y") as caught:
        opened("rpi-6.21.y")
    assert caught.value.hint == "did you mean rpi-6.12.y?"
    assert len(server.sessions) == 1


def test_a_commit_that_does_not_exist_is_refused(opened: Opened) -> None:
    with pytest.raises(UsageError, match="no branch, tag or commit 1234"):
        opened("1234567890" * 4)


def test_a_short_sha_that_is_not_here_asks_for_the_whole(opened: Opened) -> None:
    with pytest.raises(UsageError) as caught:
        opened("1234567")
    assert "full SHA" in caught.value.hint


def test_a_short_sha_that_is_here_is_enough(opened: Opened) -> None:
    first = opened()
    assert opened(first[:12]) == first


def test_a_repository_that_does_not_exist_is_refused(server: GitServer, cache: Path) -> None:
    with pytest.raises((UsageError, LabError)):
        source.open_tree(server.url("nowhere"))
    assert not list((cache / "mirrors").glob("*.git"))


# --- what breaks off -------------------------------------------------------------------------------------------------
def test_a_fetch_that_breaks_off_says_so_and_the_next_one_succeeds(
    opened: Opened, server: GitServer, repository: Path
) -> None:
    first, second = opened(), commit(repository, "int second;\n")
    (repository / "blob.bin").write_bytes(BIG[::-1])
    second = commit(repository, "int third;\n")
    server.cut_after = 1500  # behind the list of branches, before the end of the pack
    with pytest.raises(LabError, match="git cannot fetch from it") as caught:
        opened()
    assert any(re.search(r"early EOF|hung up|unexpected|disconnect", line) for line in caught.value.evidence)
    assert opened(first) == first
    server.cut_after = None
    assert opened() == second


def test_a_fetch_that_breaks_off_leaves_no_half_pack(opened: Opened, server: GitServer, cache: Path) -> None:
    server.cut_after = 1500
    with pytest.raises(LabError):
        opened()
    assert not list(the_mirror(cache).rglob("tmp_*"))


def test_a_checkout_whose_blobs_break_off_is_made_again(opened: Opened, server: GitServer, repository: Path) -> None:
    server.cut_after = len(BIG) // 2
    with pytest.raises(LabError):
        opened()
    server.cut_after = None
    assert opened() == run(repository, "rev-parse", "HEAD")


def test_what_a_killed_git_left_does_not_stop_the_next(opened: Opened, repository: Path, cache: Path) -> None:
    first = opened()
    lock = the_mirror(cache) / f"refs/pi64/{commit(repository, 'int second;')}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text("")
    (the_mirror(cache) / "shallow.lock").write_text("")
    assert opened() != first


# --- work trees ------------------------------------------------------------------------------------------------------
def trees(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.glob("sources/git-*/*") if path.is_dir())


def test_a_work_tree_that_is_in_use_is_left_alone(opened: Opened, repository: Path, cache: Path) -> None:
    opened()
    commit(repository, "int second;\n")
    opened()
    assert trees(cache) == ["0", "1"]


def test_a_work_tree_that_is_not_in_use_is_taken_over_and_only_what_differs_is_written(
    opened: Opened, repository: Path, cache: Path
) -> None:
    opened()
    end_process()
    (tree,) = cache.glob("sources/git-*/0")
    before = (tree / "Makefile").stat().st_mtime_ns
    commit(repository, "int second;\n")
    opened()
    assert (tree / "kernel/fork.c").read_text() == "int second;\n"
    assert (tree / "Makefile").stat().st_mtime_ns == before
    assert trees(cache) == ["0"]


def test_each_branch_keeps_its_work_tree_as_long_as_there_are_few(
    opened: Opened, repository: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkout, "MOST", 2)
    for number in range(3):
        run(repository, "checkout", "--quiet", "-b", f"branch-{number}")
        commit(repository, f"int f{number};\n")
        opened(f"branch-{number}")
        end_process()
    assert len(trees(cache)) == checkout.MOST


def test_a_work_tree_that_was_pruned_is_made_again(opened: Opened, cache: Path) -> None:
    first = opened()
    end_process()
    (tree,) = cache.glob("sources/git-*/0")
    subprocess.run(["rm", "-r", tree], check=True)
    assert opened() == first


def test_a_change_in_a_cached_work_tree_is_undone(opened: Opened, cache: Path) -> None:
    opened()
    (tree,) = cache.glob("sources/git-*/0")
    (tree / "kernel/fork.c").write_text("int mine;\n")
    (tree / "kernel/new.c").write_text("int mine;\n")
    opened()
    assert "mine" not in (tree / "kernel/fork.c").read_text()
    assert not (tree / "kernel/new.c").exists()


def test_a_taken_over_work_tree_is_noticed_by_whoever_builds_in_it(
    opened: Opened, server: GitServer, repository: Path
) -> None:
    found = source.open_tree(server.url("linux"), ref="rpi-6.12.y")
    assert source.unchanged(found)
    end_process()
    commit(repository, "int second;\n")
    opened()
    assert not source.unchanged(found)


def test_a_repository_on_this_host_gives_the_same_source_as_its_server(server: GitServer, repository: Path) -> None:
    far, near = source.open_tree(server.url("linux")), source.open_tree(f"git+{repository}")
    assert (far.digest, far.epoch) == (near.digest, near.epoch)


PROCESS = """
import sys
from harness.build import mirror, source
mirror.MIRROR_BYTES = 0
print(source.open_tree(sys.argv[1], ref="rpi-6.12.y").commit)
"""


def test_two_processes_at_once_get_one_mirror_and_one_work_tree(
    server: GitServer, repository: Path, cache: Path
) -> None:
    command = [sys.executable, "-c", PROCESS, server.url("linux")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert {process.communicate()[0].strip() for process in both} == {run(repository, "rev-parse", "HEAD")}
    assert len(trees(cache)) == 1


# --- the user's surroundings -----------------------------------------------------------------------------------------
SSH = """#!/bin/sh
for command; do :; done
eval "exec $command"
"""


def test_a_password_is_in_no_message_no_origin_and_no_file(
    cache: Path, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ssh").write_text(SSH)
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(tmp_path / "ssh"))
    monkeypatch.setenv("GIT_SSH_VARIANT", "ssh")
    url = f"ssh://me:hunter2@example.org{repository}"
    said: list[str] = []
    with pytest.raises(UsageError) as caught:
        source.open_tree(url, ref="nowhere", progress=said.append)
    found = source.open_tree(url, progress=said.append)
    assert "hunter2" not in " ".join([str(caught.value), *said, repr(found)])
    assert subprocess.run(["grep", "-r", "hunter2", cache], check=False, capture_output=True).stdout == b""


def test_a_password_is_not_in_what_git_itself_says(server: GitServer) -> None:
    with pytest.raises(LabError) as caught:
        source.open_tree(server.url("linux").replace("git://", "git://me:hunter2@"))
    assert "hunter2" not in str(caught.value)


def test_a_git_hook_around_us_does_not_send_git_to_its_own_repository(
    opened: Opened, repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    found = opened()
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name)
    assert found == run(repository, "rev-parse", "HEAD")


def test_a_users_line_endings_do_not_change_what_is_built(
    opened: Opened, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gitconfig").write_text("[core]\n\tautocrlf = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    opened()
    (makefile,) = cache.glob("sources/git-*/0/Makefile")
    assert b"\r" not in makefile.read_bytes()


def test_ssh_asks_nobody_for_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GIT_SSH_COMMAND", raising=False)
    assert "BatchMode=yes" in git.environment()["GIT_SSH_COMMAND"]
    monkeypatch.setenv("GIT_SSH_COMMAND", "ssh -i key")
    assert git.environment()["GIT_SSH_COMMAND"] == "ssh -i key"
