"""Cross compilers built from source, as the guide does it: binutils, then GCC for C alone, without a C library.

Everything happens in a folder beside the one where the toolchain will lie; each step leaves a mark there, and what a
broken off build has finished is not done again. The finished folder takes its place in the cache by a rename.
"""

import hashlib
import json
import os
import resource
import shlex
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from harness import host
from harness.build import diagnose, lease, tarballs
from harness.build.process import clock, group
from harness.build.tarballs import Tarball
from harness.errors import LabError

TARGET = "aarch64-linux-gnu"
PREFIX = "/pi64-toolchain"
"""What the programs believe to be installed in; they look for each other relative to where they are. A name of the
cache in it would make the same compiler another one on each host."""
FORMAT = 1
"""Counts up when the same tarballs would give another toolchain."""
CONFIGURE = {
    # docs are not built: MAKEINFO=true spares texinfo. gprofng is for programs of this host; old binutils know it not.
    "binutils": ("--disable-nls", "--disable-werror", "--disable-gprofng"),
    "gcc": (
        "--with-newlib", "--without-headers", "--disable-nls", "--disable-shared", "--disable-threads",
        "--disable-libssp", "--disable-decimal-float", "--disable-libquadmath", "--disable-libvtv",
        "--disable-libgomp", "--disable-libatomic", "--enable-languages=c",
    ),
}  # fmt: skip
"""The guide's options, and what newer versions need beside them."""
MAKE = {"binutils": ("all",), "gcc": ("all-gcc",)}
INSTALL = {"binutils": ("install",), "gcc": ("install-gcc",)}
LEFT_OUT = {
    "binutils": (),
    "gcc": ("*/gcc/testsuite/[!s]*", "*/gcc/ada", "*/libgo", "*/libphobos", "*/libstdc++-v3/testsuite"),
}
"""Not unpacked: languages and tests, two thirds of GCC's files; but GCC tests itself while it is built (selftests)."""
FLAGS = ("CFLAGS=-O2", "CXXFLAGS=-O2")  # without the -g of the default, which takes most of the disk
TYPICAL = {"binutils": 900, "gcc": 1100}
"""Files that are compiled; counted with binutils 2.40 and GCC 12.2."""
SPACE = 4 * 2**30
HEADERS = {"gmp.h": "libgmp-dev", "mpfr.h": "libmpfr-dev", "mpc.h": "libmpc-dev"}
PROGRAMS = {program: program for program in ("g++", "gcc", "make", "bison", "flex", "tar")} | {"xz": "xz-utils"}
STEPS = ("unpack", "configure", "build", "install")
LOG = "build.log"
RECORD = "pi64.json"
RUNNING = ".running"
"""Lies in a build folder while make compiles; what lies there afterwards was killed, and half-written files with it."""


def build(
    name: str = "",
    *,
    table: Path | None = None,
    jobs: int | None = None,
    progress: host.Progress = host.silent,
) -> Path:
    """Return the folder of toolchain *name* of the table (empty: its default), from the cache or built now.

    *table* is the user's own, which may not exist. LabError names the package that is missing, or the log of what
    failed; a build that was broken off goes on where it was.
    """
    sources = [tarballs.find(part) for part in tarballs.entry(name, table)]
    folder = host.cache_dir("toolchains").resolve()
    label = "-".join(f"{source.part.part}-{source.version}" for source in reversed(sources))
    done = folder / f"{label}-{_key(sources)}"
    if done.is_dir():
        return done
    _demand_prerequisites()
    work = folder / f".{done.name}"
    progress(f"toolchain: {label}: preparing, or waiting for another build of it")
    with host.locked(folder / f"{done.name}.lock"):
        if not done.is_dir():
            work.mkdir(exist_ok=True)
            host.need_space(folder, SPACE - lease.bytes_below(work), f"building {label}")
            for source in sources:
                source.fetch(progress)
            for source in sources:
                _Build(source, work, jobs or os.cpu_count() or 1, progress).run()
            _record(work, sources)
            (work / f"root{PREFIX}").rename(done)
            shutil.rmtree(work, ignore_errors=True)
    return done


def _key(sources: Sequence[Tarball]) -> str:
    """Return a digest of all that makes the toolchain what it is."""
    inputs = [
        FORMAT, TARGET,
        *([source.part.part, source.sha256, CONFIGURE[source.part.part], source.part.configure] for source in sources),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:12]


def _record(work: Path, sources: Sequence[Tarball]) -> None:
    """Leave with the programs what they were built from, what each step took, and the log."""
    root = work / f"root{PREFIX}"
    shutil.copy2(work / LOG, root / LOG)
    told = {
        source.part.part: {
            "version": source.version,
            "from": source.part.url or str(source.path),
            "sha256": source.sha256,
            "steps": {name: json.loads((work / f"{source.part.part}.{name}.done").read_text()) for name in STEPS},
        }
        for source in sources
    }
    host.write_atomic(root / RECORD, json.dumps(told, indent=1).encode())


def _demand_prerequisites() -> None:
    """Raise LabError naming every package that is missing, in one go."""
    missing = {package: f"no program `{program}`" for program, package in PROGRAMS.items() if not shutil.which(program)}
    if "g++" not in missing:
        asked = "\n".join(f"#if !__has_include(<{header}>)\n{header}\n#endif" for header in HEADERS)
        said = host.run(["g++", "-E", "-P", "-x", "c++", "-"], stdin=f"{asked}\n".encode()).decode().split()
        missing |= {HEADERS[header]: f"no header <{header}>" for header in said}
    if missing:
        hint = f"apt-get install {' '.join(sorted(missing))}, or run `bash scripts/setup.sh toolchain`"
        raise LabError("building a toolchain needs more of this host", evidence=sorted(missing.values()), hint=hint)


@attrs.define
class _Count:
    """Counts what is compiled in this go."""

    started: float = attrs.Factory(time.monotonic)
    files: int = 0

    def line(self, said: bytes) -> bool:
        """Take a line of make's output; tell whether it compiles something."""
        compiles = b" -c " in said or said.startswith((b"  CC ", b"  CXX "))
        self.files += compiles
        return compiles

    def state(self, expected: int) -> str:
        """Return e.g. ``build: 400 of ~900 files, 2:31 elapsed``."""
        elapsed = clock(time.monotonic() - self.started)
        return f"build: {self.files} of ~{max(expected, self.files)} files, {elapsed} elapsed"


@attrs.frozen
class _Build:
    """One part on its way from tarball to installed programs."""

    source: Tarball
    work: Path
    jobs: int
    progress: host.Progress
    counted: _Count = attrs.Factory(_Count)

    @property
    def part(self) -> str:
        """``binutils`` or ``gcc``."""
        return self.source.part.part

    @property
    def objects(self) -> Path:
        """Where it is built."""
        return self.work / f"{self.part}-build"

    def run(self) -> None:
        """Do what is left to do."""
        if (self.objects / RUNNING).exists():  # killed while it wrote; ccache has what was whole
            self._mark("configure").unlink(missing_ok=True)
        for name, action in zip(STEPS, (self._unpack, self._configure, self._build, self._install), strict=True):
            self._step(name, action)

    def _step(self, name: str, action: Callable[[], None]) -> None:
        mark = self._mark(name)
        if mark.exists():
            return
        self._tell(name)
        started, used = time.monotonic(), _cpu_seconds()
        action()
        took = {"seconds": round(time.monotonic() - started, 1), "cpu_seconds": round(_cpu_seconds() - used, 1)}
        host.write_atomic(mark, json.dumps(took).encode())

    def _mark(self, name: str) -> Path:
        return self.work / f"{self.part}.{name}.done"

    def _tell(self, text: str) -> None:
        self.progress(f"toolchain: {self.part} {self.source.version}: {text}")

    # --- the steps ---------------------------------------------------------------------------------------------------
    def _unpack(self) -> None:
        """Unpack with tar, which keeps times: a file that looks older than its source is made again, and may not be."""
        tree = self._anew(self.work / self.part)
        left_out = [f"--exclude={pattern}" for pattern in LEFT_OUT[self.part]]
        options = ["--strip-components=1", "--no-same-owner", "--no-same-permissions", *left_out]
        host.run(["tar", "--extract", *options, "--file", self.source.path, "--directory", tree])

    def _configure(self) -> None:
        self._anew(self.objects)
        # A relative name: an absolute one would be told by the compiler, on each host another.
        self._call(
            "sh", f"../{self.part}/configure", f"--prefix={PREFIX}", f"--target={TARGET}", *CONFIGURE[self.part],
            *self.source.part.configure, *FLAGS, *self._compilers(),
        )  # fmt: skip

    def _build(self) -> None:
        if self.source.part.spare:
            self._make("configure-gcc")
            for name in self.source.part.spare:
                spared = self.objects / name
                spared.touch()
                # In the future, because what it depends on is made after it.
                os.utime(spared, (time.time() + 10 * 365 * 86400,) * 2)
        self._make(*MAKE[self.part], mark=self.objects / RUNNING)

    def _install(self) -> None:
        self._make(f"DESTDIR={self.work / 'root'}", *INSTALL[self.part])

    def _anew(self, folder: Path) -> Path:
        """Return *folder*, empty; a killed build's last programs may still write to what is moved away."""
        if folder.exists():
            old = Path(tempfile.mkdtemp(prefix=".old-", dir=self.work))
            folder.rename(old / folder.name)
            shutil.rmtree(old, ignore_errors=True)
        folder.mkdir()
        return folder

    def _compilers(self) -> tuple[str, ...]:
        return ("CC=ccache gcc", "CXX=ccache g++") if shutil.which("ccache") else ()

    def _make(self, *targets: str, mark: Path | None = None) -> None:
        self._call("make", f"-j{self.jobs}", "MAKEINFO=true", *targets, mark=mark)

    def _call(self, *command: str, mark: Path | None = None) -> None:
        """Run *command* in the build folder, appending what it says to the log; LabError if it fails."""
        log = self.work / LOG
        with log.open("ab") as file:
            file.write(f"+ cd {self.objects} && {shlex.join(command)}\n".encode())
            said_from = file.tell()
            # GCC looks for the new assembler, to ask what it can do.
            path = f"{self.work / 'root'}{PREFIX}/bin:{os.environ.get('PATH', os.defpath)}"
            with group(command, mark or self.work / RUNNING, cwd=self.objects, env={"PATH": path}) as process:
                assert process.stdout is not None
                for line in process.stdout:
                    file.write(line)
                    file.flush()
                    if self.counted.line(line):
                        self._tell(self.counted.state(TYPICAL[self.part]))
                status = process.wait()
        if status != 0:
            what = f"{self.part} {self.source.version} from {self.source.path}"
            said = log.read_bytes()[said_from:].decode(errors="replace")
            raise _failure(said, what=what, status=status, hint=f"full log: {log}; run it again to go on")


def _failure(said: str, *, what: str, status: int, hint: str) -> LabError:
    """Return why a step failed: what configure objected to, or else what a kernel build would be asked."""
    lines = [line for line in said.splitlines() if not line.startswith("*** ")]  # configure's remarks look like errors
    objections = [line for line in lines if line.startswith("configure: error: ")]
    if objections:
        return LabError(f"{what}: {objections[0]}", hint=hint)
    cause = diagnose.failure("\n".join(lines), what=what, status=status, hint=hint)
    return LabError(cause.message, hint=cause.hint, evidence=cause.evidence)


def _cpu_seconds() -> float:
    """Return what the programs that have ended have used, in all."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
