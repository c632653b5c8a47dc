"""Where kernel source comes from: a tree, a git ref, a tarball, or a package of the distribution.

Whatever it is, `open_tree` ends with a folder to build from and a digest that changes whenever the content does.
"""

import hashlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import attrs

from harness import host
from harness.build import archive, git
from harness.errors import LabError, UsageError
from harness.model import KernelSource

PACKAGES = Path("/usr/src")
"""Where Debian's and Ubuntu's ``linux-source-*`` packages put their tarballs."""
SUFFIXES = (".tar.xz", ".tar.zst", ".tar.bz2", ".tar.gz", ".tgz")
VERSION = re.compile(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION) *= *(\S*)", re.MULTILINE)
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
GIT_URL = re.compile(r"\w[\w+.-]*://|[\w.-]+@[\w.-]+:")


def open_tree(spec: str, *, ref: str | None = None, progress: host.Progress = host.silent) -> KernelSource:
    """Return the kernel tree *spec*, unpacked or checked out if need be.

    *spec* is a folder, a tarball, ``package:PATTERN`` (newest installed match), or a git repository: ``git+URL``, a
    URL, a path that ends in ``.git``, or a work tree together with a *ref* (branch, tag or commit). UsageError when
    there is no such thing or it is no kernel tree; LabError when the disk is too small or a package is not installed.
    """
    refuse_odd(spec, "source")
    if ref is not None:
        refuse_odd(ref, "ref")
    if spec.startswith("package:"):
        return _package(spec.removeprefix("package:"), progress)
    path = Path(spec).expanduser()
    if _is_git(spec) or (ref is not None and path.is_dir()):
        return _repository(spec.removeprefix("git+"), ref, progress)
    if ref is not None:
        raise UsageError(f"{spec}: not a git repository, so it has no ref {ref}", hint="leave the ref out")
    if path.is_dir():
        return _tree(path.resolve())
    if path.is_file():
        return _tarball(path.resolve(), f"tarball {path}", progress)
    raise UsageError(f"{spec}: no such folder or file", hint="a git repository is written git+URL")


def refuse_odd(text: str, what: str) -> None:
    """Raise UsageError for a *text* that git or tar could take for an option, or that hides part of itself."""
    if not text or text.startswith("-") or CONTROL.search(text):
        raise UsageError(f"kernel {what} {text!r}: empty, starts with `-`, or holds control characters")


def unchanged(source: KernelSource) -> bool:
    """Return whether the tree still is what `open_tree` saw; trees unpacked into the cache are not looked at again."""
    if source.path.is_relative_to(host.cache_dir("sources").resolve()):
        return True
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
        digest=state.digest, commit=state.commit, dirty=state.dirty, epoch=state.epoch,
    )  # fmt: skip


def _tarball(path: Path, origin: str, progress: host.Progress) -> KernelSource:
    digest = archive.digest(path)
    tree = archive.unpack(path, digest, progress)
    return KernelSource(
        path=tree, flavour=_flavour(tree), version=_version(tree), origin=origin, digest=digest,
        epoch=int((tree / "Makefile").stat().st_mtime),
    )  # fmt: skip


def _package(pattern: str, progress: host.Progress) -> KernelSource:
    if "/" in pattern:
        raise UsageError(f"package:{pattern}: a package name holds no `/`", hint="package:linux-source-*")
    names = {path.name: path for suffix in SUFFIXES for path in PACKAGES.glob(pattern + suffix) if path.is_file()}
    if not names:
        hint = "apt-get install linux-source, or name another source"
        raise LabError(f"no installed package matches {pattern} (looked for {PACKAGES}/{pattern}.tar.*)", hint=hint)
    newest = max(names, key=_numbers)
    package = next(newest.removesuffix(suffix) for suffix in SUFFIXES if newest.endswith(suffix))
    origin = f"package {package} {_package_version(package)}".rstrip()
    return _tarball(names[newest].resolve(), origin, progress)


def _repository(url: str, ref: str | None, progress: host.Progress) -> KernelSource:
    refuse_odd(url, "source")
    checkout = git.checkout(url, ref or "HEAD", progress)
    source = _tree(checkout, origin=f"git {url} {ref or 'HEAD'}")
    return attrs.evolve(source, origin=f"{source.origin} ({str(source.commit)[:12]})")


# --- what a tree says about itself -----------------------------------------------------------------------------------
def _is_git(spec: str) -> bool:
    bare = spec.rstrip("/").endswith(".git")
    return spec.startswith("git+") or bare or GIT_URL.match(spec) is not None


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
