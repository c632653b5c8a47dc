"""Mirrors: one bare repository per URL in the cache, which holds the history of what was asked for and is added to.

Blobs come with the checkout that needs them where the server allows that (``--filter=blob:none``). The URL itself
stands in no file and in no command line, because it may hold a password; git gets it through its environment.
"""

import difflib
import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import attrs

from harness import host
from harness.build import git
from harness.errors import LabError, UsageError
from harness.report.redact import HIDDEN, without_credentials

FULL_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
SHORT_SHA = re.compile(r"[0-9a-f]{7,39}")
MIRROR_BYTES = 6 * 2**30
"""Room for a mirror of the kernel with all its blobs, and a work tree; the clone of a folder shares its files."""
ANSWER_S = 120.0
"""How long a server may take to list its branches."""
REMOTE = "pi64"
KEPT = "refs/pi64/"
"""Below it a ref for each commit that was fetched, named after it."""
PARTIAL = {
    "core.repositoryFormatVersion": "1",
    "extensions.partialClone": REMOTE,
    f"remote.{REMOTE}.promisor": "true",
    f"remote.{REMOTE}.partialCloneFilter": "blob:none",
}
"""Makes a repository one whose blobs may be missing: git fetches them when it needs them."""


@attrs.frozen
class Mirror:
    """One repository in the cache and where it comes from."""

    url: str
    """Or the path of a repository on this host."""
    folder: Path

    @property
    def name(self) -> str:
        """What is unique to the URL."""
        return self.folder.stem

    @property
    def shown(self) -> str:
        """The URL without passwords."""
        return without_credentials(self.url)

    def failed(self, command: Sequence[str], done: subprocess.CompletedProcess[bytes]) -> LabError:
        """Return the error for a git command, without the password that git may have spelt out."""
        login = urlsplit(self.url).netloc.rpartition("@")[0] if "://" in self.url else ""
        said = done.stderr.replace(login.encode(), HIDDEN.encode()) if login else done.stderr
        return git.failed(command, done.returncode, said)

    def settings(self, *, remote: bool) -> Mapping[str, str]:
        """Return git's settings in the mirror; only with *remote* can git reach the server, for blobs too."""
        return {**git.OURS, **({f"remote.{REMOTE}.url": self.url} if remote else {})}


@contextmanager
def locked(url: str) -> Iterator[Mirror]:
    """Yield the mirror of *url*, which no other process touches meanwhile."""
    found = _of(url)
    with host.locked(found.folder.with_suffix(".lock")):
        yield found


def _of(url: str) -> Mirror:
    if "://" not in url and Path(url).expanduser().exists():
        url = str(Path(url).expanduser().resolve())
    name = hashlib.sha256(without_credentials(url).encode()).hexdigest()[:16]
    return Mirror(url, host.cache_dir("mirrors").resolve() / f"{name}.git")


def commit(mirror: Mirror, ref: str, progress: host.Progress) -> str:
    """Return the commit that *ref* (branch, tag, commit or ``HEAD``) names, and have it in the mirror.

    A full SHA that the mirror has needs no server. For anything else the server is asked, and only what the mirror
    lacks is fetched. A fetch that breaks off leaves the mirror as it was. UsageError if repository or ref do not exist,
    LabError if the repository cannot be reached.
    """
    sha = ref.lower() if FULL_SHA.fullmatch(ref.lower()) else None
    if sha is None or not _has(mirror, sha):
        progress(f"source: asking {mirror.shown} for {ref}")
        offered = _offered(mirror)
        _create(mirror, progress)
        sha = sha or _named(offered, ref) or _abbreviated(mirror, ref)
        if sha is None:
            raise _unknown(mirror, ref, offered)
        if not _has(mirror, sha):
            _fetch(mirror, sha, ref, progress)
    return _peeled(mirror, sha)


def tip(url: str, ref: str) -> str:
    """Return the commit that *ref* (branch, tag, full SHA or ``HEAD``) of *url* names now; nothing is fetched.

    Raises as `commit` does.
    """
    if FULL_SHA.fullmatch(ref.lower()):
        return ref.lower()
    asked = _of(url)
    offered = _offered(asked)
    sha = _named(offered, ref)
    if sha is None:
        raise _unknown(asked, ref, offered)
    return sha


# --- what the server has ---------------------------------------------------------------------------------------------
def _offered(mirror: Mirror) -> dict[str, str]:
    """Return ref -> commit as the server has them now; an annotated tag as what it stands for."""
    folder, settings = host.cache_dir("mirrors"), mirror.settings(remote=True)
    try:
        done = git.start(folder, "ls-remote", REMOTE, settings=settings, timeout_s=ANSWER_S)
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{mirror.shown}: no answer within {ANSWER_S:.0f} s", hint="check the network") from error
    if done.returncode != 0:
        raise git.out_of_reach(mirror.shown, mirror.failed(["ls-remote", mirror.shown], done))
    refs: dict[str, str] = {}
    for line in done.stdout.decode(errors="replace").splitlines():
        sha, _, name = line.partition("\t")
        refs[name.removesuffix("^{}")] = sha  # a peeled tag stands behind the tag itself
    return refs


def _named(offered: Mapping[str, str], ref: str) -> str | None:
    return next((offered[name] for name in (f"refs/heads/{ref}", f"refs/tags/{ref}", ref) if name in offered), None)


def _unknown(mirror: Mirror, ref: str, offered: Mapping[str, str]) -> UsageError:
    known = [name.split("/", 2)[2] for name in offered if name.startswith(("refs/heads/", "refs/tags/"))]
    near = difflib.get_close_matches(ref, known, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(known[:8]) or 'no branches'}"
    if SHORT_SHA.fullmatch(ref):
        hint = "a commit that was not fetched yet needs its full SHA"
    return UsageError(f"{mirror.shown}: no branch, tag or commit {ref}", hint=hint)


# --- what the mirror has ---------------------------------------------------------------------------------------------
def _create(mirror: Mirror, progress: host.Progress) -> None:
    if mirror.folder.is_dir():
        return
    here = Path(mirror.url).is_dir()
    beside = mirror.folder.with_suffix(".part")
    shutil.rmtree(beside, ignore_errors=True)
    if here:  # hard links to its files: no space, no time
        progress(f"source: cloning {mirror.shown}")
        clone = ["clone", "--quiet", "--bare", "--no-tags", "--template=", "--", mirror.url, str(beside)]
        _call(mirror, mirror.folder.parent, *clone)
        git.call(beside, "remote", "remove", "origin")
    else:
        host.need_space(mirror.folder.parent, MIRROR_BYTES, f"a mirror of {mirror.shown}")
        git.call(mirror.folder.parent, "init", "--quiet", "--bare", "--template=", str(beside), settings=git.OURS)
        for name, value in PARTIAL.items():
            git.call(beside, "config", name, value)
    beside.rename(mirror.folder)


def _has(mirror: Mirror, sha: str) -> bool:
    return mirror.folder.is_dir() and _verified(mirror, sha) is not None


def _abbreviated(mirror: Mirror, ref: str) -> str | None:
    return _verified(mirror, ref) if SHORT_SHA.fullmatch(ref) else None


def _peeled(mirror: Mirror, sha: str) -> str:
    """Return the commit that *sha* is, or that the tag *sha* stands for."""
    return str(_verified(mirror, sha))


def _verified(mirror: Mirror, name: str) -> str | None:
    # Without the URL git cannot go and fetch what is missing, so this tells what is here.
    command = ["rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"]
    done = git.start(mirror.folder, *command, settings=mirror.settings(remote=False))
    return done.stdout.decode().strip() if done.returncode == 0 else None


# --- fetching --------------------------------------------------------------------------------------------------------
def _fetch(mirror: Mirror, sha: str, ref: str, progress: host.Progress) -> None:
    """Fetch one commit with its history; where the server gives no single commits, all branches."""
    progress(f"source: fetching {ref} of {mirror.shown}")
    try:
        _fetched(mirror, f"+{sha}:{KEPT}{sha}", progress)
    except LabError as error:
        if any("not our ref" in line for line in error.evidence):
            raise _unknown(mirror, ref, {}) from error
        if not any("unadvertised" in line for line in error.evidence):
            raise
        _fetched(mirror, f"+refs/heads/*:{KEPT}heads/*", progress)
        if not _has(mirror, sha):
            raise _unknown(mirror, ref, {}) from error


def _fetched(mirror: Mirror, refspec: str, progress: host.Progress) -> None:
    _sweep(mirror)
    blobless = [] if Path(mirror.url).is_dir() else ["--filter=blob:none"]
    command = ["fetch", "--progress", "--no-tags", "--no-write-fetch-head", *blobless, REMOTE, refspec]
    try:
        _call(mirror, mirror.folder, *command, progress=progress)
    finally:
        _sweep(mirror)


def _sweep(mirror: Mirror) -> None:
    """Remove what a fetch leaves that was broken off or killed; nobody else fetches while we have the mirror's lock."""
    for pattern in ("objects/pack/tmp_*", "objects/pack/.tmp-*", "*.lock", "refs/**/*.lock"):
        for left in mirror.folder.glob(pattern):
            with suppress(OSError):
                left.unlink()


def _call(mirror: Mirror, folder: Path, *command: str, progress: host.Progress = host.silent) -> None:
    """Run a git command that talks to the server; says whether the repository is missing or out of reach."""
    done = git.follow(folder, *command, settings=mirror.settings(remote=True), progress=progress)
    if done.returncode != 0:
        raise git.out_of_reach(mirror.shown, mirror.failed(command, done))
