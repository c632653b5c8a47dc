"""The kernel's own tests (tools/testing/selftests), cross-built from the tree of the kernel that they are to test.

They are 64-bit programs and the userland below them is a 32-bit one, without their C library or loader: they are
linked statically. A target whose tests need more than the C library (libcap, popt) does not build, and that is told.
"""

import hashlib
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import attrs

from harness import host
from harness.build.process import group
from harness.errors import LabError, UsageError
from harness.model import KernelBuild

RECIPE = 2  # raised when what is made of the same tree is another thing
FOLDER = "tools/testing/selftests"
LIST = "kselftest-list.txt"
SETTINGS = "settings"
TIMEOUT_S = 45.0  # of one program, as kselftest/runner.sh has it
ENDLESS_S = 600.0  # where a target allows its programs any time
LIBRARY = "libc6-dev-arm64-cross"
LOADER = b"/lib/ld-linux-aarch64.so"
NO_LIBRARY = (r"cannot find -lc[:\s]", r"fatal error: (?:stdio|unistd|stdlib)\.h")


@attrs.frozen
class Program:
    """One test program."""

    target: str
    name: str
    timeout_s: float


@attrs.frozen
class Selftests:
    """Built and installed, in the cache."""

    root: Path
    """Holds a folder for each target, and the list of programs."""

    def programs(self, target: str) -> list[Program]:
        """Return the programs of *target*, in the order in which the tree names them."""
        timeout_s = timeout(self.root / target / SETTINGS)
        listed = (line.partition(":") for line in (self.root / LIST).read_text().splitlines())
        return [Program(target, name, timeout_s) for of, _, name in listed if of == target and name]


def timeout(settings: Path) -> float:
    """Return how long a program may take, in seconds, as its target's *settings* say."""
    lines = settings.read_text().splitlines() if settings.is_file() else []
    said = [line.removeprefix("timeout=") for line in lines if line.startswith("timeout=")]
    return float(said[-1]) or ENDLESS_S if said and said[-1].isdecimal() else TIMEOUT_S


def build(
    kernel: KernelBuild, targets: Sequence[str], *, log: Path, progress: host.Progress = host.silent
) -> Selftests:
    """Return the tests of *targets*, from the cache or built now; *log* gets what make says.

    UsageError for a kernel whose tree is not here, a target that the tree has not, and one that does not build on this
    host; LabError where the host has no 64-bit C library to link with.
    """
    tree = kernel.source.path / FOLDER
    if not (tree / "lib.mk").is_file():
        raise UsageError(
            f"--kselftest: {kernel.source.origin}: no {FOLDER} here",
            hint="the tests come from the kernel's own tree: not with a kernel that was built elsewhere",
        )
    if unknown := [target for target in targets if not (tree / target / "Makefile").is_file()]:
        raise UsageError(f"--kselftest: {kernel.source.version} has no target {', '.join(unknown)}", hint=_known(tree))
    wanted = " ".join(sorted(set(targets)))
    key = hashlib.sha256(f"{RECIPE}\0{kernel.source.digest}\0{kernel.toolchain.digest}\0{wanted}".encode()).hexdigest()[
        :32
    ]
    done = host.cache_dir("selftests").resolve() / key
    with host.locked(done.with_suffix(".lock")):
        if not done.exists():
            progress(f"kselftest: building {wanted}")
            _build(kernel, wanted.split(), done, log)
    return Selftests(done)


def _known(tree: Path) -> str:
    return f"it has {', '.join(sorted(path.parent.name for path in tree.glob('*/Makefile')))}"[:800]


def _build(kernel: KernelBuild, targets: Sequence[str], done: Path, log: Path) -> None:
    """Build in a copy, for some tests compile where their sources are; *done* appears when each target is there."""
    toolchain, prefix = kernel.toolchain, f".building-{done.name}-"
    for left in done.parent.glob(f"{prefix}*"):  # by one that was killed: the lock is ours
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=done.parent) as scratch:
        objects, shelf, tree = (Path(scratch, name) for name in ("objects", "shelf", "tree"))
        _copy(kernel.source.path, tree)
        objects.mkdir()
        shelf.mkdir()
        common = ["make", f"O={objects}", "ARCH=arm64", f"CROSS_COMPILE={toolchain.cross_prefix}", *toolchain.make]
        _make([*common, "-C", str(kernel.source.path), "headers"], log)
        listed = [line for target in targets for line in _target(kernel, common, tree, target, shelf, log)]
        (shelf / LIST).write_text("".join(f"{line}\n" for line in listed))
        _strip(shelf, f"{toolchain.cross_prefix}strip")
        shelf.rename(done)


def _copy(source: Path, tree: Path) -> None:
    """Make *tree* one in which the selftests are copies, and all else points to *source*."""
    real = [Path(FOLDER).parents[depth] for depth in range(len(Path(FOLDER).parts) - 1, -1, -1)]
    for folder in real:
        (tree / folder).mkdir()
        for entry in (source / folder).iterdir():
            if folder / entry.name not in {*real, Path(FOLDER)}:
                (tree / folder / entry.name).symlink_to(entry)
    shutil.copytree(source / FOLDER, tree / FOLDER, symlinks=True)


def _target(kernel: KernelBuild, common: Sequence[str], tree: Path, target: str, shelf: Path, log: Path) -> list[str]:
    """Build and install one target; return its lines of the list."""
    installed, begin = shelf.with_name("installed"), log.stat().st_size
    shutil.rmtree(installed, ignore_errors=True)
    flags = ["-static"]  # a Makefile with a rule of its own may pass on these alone
    if target.startswith("arm64/"):  # the Makefile with its paths stands one folder higher
        flags += [f"-isystem {shelf.with_name('objects')}/usr/include", f"-I{tree / FOLDER}", f"-I{tree}/tools/include"]
    _make(
        [
            *common, "-C", str(tree / FOLDER), f"TARGETS={target}", f"INSTALL_PATH={installed}",
            # Some define a function of the C library themselves, which is no conflict with a shared one.
            "USERLDFLAGS=-static -Wl,-z,muldefs", f"USERCFLAGS={' '.join(flags)}", "install",
        ],
        log,
    )  # fmt: skip
    found = installed / LIST
    lines = [line for line in found.read_text().splitlines() if ":" in line] if found.is_file() else []
    programs = [installed / target / line.partition(":")[2] for line in lines]
    if not lines or (unfit := [*_unfit(programs)]):
        with log.open("rb") as file:
            file.seek(begin)
            said = file.read().decode(errors="replace")
        raise _refused(kernel, target, said, unfit if lines else [], log)
    shutil.copytree(installed, shelf, symlinks=True, dirs_exist_ok=True)
    return lines


def _unfit(programs: Iterable[Path]) -> Iterator[str]:
    """Yield what is wrong with programs that make took for good."""
    for program in programs:
        if not program.is_file():
            yield f"{program.name}: not installed"
        elif _is_elf(program) and LOADER in program.read_bytes():
            yield f"{program.name}: wants a 64-bit C library, which the board has not"


def _make(command: list[str], log: Path) -> None:
    """Run make; what of a target is there afterwards says more than its status."""
    with log.open("ab") as file, group(command, log.with_suffix(".running")) as process:
        file.write(f"+ {shlex.join(command)}\n".encode())
        assert process.stdout is not None
        for line in process.stdout:
            file.write(line)
        process.wait()


def _refused(kernel: KernelBuild, target: str, said: str, unfit: Sequence[str], log: Path) -> UsageError | LabError:
    if any(re.search(word, said) for word in NO_LIBRARY):
        return LabError("kselftest: no 64-bit C library to link with", hint=f"apt-get install {LIBRARY}")
    why = [line for line in said.splitlines() if "error:" in line or "cannot find" in line][:6]
    return UsageError(
        f"--kselftest: {target} of {kernel.source.version} does not build here",
        evidence=[*unfit[:6], *why] or said.splitlines()[-6:],
        hint=f"the whole of it: {log}",
    )


def _strip(shelf: Path, program: str) -> None:
    """Take the symbols away: half of each program, and the card is slow."""
    for path in shelf.rglob("*"):
        if path.is_file() and not path.is_symlink() and _is_elf(path):
            host.run([program, path], accept=(0, 1))


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"
