"""What a user names with ``--kernel``: a build directory, a package, a tarball, a folder; told apart and opened."""

import hashlib
import json
import os
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from harness import host
from harness.build import archive
from harness.build.address import refuse_odd
from harness.build.prebuilt import builddir, image, parts
from harness.build.prebuilt.parts import Parts
from harness.errors import UsageError
from harness.report.redact import printable

LEFT_OUT = ("*lib/modules/*/build", "*lib/modules/*/source", "usr/share/*", "*/System.map*")
"""Of a package or tarball: links into a kernel tree that is not here, documentation, symbols."""
TAR = re.compile(r".*\.(tar|tgz|tar\.(gz|xz|zst|bz2))")
DEB = b"!<arch>\ndebian-binary"
METADATA = "metadata.json"
START = 2**16  # bytes: enough to tell an image from an archive


@attrs.frozen
class Input:
    """One thing that was named."""

    path: Path
    origin: str
    """For people: a package's name and version, or what it is and where."""
    digest: str
    commit: str | None = None
    """As a tuxmake folder tells it."""


def look(path: Path) -> Input:
    """Return what *path* is, quickly; UsageError when it can be no kernel."""
    refuse_odd(str(path), "path")
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder", hint="--kernel names a kernel that is built already")
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise UsageError(f"{path}: neither a file nor a folder")
    with path.open("rb") as file:
        start = file.read(START)
    _refuse_image(path, start)
    if start.startswith(DEB):
        return Input(path, _package(path), host.sha256(path))
    return Input(path, f"archive {path}", host.sha256(path))


def open_all(inputs: Sequence[Input], scratch: Path, progress: host.Progress) -> Parts:
    """Return the parts of the one kernel that *inputs* hold together, unpacked below *scratch*."""
    builds = [each.path for each in inputs if builddir.is_one(each.path)]
    if builds and len(inputs) > 1:
        raise UsageError(f"{builds[0]}: a build directory is whole by itself", hint="name nothing beside it")
    if builds:
        progress(f"kernel: taking {builds[0]}")
        return builddir.parts(builds[0], scratch)
    folders: list[Path] = []
    for number, each in enumerate(inputs):
        folders += _opened(each.path, scratch / str(number), progress)
    return parts.find(folders, ", ".join(str(each.path) for each in inputs))


def _opened(path: Path, scratch: Path, progress: host.Progress) -> list[Path]:
    """Return the folders to look into: *path* itself, or what the archives in it unpack to."""
    archives = [path] if path.is_file() else _archives(path)
    opened = [] if path.is_file() else [path]
    for number, each in enumerate(archives):
        host.need_space(scratch.parent, each.stat().st_size * 6, f"unpacking {each.name}")
        archive.unpack(each, scratch / str(number), leave_out=LEFT_OUT, progress=progress)
        opened.append(scratch / str(number))
    return opened


# --- folders ---------------------------------------------------------------------------------------------------------
def _archives(folder: Path) -> list[Path]:
    """Return the archives that lie openly in *folder*, as tuxmake leaves them."""
    return sorted(path for path in folder.iterdir() if path.is_file() and TAR.fullmatch(path.name))


def _folder(path: Path) -> Input:
    if builddir.is_one(path):
        return Input(path, f"build directory {path}", builddir.digest(path))
    if (path / "Kconfig").is_file() and (path / "Makefile").is_file():
        raise UsageError(f"{path}: a kernel tree that was not built", hint=f"--source {path} builds it")
    metadata = _metadata(path)
    what = f"tuxmake's {path}" if metadata else f"folder {path}"
    return Input(path, what, _listing(path), _commit(metadata))


def _metadata(path: Path) -> dict[str, Any]:
    """Return what tuxmake says about its build, nothing where it did not build; UsageError if that failed."""
    file = path / METADATA
    try:
        found = json.loads(file.read_text()) if file.is_file() else {}
    except ValueError as error:
        raise UsageError(f"{file}: not JSON: {error}") from error
    metadata: dict[str, Any] = found if isinstance(found, dict) else {}
    status, arch = _get(metadata, "results", "status"), _get(metadata, "build", "target_arch")
    if status not in {"", "PASS"}:
        raise UsageError(f"{path}: tuxmake says that this build did not succeed: {status}", hint="build it again")
    if arch not in {"", "arm64"}:
        raise UsageError(f"{path}: tuxmake built this for {arch}", hint="tuxmake --target-arch=arm64")
    return metadata


def _get(metadata: Any, *keys: str) -> str:
    for key in keys:
        metadata = metadata.get(key, {}) if isinstance(metadata, dict) else {}
    return printable(metadata) if isinstance(metadata, str) else ""


def _commit(metadata: Any) -> str | None:
    commit = _get(metadata, "source", "git", "git_sha")
    return commit if re.fullmatch(r"[0-9a-f]{40}", commit) else None


def _listing(folder: Path) -> str:
    """Return a digest over name, size and time of all files."""
    lines = []
    for parent, _, files in os.walk(folder):
        for name in files:
            state = Path(parent, name).lstat()
            lines.append(f"{parent}/{name}\0{state.st_size}\0{state.st_mtime_ns}")
    return hashlib.sha256("\n".join(sorted(lines)).encode(errors="surrogateescape")).hexdigest()


# --- files -----------------------------------------------------------------------------------------------------------
def _refuse_image(path: Path, start: bytes) -> None:
    """Raise UsageError for a kernel image, of whatever processor: it comes without DTBs and modules."""
    if start.startswith(b"\x1f\x8b"):
        try:
            start = zlib.decompressobj(wbits=31).decompress(start)
        except zlib.error as error:
            raise UsageError(f"{path}: damaged: {error}", hint="download it again") from error
    kind = "a packed arm64 Image" if start[4:8] == b"zimg" else image.identify(start)
    if kind in {image.ARM64, "a packed arm64 Image"}:
        hint = "name the build directory, the package, or a folder or tarball with its DTBs and modules as well"
        raise UsageError(f"{path}: an image alone, without the DTBs and modules that belong to it", hint=hint)
    if kind not in {"no kernel image", "an empty file"}:
        raise UsageError(f"{path}: {kind}", hint="a Raspberry Pi needs a kernel for arm64")
    if not start:
        raise UsageError(f"{path}: an empty file", hint="download it again")


def _package(path: Path) -> str:
    """Return name and version of a Debian package; UsageError when it is damaged, or a name without a content."""
    fields = ["Package", "Version", "Depends"]
    try:
        said = host.run(["dpkg-deb", "--field", path, *fields], env={"LC_ALL": "C"}, error=UsageError)
    except UsageError as error:
        hint = "download it again, or check its checksum"
        raise UsageError(f"{path}: a damaged package", evidence=error.evidence[-2:], hint=hint) from error
    control = dict(
        line.split(": ", 1) for line in printable(said.decode(errors="replace")).splitlines() if ": " in line
    )
    depends = re.findall(r"linux-image-\S+", control.get("Depends", ""))
    if path.stat().st_size < START and depends:
        raise UsageError(
            f"{path}: {control.get('Package')} holds no kernel, only the name of one: {depends[0]}",
            hint=f"apt-get download {depends[0]}",
        )
    return f"package {control.get('Package')} {control.get('Version')}"
