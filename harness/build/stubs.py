"""Boot stubs for AArch64: the first code the ARM cores run, built with its own Makefile and our cross compiler.

Only a Pi 4 with firmware from before July 2019 needs one; ``harness.bootfs.quirks`` tells. The source is the folder
``armstubs`` of https://github.com/raspberrypi/tools, whose Makefile takes the programs as ``CC8``, ``LD8``,
``OBJCOPY8`` and ``OBJDUMP8``.
"""

import hashlib
import shutil
import tempfile
from pathlib import Path, PurePosixPath

import attrs

from harness import host
from harness.build import address, checkout
from harness.errors import BuildError, UsageError
from harness.model import BootFile, Toolchain

SOURCE = "git+https://github.com/raspberrypi/tools"
NAMES = ("armstub8.bin", "armstub8-gic.bin")
MAIN = "armstub8.S"
LOG = "build.log"
TARGET = "aarch64-linux-gnu"


@attrs.frozen
class Stubs:
    """Built stubs, in the cache."""

    folder: Path
    """Holds the files of NAMES, and the log of their build."""
    origin: str
    """Where the source came from, for people."""
    key: str
    """Digest of source and toolchain."""

    def file(self, name: str) -> BootFile:
        """Return stub *name* as a file for the root of the boot partition."""
        return BootFile(PurePosixPath(name), source=self.folder / name)


def build(spec: str, toolchain: Toolchain, *, ref: str | None = None, progress: host.Progress = host.silent) -> Stubs:
    """Return the stubs of *spec*, a folder or ``git+URL``, from the cache or built now; the tree is not written to.

    UsageError when *spec* holds no stubs; BuildError when they do not compile, or the tree knows no stub for the GIC.
    """
    tree, origin = _source(spec, ref, progress)
    key = hashlib.sha256(f"{_digest(tree)}\n{toolchain.digest}".encode()).hexdigest()[:32]
    done = host.cache_dir("stubs").resolve() / key
    with host.locked(done.with_suffix(".lock")):
        if not all((done / name).is_file() for name in NAMES):
            progress(f"stubs: building {' and '.join(NAMES)} from {origin}")
            _build(tree, toolchain, done, origin)
    return Stubs(done, origin, key)


def _source(spec: str, ref: str | None, progress: host.Progress) -> tuple[Path, str]:
    found = address.parse(spec, ref=ref)
    path = Path(found.where).expanduser()
    if found.kind == "git" or ref is not None:
        path, commit = checkout.checkout(found.where, ref or "HEAD", progress)
        origin = f"{found.shown} {ref or 'HEAD'} ({commit[:12]})"
    elif found.kind == "path" and path.is_dir():
        origin = str(path)
    else:
        raise UsageError(f"stubs {found.shown}: no such folder", hint=f"a folder, or git+URL, e.g. {SOURCE}")
    for tree in (path, path / "armstubs"):
        if (tree / MAIN).is_file() and (tree / "Makefile").is_file():
            return tree, origin
    raise UsageError(f"stubs {spec}: neither it nor its armstubs/ has {MAIN} and a Makefile", hint=f"try {SOURCE}")


def _digest(tree: Path) -> str:
    """Return a digest of the folder's files: a dozen, of some kilobytes."""
    digest = hashlib.sha256()
    for path in sorted(path for path in tree.iterdir() if path.is_file()):
        digest.update(f"{path.name}\0{host.sha256(path)}\n".encode())
    return digest.hexdigest()


def _build(tree: Path, toolchain: Toolchain, done: Path, origin: str) -> None:
    """Build in a copy, because the Makefile builds where the sources are; *done* appears when both stubs are there."""
    with tempfile.TemporaryDirectory(prefix=".building-", dir=done.parent) as scratch:
        work, shelf = Path(scratch) / "work", Path(scratch) / "shelf"
        work.mkdir()
        for path in tree.iterdir():
            if path.is_file() and path.suffix not in {".bin", ".o", ".elf", ".tmp"}:  # what somebody built there
                shutil.copy2(path, work)
        # Of a make around this one nothing shall reach the Makefile.
        clean = {"MAKEFLAGS": "", "MAKELEVEL": "", "LC_ALL": "C"}
        try:
            said = host.run(["make", "-C", work, *_programs(toolchain), *NAMES], env=clean, error=BuildError)
        except BuildError as error:
            raise _explained(error, origin) from error
        shelf.mkdir()
        (shelf / LOG).write_bytes(said)
        for name in NAMES:
            shutil.copy2(work / name, shelf)
        shutil.rmtree(done, ignore_errors=True)
        shelf.rename(done)


def _programs(toolchain: Toolchain) -> list[str]:
    if any(variable.startswith("LLVM=") for variable in toolchain.make):
        where, _, name = toolchain.compiler.rpartition("/")
        start, suffix = f"{where}/" * bool(where), name.removeprefix("clang")
        tools = {"CC8": f"{start}clang{suffix} --target={TARGET}", "LD8": f"{start}ld.lld{suffix}"}
        objcopy, objdump = (f"{start}llvm-{tool}{suffix}" for tool in ("objcopy", "objdump"))
    else:
        prefix = toolchain.cross_prefix
        tools = {"CC8": f"{prefix}gcc", "LD8": f"{prefix}ld"}
        objcopy, objdump = f"{prefix}objcopy", f"{prefix}objdump -maarch64"
    return [f"{name}={value}" for name, value in (tools | {"OBJCOPY8": objcopy, "OBJDUMP8": objdump}).items()]


def _explained(error: BuildError, origin: str) -> BuildError:
    hint = "correct the tree, or name another ref"
    if any("No rule to make target" in line for line in error.evidence):
        hint = "a tree from before the Pi 4 (June 2019)? name a newer ref"
    return BuildError(f"stubs from {origin}: {error.message}", hint=hint, evidence=error.evidence)
