"""Git: what a work tree holds, and work trees of single commits made from one bare mirror per URL."""

import difflib
import hashlib
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import attrs

from harness import host
from harness.errors import LabError, UsageError

SHA = re.compile(r"[0-9a-f]{40}")
GONE = re.compile(
    r"not found|does not exist|does not appear to be a git repository|not a git repository", re.IGNORECASE
)
ENVIRONMENT = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}  # never wait for a password nobody will type
MIRROR_BYTES = 6 * 2**30
"""Room for a mirror of the kernel with all its blobs, and a work tree; the clone of a folder shares its files."""
REFSPECS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")


@attrs.frozen
class State:
    """What a work tree holds at this moment."""

    commit: str
    dirty: bool
    digest: str
    epoch: int
    """Commit date, seconds since 1970."""


def work_tree(path: Path) -> State | None:
    """Return the state of the git work tree whose top is *path*; None if it is no such thing (or has no commit)."""
    if not (path / ".git").exists():
        return None
    try:
        head = _git(path, "log", "-1", "--format=%H %T %ct", "HEAD").decode().split()
    except LabError:
        return None
    difference = _difference(path)
    # The commit counts as well as its tree: `git describe` may end up in the release.
    digest = hashlib.sha256(" ".join([*head[:2], difference]).encode()).hexdigest()
    return State(commit=head[0], dirty=bool(difference), digest=digest, epoch=int(head[2]))


def checkout(url: str, ref: str, progress: host.Progress) -> Path:
    """Return a work tree of *ref* (branch, tag or commit) of the repository *url*, below the cache.

    Commits that the mirror has are not fetched again; a branch always is. A fetch that breaks off leaves the mirror as
    it was. UsageError if repository or ref do not exist, LabError if the repository cannot be reached.
    """
    if "://" not in url and Path(url).expanduser().exists():
        url = str(Path(url).expanduser().resolve())
    name = hashlib.sha256(url.encode()).hexdigest()[:16]
    sources = host.cache_dir("sources").resolve()
    mirror = host.cache_dir("mirrors").resolve() / f"{name}.git"
    with host.locked(mirror.with_suffix(".lock")):
        _update(mirror, url, ref, progress)
        commit = _resolve(mirror, url, ref)
        return _add_work_tree(mirror, commit, sources / f"git-{name}" / commit[:16], progress)


def _difference(path: Path) -> str:
    """Return a digest of all that differs from HEAD, new files included; empty for a clean tree."""
    changes = _git(path, "diff", "HEAD", "--binary", "--no-ext-diff", "--no-textconv")
    new = sorted(filter(None, _git(path, "ls-files", "-z", "--others", "--exclude-standard").split(b"\0")))
    if not changes and not new:
        return ""
    digest = hashlib.sha256(changes)
    for name in new:
        file = path / name.decode(errors="surrogateescape")
        content = str(file.readlink()) if file.is_symlink() else host.sha256(file) if file.is_file() else ""
        digest.update(name + b"\0" + content.encode(errors="surrogateescape") + b"\0")
    return digest.hexdigest()


def _update(mirror: Path, url: str, ref: str, progress: host.Progress) -> None:
    if not mirror.is_dir():
        if not Path(url).exists():
            host.need_space(mirror.parent, MIRROR_BYTES, f"a mirror of {url}")
        progress(f"source: cloning {url}")
        beside = mirror.with_suffix(".part")
        shutil.rmtree(beside, ignore_errors=True)
        _remote(url, ["clone", "--quiet", "--bare", "--filter=blob:none", "--", url, str(beside)])
        beside.rename(mirror)
    elif not (SHA.fullmatch(ref) and _has(mirror, ref)):
        progress(f"source: fetching {url}")
        _remote(url, ["-C", str(mirror), "fetch", "--quiet", "--prune", "--force", "origin", *REFSPECS])


def _resolve(mirror: Path, url: str, ref: str) -> str:
    for name in (f"refs/heads/{ref}", f"refs/tags/{ref}", ref):
        if _has(mirror, name):
            return _git(mirror, "rev-parse", "--verify", f"{name}^{{commit}}").decode().strip()
    known = _git(mirror, "for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads", "refs/tags").decode().split()
    near = difflib.get_close_matches(ref, known, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(known[:8]) or 'no branches'}"
    raise UsageError(f"{url}: no branch, tag or commit {ref}", hint=hint)


def _add_work_tree(mirror: Path, commit: str, folder: Path, progress: host.Progress) -> Path:
    """Check *commit* out into *folder*; a mark beside it tells a complete one from one that was broken off."""
    complete = folder.with_name(f"{folder.name}.complete")
    if complete.is_file() and folder.is_dir():
        return folder
    progress(f"source: checking out {commit[:12]}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _git(mirror, "worktree", "prune")
    _git(mirror, "worktree", "add", "--quiet", "--force", "--detach", str(folder), commit)
    host.write_atomic(complete, b"")
    return folder


def _has(mirror: Path, name: str) -> bool:
    command = ["rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"]
    return _call(["-C", str(mirror), *command]).returncode == 0


def _git(folder: Path, *command: str) -> bytes:
    """Run git in *folder*, whoever owns it: its Makefile is about to be run anyway."""
    return host.run(["git", "-c", "safe.directory=*", "-C", folder, *command], env=ENVIRONMENT)


def _call(command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([host.find("git"), *command], capture_output=True, check=False)


def _remote(url: str, command: Sequence[str]) -> None:
    """Run a git command that talks to *url*; says whether the repository is missing or out of reach."""
    try:
        host.run(["git", "-c", "safe.directory=*", *command], env=ENVIRONMENT)
    except LabError as error:
        if any(GONE.search(line) for line in error.evidence):
            raise UsageError(f"{url}: no such git repository", evidence=error.evidence[-3:]) from error
        hint = "check the network; a commit that was fetched before needs none when named by its full SHA"
        raise LabError(f"{url}: git cannot fetch from it", hint=hint, evidence=error.evidence[-3:]) from error
