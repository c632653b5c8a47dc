"""What a kernel source holds at this moment, found out without fetching, unpacking or checking it out."""

from pathlib import Path

import attrs

from harness.build import address, mirror, source, unpacked


@attrs.frozen
class Revision:
    """One state of one source."""

    digest: str
    """Changes whenever the content does."""
    origin: str
    """For people."""
    commit: str = ""
    """Git SHA; empty outside git."""
    dirty: bool = False
    """Whether a work tree differs from *commit*."""
    pinned: bool = False
    """Whether *commit* can be asked for later, whatever has happened to the branch meanwhile."""


def in_git(spec: str, *, ref: str | None = None) -> bool:
    """Tell whether *spec* is a repository whose commits can be asked for, not a work tree that is taken as it is."""
    found = address.parse(spec, ref=ref)
    return found.kind == "git" or (ref is not None and Path(found.where).expanduser().is_dir())


def look(spec: str, *, ref: str | None = None) -> Revision:
    """Return what *spec* (as for ``source.open_tree``) holds now; git servers are asked for their branches, no more.

    Raises as ``open_tree`` does.
    """
    found = address.parse(spec, ref=ref)
    path = Path(found.where).expanduser()
    if in_git(spec, ref=ref):
        commit = mirror.tip(found.where, ref or "HEAD")
        return Revision(commit, f"git {found.shown} {ref or 'HEAD'} ({commit[:12]})", commit, pinned=True)
    if found.kind == "package":
        tarball, origin = source.installed(found.where)
        return Revision(unpacked.digest(tarball), origin)
    if found.kind == "download":
        return Revision(str(found.sha256), f"tarball {found.shown}")
    if path.is_file() and ref is None:
        return Revision(unpacked.verify(path.resolve(), found.sha256), f"tarball {path}")
    tree = source.open_tree(spec, ref=ref)  # a folder: it is looked at where it is; all else is a mistake
    return Revision(tree.digest, tree.origin, tree.commit or "", tree.dirty)
