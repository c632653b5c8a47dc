"""Work trees of a mirror's commits, in the cache: a few per repository, each used by one commit at a time.

A work tree that nobody uses is taken over by the next commit: git then writes only the files that differ, and make
compiles only those. Its folder is its number, so the object tree that belongs to it goes on being used as well.
"""

import json
import shutil
from pathlib import Path

import attrs

from harness import host
from harness.build import git, lease, mirror
from harness.build.mirror import Mirror
from harness.errors import LabError, Pi64Error

MOST = 3
"""Work trees of a repository before an unused one of another branch is taken over."""


@attrs.frozen
class Tree:
    """One work tree; a mark beside it tells a complete one from one that was broken off."""

    path: Path

    @property
    def mark(self) -> Path:
        """The file that says which commit is checked out, and for which ref."""
        return self.path.with_name(f"{self.path.name}.json")

    def holds(self) -> tuple[str, str]:
        """Return commit and family; empty words for a tree that is not complete."""
        try:
            told = json.loads(self.mark.read_text())
            return (str(told["commit"]), str(told["family"])) if (self.path / ".git").is_file() else ("", "")
        except (OSError, ValueError, KeyError, TypeError):
            return "", ""


def checkout(url: str, ref: str, progress: host.Progress, *, branch: str | None = None) -> tuple[Path, str]:
    """Return a work tree of *ref* (branch, tag, commit, ``HEAD``) of the repository *url*, and its commit.

    It stays as it is while this process lives. *branch* is the one of which *ref* is a commit: it has that branch's
    work tree. Raises as `mirror.commit` does.
    """
    family = branch or ("commit" if mirror.FULL_SHA.fullmatch(ref) else ref)
    with mirror.locked(url) as known:
        commit = mirror.commit(known, ref, progress)
        folder = host.cache_dir("sources", f"git-{known.name}").resolve()
        while True:
            tree = _choose(folder, commit, family)
            if tree.holds()[0] != commit:
                with lease.alone(tree.path) as free:
                    if free:
                        _switch(known, tree, commit, family, progress)
            lease.hold(tree.path)
            if tree.holds()[0] == commit:  # else it was pruned, or taken by a build, between the two
                return tree.path, commit


def restore(path: Path, commit: str) -> None:
    """Undo what somebody changed in a work tree of the cache."""
    git.call(path, "reset", "--quiet", "--hard", commit, settings=git.OURS)
    git.call(path, "clean", "--quiet", "-ffdx", settings=git.OURS)


def intact(path: Path, commit: str | None) -> bool:
    """Return whether the work tree *path* is still that of *commit*."""
    return Tree(path).holds()[0] == commit


def _choose(folder: Path, commit: str, family: str) -> Tree:
    """Return the tree of *commit*; else an unused one of its family; else a new one, or the one used longest ago."""
    there = [Tree(path) for path in folder.iterdir() if path.name.isdecimal() and path.is_dir()]
    there.sort(key=lambda tree: lease.used(tree.path))
    for tree in there:
        if tree.holds()[0] == commit:
            return tree
    idle = [tree for tree in there if _idle(tree)]
    for tree in idle:
        if tree.holds()[1] in (family, ""):
            return tree
    if idle and len(there) >= MOST:
        return idle[0]
    taken = {tree.path.name for tree in there}
    return Tree(next(folder / str(number) for number in range(len(there) + 1) if str(number) not in taken))


def _idle(tree: Tree) -> bool:
    with lease.alone(tree.path) as free:
        return free


def _switch(known: Mirror, tree: Tree, commit: str, family: str, progress: host.Progress) -> None:
    """Check *commit* out; what cannot be switched is made anew."""
    progress(f"source: checking out {commit[:12]}")
    whole = bool(tree.holds()[0])
    tree.mark.unlink(missing_ok=True)
    settings = known.settings(remote=True)  # blobs that the mirror lacks are fetched now
    if not (whole and _switched(tree, commit, known)):
        shutil.rmtree(tree.path, ignore_errors=True)
        git.call(known.folder, "worktree", "prune", "--expire=now")
        command = ["worktree", "add", "--force", "--detach", str(tree.path), commit]
        done = git.follow(known.folder, *command, settings=settings, progress=progress)
        if done.returncode != 0:
            raise _unfinished(known, known.failed(command, done))
    host.write_atomic(tree.mark, json.dumps({"commit": commit, "family": family}).encode())


def _switched(tree: Tree, commit: str, known: Mirror) -> bool:
    settings = known.settings(remote=True)
    done = git.start(tree.path, "checkout", "--quiet", "--force", "--detach", commit, settings=settings)
    if done.returncode == 0:
        git.call(tree.path, "clean", "--quiet", "-ffdx", settings=git.OURS)
    return done.returncode == 0


def _unfinished(known: Mirror, error: LabError) -> Pi64Error:
    if any("promisor" in line or "fetch" in line for line in error.evidence):
        return git.out_of_reach(known.shown, error)
    return error
