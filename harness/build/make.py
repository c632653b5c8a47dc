"""One run of make in a kernel tree: its command line, its clean environment, its log, its progress, its end."""

import re
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

import attrs

from harness import host
from harness.build import ccache, diagnose
from harness.build.process import clock, group
from harness.build.recipe import Recipe
from harness.errors import BuildError, LabError

STEP = re.compile(r"  (?:CC|AS|DTC|DTCO|OVL)(?: \[M\])? +\S")
RUNNING = ".pi64-running"
"""Lies in an object tree while make runs; what lies there afterwards was killed, and half-written objects with it."""


@attrs.define
class Meter:
    """Counts compile steps in make's output and reports them twice a second at most."""

    expected: int | None
    """Steps of a whole build; None if only a few are to be redone, nobody knows how many."""
    progress: host.Progress
    started: float = attrs.Factory(time.monotonic)
    resumed: int = 0
    """Steps that an earlier, broken off build has done."""
    steps: int = attrs.Factory(lambda self: self.resumed, takes_self=True)
    _first: float = 0.0
    _shown: float = 0.0

    def line(self, text: str) -> None:
        """Take a line of make's output."""
        if not STEP.match(text):
            return
        now = time.monotonic()
        self.steps += 1
        self._first = self._first or now
        if now - self._shown >= 0.5:
            self._shown = now
            self.progress(self.state(elapsed_s=now - self.started, compiling_s=now - self._first))

    def state(self, *, elapsed_s: float, compiling_s: float) -> str:
        """Return e.g. ``build: 400 of ~950 objects, 2:31 elapsed, ~3:27 left``; *compiling_s* is without the set-up."""
        done = self.steps - self.resumed
        if self.expected is None or self.expected <= self.steps or done == 0:
            return f"build: {self.steps} objects, {clock(elapsed_s)} elapsed"
        left_s = compiling_s * (self.expected - self.steps) / done
        return f"build: {self.steps} of ~{self.expected} objects, {clock(elapsed_s)} elapsed, ~{clock(left_s)} left"


@attrs.frozen
class Make:
    """How make is called for one recipe in one object tree."""

    recipe: Recipe
    objects: Path
    jobs: int
    log: Path
    meter: Meter

    def command(self, *targets: str) -> list[str]:
        """Return the command line; it can be pasted into a shell and does the same there."""
        toolchain = self.recipe.toolchain
        return [
            "make", "-C", str(self.recipe.source.path), f"O={self.objects}", *variables(self.recipe, self.objects),
            *ccache.compilers(toolchain.compiler, toolchain.host_compiler), f"-j{self.jobs}", *targets,
        ]  # fmt: skip

    def run(self, *targets: str) -> None:
        """Make *targets*, appending every byte of the output to the log; BuildError or LabError if that fails."""
        command, mark = self.command(*targets), self.objects / RUNNING
        with self.log.open("ab") as log:
            log.write(f"+ {shlex.join(command)}\n".encode())
            said_from = log.tell()
            with group(command, mark, env=ccache.environment(self.recipe.source.path, self.ccache_log)) as process:
                assert process.stdout is not None
                for line in process.stdout:
                    log.write(line)
                    log.flush()
                    self.meter.line(line.decode(errors="replace"))
                status = process.wait()
        if status != 0:
            error = self._failure(self.log.read_bytes()[said_from:].decode(errors="replace"), status, command)
            if isinstance(error, LabError):
                mark.touch()  # after a full disk or a killed compiler nobody knows what else is half there
            raise error

    @property
    def ccache_log(self) -> Path:
        """Where ccache notes what it did for this build."""
        return self.objects.with_name(f"{self.objects.name}.ccache")

    def _failure(self, said: str, status: int, command: Sequence[str]) -> BuildError | LabError:
        source = self.recipe.source
        commit = f" at {source.commit[:12]}{' with changes' if source.dirty else ''}" if source.commit else ""
        what = f"{source.path} ({source.version}{commit}, {self.recipe.base_config})"
        hint = f"full log: {self.log}; repeat: {shlex.join(command)}"
        return diagnose.failure(said, what=what, status=status, hint=hint)


def variables(recipe: Recipe, objects: str | Path) -> list[str]:
    """Return make's variables, all that decide about the bytes of a kernel built in the folder *objects*.

    Who builds, where, when and how often would else be in it.
    Source: https://docs.kernel.org/kbuild/reproducible-builds.html
    """
    date = time.strftime("%a %b %e %H:%M:%S UTC %Y", time.gmtime(recipe.source.epoch))
    # The build id counts debug information too. `__FILE__` is the kernel's own care (-fmacro-prefix-map).
    places = f"-fdebug-prefix-map={recipe.source.path}/= -fdebug-prefix-map={objects}=."
    return [
        "ARCH=arm64", f"CROSS_COMPILE={recipe.toolchain.cross_prefix}", *recipe.toolchain.make,
        f"LOCALVERSION={recipe.localversion}", "KBUILD_BUILD_USER=pi64", "KBUILD_BUILD_HOST=pi64",
        "KBUILD_BUILD_VERSION=1", f"KBUILD_BUILD_TIMESTAMP={date}", f"KCFLAGS={places}", f"KAFLAGS={places}",
    ]  # fmt: skip
