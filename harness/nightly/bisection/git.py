"""Git, for a bisection: the commits between good and bad, where the two parted, and bad without the culprit.

All of it happens in the cache's mirror of the repository: nobody's work tree is touched, and a commit that is made here
is built from the mirror as any other.
"""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from harness import host
from harness.build import address, git, mirror
from harness.build.address import Address
from harness.build.mirror import KEPT, Mirror
from harness.errors import UsageError
from harness.nightly.bisection.graph import Commit, Graph
from harness.nightly.bisection.state import Revert

FIELDS = ("%H", "%P", "%aI", "%an <%ae>", "%s")
IDENTITY = {"user.name": "pi64", "user.email": "pi64@localhost"}


@attrs.frozen
class History:
    """What lies between good and bad in one repository."""

    goods: tuple[str, ...]
    bad: str
    bases: tuple[str, ...]
    """Where a good one that is not behind bad parted from it."""
    graph: Graph
    outside: dict[str, Commit]
    """Good and base commits, for their subjects."""

    @property
    def commits(self) -> dict[str, Commit]:
        """All commits that are ever named."""
        return {**self.outside, **self.graph.commits}


def repository(source: str, ref: str | None) -> Address:
    """Return where the git repository of *source* is; UsageError when *source* is none."""
    found = address.parse(source, ref=ref)
    if found.kind != "git" and not (found.kind == "path" and _is_top(Path(found.where).expanduser())):
        raise UsageError(f"{found.shown}: not a git repository, so nothing lies between two of its commits")
    return found


def _is_top(folder: Path) -> bool:
    """Tell whether *folder* is a repository, or the top of a work tree; not a folder somewhere in one."""
    done = git.start(folder, "rev-parse", "--show-cdup")
    return done.returncode == 0 and not done.stdout.strip()


def read(where: str, goods: Sequence[str], bad: str, progress: host.Progress) -> History:
    """Return the history between *goods* and *bad* (branch, tag or commit each) of the repository *where*.

    What the mirror lacks is fetched first. UsageError when a name is unknown, or nothing lies between the two.
    """
    goods, bad = [_resolved(where, name) for name in goods], _resolved(where, bad)
    with mirror.locked(where) as known:
        good_shas = tuple(dict.fromkeys(mirror.commit(known, name, progress) for name in goods))
        bad_sha = mirror.commit(known, bad, progress)
        return _between(known, good_shas, bad_sha)


def without(where: str, culprit: Commit, bad: str) -> Revert:
    """Make a commit on top of *bad* that takes *culprit* back, as ``git revert`` would; of a merge, all it brought."""
    if not culprit.parents:
        return Revert(culprit.sha, why="it has no parent")
    merge = len(culprit.parents) > 1
    with mirror.locked(where) as known, tempfile.TemporaryDirectory(prefix="pi64-revert-") as name:
        tree, patch = Path(name) / "tree", Path(name) / "patch"
        settings = {**known.settings(remote=True), **IDENTITY}  # blobs that the mirror lacks are fetched now
        try:
            git.call(known.folder, "worktree", "add", "--quiet", "--no-checkout", "--detach", str(tree), bad,
                     settings=settings)  # fmt: skip
            git.call(tree, "read-tree", bad, settings=settings)
            git.call(tree, "diff", "--binary", "--full-index", "--no-ext-diff", "--no-textconv", "--no-renames",
                     f"--output={patch}", culprit.sha, culprit.parents[0], settings=settings)  # fmt: skip
            done = git.start(tree, "apply", "--cached", "--3way", "--whitespace=nowarn", str(patch), settings=settings)
            if done.returncode:
                return Revert(culprit.sha, why=_conflict(done.stderr), merge=merge)
            made = git.call(tree, "write-tree", settings=settings).decode().strip()
            message = f"Revert {culprit.sha}"
            sha = git.call(tree, "commit-tree", made, "-p", bad, "-m", message, settings=settings).decode().strip()
            git.call(known.folder, "update-ref", f"{KEPT}{sha}", sha, settings=settings)
            return Revert(culprit.sha, sha, merge=merge)
        finally:
            shutil.rmtree(tree, ignore_errors=True)
            git.call(known.folder, "worktree", "prune", "--expire=now")


def _conflict(said: bytes) -> str:
    lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()]
    error = next((line for line in lines if line.startswith(("error:", "U "))), lines[-1] if lines else "")
    return f"it does not revert on top of bad: {error.removeprefix('error: ')}"


# --- between ---------------------------------------------------------------------------------------------------------
def _resolved(where: str, name: str) -> str:
    """Return the full SHA of what *name* means in a repository on this host (``HEAD~3`` too); else *name* itself."""
    address.refuse_odd(name, "ref")
    folder = Path(where).expanduser()
    if not folder.is_dir():
        return name
    done = git.start(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    return done.stdout.decode().split()[-1] if done.returncode == 0 and done.stdout.split() else name


def _between(known: Mirror, goods: tuple[str, ...], bad: str) -> History:
    if bad in goods:
        raise UsageError(f"{bad[:12]}: the same commit cannot be good and bad")
    bases = list[str]()
    for good in goods:
        common = _lines(known, "merge-base", "--all", good, bad)
        if bad in common:
            hint = "bisect looks for what broke; exchange them and the names to look for a repair"
            raise UsageError(f"bad {bad[:12]} is older than good {good[:12]}", hint=hint)
        bases += [base for base in common if base not in (*goods, *bases)]
    graph = Graph.of(_log(known, "--topo-order", "--reverse", bad, "--not", *goods, "--"))
    named = {commit.sha: commit for commit in _log(known, "--no-walk", *goods, *bases, "--")}
    return History(goods, bad, tuple(bases), graph, named)


def _log(known: Mirror, *which: str) -> Iterator[Commit]:
    wanted = "%x00".join((*FIELDS, ""))
    command = ["log", "--no-show-signature", "--no-notes", "--no-color", "--encoding=UTF-8", f"--format={wanted}"]
    said = git.call(known.folder, *command, *which, settings=known.settings(remote=False)).decode(errors="replace")
    fields = said.split("\0")[:-1]
    for at in range(0, len(fields), len(FIELDS)):
        sha, parents, date, author, subject = fields[at : at + len(FIELDS)]
        yield Commit(sha.strip(), tuple(parents.split()), subject, author, date)


def _lines(known: Mirror, *command: str) -> list[str]:
    done = git.start(known.folder, *command, settings=known.settings(remote=False))
    if done.returncode > 1:  # 1: they have nothing in common
        raise git.failed(command, done.returncode, done.stderr)
    return done.stdout.decode().split()
