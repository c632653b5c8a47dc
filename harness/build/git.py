"""Git: how it is called here, and what a work tree holds at this moment."""

import hashlib
import os
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from harness import host
from harness.build.address import TRANSPORTS
from harness.errors import LabError, UsageError
from harness.report.redact import printable, without_credentials

FOREIGN = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
           "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_PREFIX", "GIT_CEILING_DIRECTORIES", "GIT_CONFIG")  # fmt: skip
"""Set by git for its hooks and for `git rebase --exec`: they would send our git to the repository of the caller."""
ENVIRONMENT = {
    "LC_ALL": "C",
    "GIT_TERMINAL_PROMPT": "0",  # never wait for a password nobody will type
    "GIT_ALLOW_PROTOCOL": ":".join(TRANSPORTS),
}
SSH = "ssh -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=15"
OURS = {
    "core.hooksPath": "/dev/null",
    "core.attributesFile": "/dev/null",
    "core.autocrlf": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "submodule.recurse": "false",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "60",
    "advice.detachedHead": "false",
}
"""Settings for repositories in the cache: a work tree of one commit is the same whoever's configuration is around."""
GONE = re.compile(
    r"not found|does not exist|does not appear to be a git repository|not a git repository", re.IGNORECASE
)
POLITE = re.compile(r"Could not read from remote|Please make sure you have|and the repository exists|Cloning into")


@attrs.frozen
class State:
    """What a work tree holds at this moment."""

    commit: str
    dirty: bool
    digest: str
    """Of the commit and of all that differs from it."""
    epoch: int
    """Commit date, seconds since 1970."""
    branch: str = ""
    """Empty for a detached HEAD."""


def work_tree(path: Path) -> State | None:
    """Return the state of the git work tree whose top is *path*; None if it is no such thing (or has no commit).

    Costs one `git status`: of files that the index knows, only size and time are looked at.
    """
    if not (path / ".git").exists():
        return None
    try:
        head = call(path, "log", "-1", "--no-show-signature", "--format=%H %T %ct", "HEAD").decode().split()
    except LabError:
        return None
    difference = _difference(path)
    # The commit counts as well as its tree: `git describe` may end up in the release.
    digest = hashlib.sha256(" ".join([*head[:2], difference]).encode()).hexdigest()
    branch = start(path, "symbolic-ref", "--quiet", "--short", "HEAD").stdout.decode(errors="replace").strip()
    return State(commit=head[0], dirty=bool(difference), digest=digest, epoch=int(head[2]), branch=branch)


def _difference(path: Path) -> str:
    """Return a digest of all that differs from HEAD, new files included, ignored ones not; empty for a clean tree."""
    # The refreshed index is written back, as by anybody's `git status`: else touched files are read again each time.
    # Not into the index of another user, who could not replace it.
    options = [] if (path / ".git").stat().st_uid == os.geteuid() else ["--no-optional-locks"]
    status = ["status", "--porcelain=v2", "-z", "--untracked-files=all", "--ignore-submodules=none", "--no-renames"]
    changed = sorted(filter(None, map(_changed, call(path, *status, options=options).split(b"\0"))))
    if not changed:
        return ""
    digest = hashlib.sha256()
    for name in changed:
        digest.update(name + b"\0" + _content(path / os.fsdecode(name)).encode(errors="surrogateescape") + b"\0")
    return digest.hexdigest()


def _changed(entry: bytes) -> bytes:
    """Return the path in one line of ``status --porcelain=v2``; it stands behind 1, 8 or 10 other fields."""
    fields = {b"?": 1, b"1": 8, b"u": 10}.get(entry[:1])
    return entry.split(b" ", fields)[-1] if fields else b""


def _content(file: Path) -> str:
    """Return what tells this content of *file* from any other."""
    if file.is_symlink():
        return f"link {file.readlink()}"
    if file.is_file():
        return f"{'program' if os.access(file, os.X_OK) else 'file'} {host.sha256(file)}"
    return "folder" if file.is_dir() else "gone"


# --- calling git -----------------------------------------------------------------------------------------------------
def call(folder: Path, *command: str, options: Sequence[str] = (), settings: Mapping[str, str] | None = None) -> bytes:
    """Run git in *folder*, whoever owns it (its Makefile is about to be run anyway); LabError if it fails."""
    done = start(folder, *command, options=options, settings=settings)
    if done.returncode != 0:
        raise failed(command, done.returncode, done.stderr)
    return done.stdout


def start(
    folder: Path,
    *command: str,
    options: Sequence[str] = (),
    settings: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run git in *folder* and return how it ended."""
    argv = [host.find("git"), "-C", str(folder), *options, *command]
    return subprocess.run(
        argv, env=environment(settings), stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=timeout_s
    )


def follow(
    folder: Path, *command: str, settings: Mapping[str, str], progress: host.Progress
) -> subprocess.CompletedProcess[bytes]:
    """Run a git that tells its progress on standard error, pass it on, and return how it ended."""
    argv = [host.find("git"), "-C", str(folder), *command]
    said = b""
    with subprocess.Popen(
        argv, env=environment(settings), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        while block := os.read(process.stderr.fileno(), 4096):
            said = (said + block)[-8192:]
            if lines := [line for line in re.split(rb"[\r\n]+", block) if b"%" in line]:
                progress(f"source: {_fit(lines[-1])}")
    return subprocess.CompletedProcess(argv, process.returncode, b"", said)


def environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment for git; *settings* stand above the user's, and no other process sees them."""
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    first = int(kept.get("GIT_CONFIG_COUNT") or 0)
    wanted = {"safe.directory": "*", **(settings or {})}
    for number, (name, value) in enumerate(wanted.items(), start=first):
        kept |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    # A password that nobody will type is not waited for; how ssh is called otherwise is the user's choice.
    ssh = {} if "GIT_SSH" in kept or "GIT_SSH_COMMAND" in kept else {"GIT_SSH_COMMAND": SSH}
    return {**kept, **ENVIRONMENT, **ssh, "GIT_CONFIG_COUNT": str(first + len(wanted))}


def failed(command: Sequence[str], status: int, said: bytes) -> LabError:
    """Return the error for a git that ended with *status*; what it said is made fit to be shown."""
    lines = [_fit(line) for line in re.split(rb"[\r\n]+", said) if line.strip() and b"%" not in line]
    return LabError(f"`{_fit(shlex.join(['git', *command]).encode())[:300]}` returned {status}", evidence=lines[-6:])


def out_of_reach(url: str, error: LabError) -> LabError | UsageError:
    """Return the error for a repository that did not answer: there is none (UsageError), or the way to it is barred."""
    evidence = [line for line in error.evidence if not POLITE.search(line)] or error.evidence
    if any(GONE.search(line) for line in evidence):
        return UsageError(f"{url}: no such git repository", evidence=evidence)
    hint = "check the network, then run it again; a commit that was fetched before needs none if named by its full SHA"
    return LabError(f"{url}: git cannot fetch from it", hint=hint, evidence=evidence)


def _fit(said: bytes) -> str:
    return printable(without_credentials(said.decode(errors="replace").strip()))
