"""Where kernel source comes from: a tree, a git ref, a tarball, or a package of the distribution.

Whatever it is, `open_tree` ends with a folder to build from and a digest that changes whenever the content does.
"""

import hashlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from harness import host
from harness.build import address, checkout, git, unpacked
from harness.build.address import Address
from harness.errors import LabError, UsageError
from harness.model import KernelSource

PACKAGES = Path("/usr/src")
"""Where Debian's and Ubuntu's ``linux-source-*`` packages put their tarballs."""
VERSION = re.compile(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION) *= *(\S*)", re.MULTILINE)


def open_tree(
    spec: str,
    *,
    ref: str | None = None,
    branch: str | None = None,
    sha256: str | None = None,
    progress: host.Progress = host.silent,
) -> KernelSource:
    """Return the kernel tree *spec*, fetched, unpacked or checked out if need be.

    *spec* is a folder; a tarball (path or URL; *sha256* is its checksum, which a URL must have, and may stand behind it
    as ``#sha256=``); ``package:PATTERN`` (newest installed match); or a git repository: ``git+URL``, a URL, a path that
    ends in ``.git``, or a folder together with a *ref* (branch, tag or commit; one of *branch* is checked out where
    that was). What lies in the cache stays as it is while this process lives. UsageError when there is no such thing or
    it is no kernel tree; LabError when it is out of reach, the disk is too small, or a package is not installed.
    """
    found = address.parse(spec, ref=ref, sha256=sha256)
    if found.kind == "package":
        return _package(found.where, progress)
    if found.kind == "download":
        return _tarball(unpacked.fetched(found, progress), f"tarball {found.shown}", progress, found.sha256)
    path = Path(found.where).expanduser()
    if found.kind == "git" or (ref is not None and path.is_dir()):
        return _repository(found, ref, progress, branch)
    if ref is not None:
        raise UsageError(f"{spec}: not a git repository, so it has no ref {ref}", hint="leave the ref out")
    if path.is_dir():
        _refuse_checksum(found)
        return _tree(path.resolve())
    if path.is_file():
        return _tarball(path.resolve(), f"tarball {path}", progress, found.sha256)
    raise UsageError(f"{spec}: no such folder or file", hint="a git repository is written git+URL")


def unchanged(source: KernelSource) -> bool:
    """Return whether the tree still is what `open_tree` saw.

    A tree unpacked into the cache is not looked at again, and of a work tree there only which commit it is for.
    """
    sources = host.cache_dir("sources").resolve()
    if source.path.is_relative_to(sources):
        return source.path.parent == sources or checkout.intact(source.path, source.commit)
    return _tree(source.path).digest == source.digest


# --- the four kinds --------------------------------------------------------------------------------------------------
def _tree(path: Path, origin: str | None = None) -> KernelSource:
    version = _version(path)
    state = git.work_tree(path)
    if state is None:
        epoch = int((path / "Makefile").stat().st_mtime)
        return KernelSource(
            path=path, flavour=_flavour(path), version=version, origin=origin or f"tree {path}",
            digest=_listing_digest(path), epoch=epoch,
        )  # fmt: skip
    about = f"{state.commit[:12]}{' with changes' if state.dirty else ''}"
    return KernelSource(
        path=path, flavour=_flavour(path), version=version, origin=origin or f"work tree {path} at {about}",
        digest=state.digest, commit=state.commit, dirty=state.dirty, epoch=state.epoch, branch=state.branch,
    )  # fmt: skip


def _tarball(path: Path, origin: str, progress: host.Progress, sha256: str | None = None) -> KernelSource:
    digest = unpacked.verify(path, sha256)
    tree = unpacked.tree(path, digest, progress)
    return KernelSource(
        path=tree, flavour=_flavour(tree), version=_version(tree), origin=origin, digest=digest,
        epoch=int((tree / "Makefile").stat().st_mtime),
    )  # fmt: skip


def _package(pattern: str, progress: host.Progress) -> KernelSource:
    tarball, origin = installed(pattern)
    return _tarball(tarball, origin, progress)


def installed(pattern: str) -> tuple[Path, str]:
    """Return the tarball of the newest installed source package that matches *pattern*, and what people call it."""
    if "/" in pattern:
        raise UsageError(f"package:{pattern}: a package name holds no `/`", hint="package:linux-source-*")
    names = {
        path.name: path for suffix in address.TARBALLS for path in PACKAGES.glob(pattern + suffix) if path.is_file()
    }
    if not names:
        hint = "apt-get install linux-source, or name another source"
        raise LabError(f"no installed package matches {pattern} (looked for {PACKAGES}/{pattern}.tar.*)", hint=hint)
    newest = max(names, key=_numbers)
    package = next(newest.removesuffix(suffix) for suffix in address.TARBALLS if newest.endswith(suffix))
    return names[newest].resolve(), f"package {package} {_package_version(package)}".rstrip()


def _repository(found: Address, ref: str | None, progress: host.Progress, branch: str | None = None) -> KernelSource:
    wanted = ref or "HEAD"
    path, commit = checkout.checkout(found.where, wanted, progress, branch=branch)
    origin = f"git {found.shown} {wanted} ({commit[:12]})"
    source = _tree(path, origin)
    if source.dirty or source.commit != commit:
        checkout.restore(path, commit)
        source = _tree(path, origin)
    return source


def _refuse_checksum(found: Address) -> None:
    if found.sha256 is not None:
        raise UsageError(f"{found.shown}: a folder, and a SHA-256 is for tarballs", hint="leave it out")


# --- what a tree says about itself -----------------------------------------------------------------------------------
def _flavour(path: Path) -> str:
    return "raspberrypi" if (path / "arch/arm64/configs/bcm2711_defconfig").is_file() else "mainline"


def _version(path: Path) -> str:
    """Return VERSION.PATCHLEVEL.SUBLEVEL EXTRAVERSION; UsageError if *path* is not an arm64 kernel tree."""
    makefile = path / "Makefile"
    text = makefile.read_text(errors="replace") if makefile.is_file() else ""
    parts: dict[str, str] = dict(VERSION.findall(text))
    if "VERSION" not in parts or not (path / "arch/arm64").is_dir():
        inner = next(iter(sorted(path.glob("*/arch/arm64"))), None)
        hint = f"did you mean {inner.parent.parent}?" if inner else "name the folder that holds its top Makefile"
        raise UsageError(f"{path}: not a kernel tree (no Makefile with VERSION=, or no arch/arm64)", hint=hint)
    numbers = ".".join(parts[part] for part in ("VERSION", "PATCHLEVEL", "SUBLEVEL") if parts.get(part))
    return numbers + parts.get("EXTRAVERSION", "")


def _listing_digest(path: Path) -> str:
    """Return a digest over path, size and mtime of all files: fast, and enough to see an edit."""
    digest = hashlib.sha256()
    for line in sorted(_listing(str(path), "")):
        digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()


def _listing(folder: str, prefix: str) -> Iterator[str]:
    for entry in os.scandir(folder):
        name = f"{prefix}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            yield from _listing(entry.path, f"{name}/") if entry.name != ".git" else ()
        else:
            state = entry.stat(follow_symlinks=False)
            yield f"{name}\0{state.st_size}\0{state.st_mtime_ns}\n"


def _numbers(name: str) -> list[int]:
    """``linux-source-6.12.tar.xz`` -> [6, 12]: versions are compared as numbers, 6.9 is older than 6.12."""
    return [int(number) for number in re.findall(r"\d+", name)]


def _package_version(package: str) -> str:
    """Return the version that dpkg has installed; empty where there is no dpkg, or the file is nobody's."""
    try:
        command = [host.find("dpkg-query"), "--show", "--showformat=${Version}", package]
    except LabError:
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
