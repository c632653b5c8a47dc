"""One run of make in a kernel tree: its command line, its clean environment, its log, its progress, its end."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs

from harness import host
from harness.build import diagnose
from harness.build.recipe import Recipe

STEP = re.compile(r"  (?:CC|AS|DTC|DTCO|OVL)(?: \[M\])? +\S")
GRACE_S = 5.0
"""How long make may take to remove half-written targets when it is told to stop."""
RUNNING = ".pi64-running"
"""Lies in an object tree while make runs; what lies there afterwards was killed, and half-written objects with it."""
FOREIGN = re.compile(r"MAKE|KBUILD_|KCONFIG_|CONFIG_|INSTALL_|\w*FLAGS$")
FOREIGN_NAMES = frozenset(
    {"ARCH", "CROSS_COMPILE", "O", "V", "C", "W", "M", "LLVM", "LLVM_IAS", "LOCALVERSION", "DEPMOD"}
)
"""Variables that would reach the kernel's makefiles from outside, e.g. from a `make hw` around this: not in the key."""


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
            return f"build: {self.steps} objects, {_clock(elapsed_s)} elapsed"
        left_s = compiling_s * (self.expected - self.steps) / done
        return f"build: {self.steps} of ~{self.expected} objects, {_clock(elapsed_s)} elapsed, ~{_clock(left_s)} left"


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
        recipe, prefix = self.recipe, self.recipe.toolchain.cross_prefix
        ccache = [f"CC=ccache {prefix}gcc", "HOSTCC=ccache gcc"] if shutil.which("ccache") else []
        date = time.strftime("%a %b %e %H:%M:%S UTC %Y", time.gmtime(recipe.source.epoch))
        return [
            "make", "-C", str(recipe.source.path), f"O={self.objects}", "ARCH=arm64", f"CROSS_COMPILE={prefix}",
            *ccache, f"LOCALVERSION={recipe.localversion}", "KBUILD_BUILD_USER=pi64", "KBUILD_BUILD_HOST=pi64",
            "KBUILD_BUILD_VERSION=1", f"KBUILD_BUILD_TIMESTAMP={date}", f"-j{self.jobs}", *targets,
        ]  # fmt: skip

    def run(self, *targets: str) -> None:
        """Make *targets*, appending every byte of the output to the log; BuildError or LabError if that fails."""
        command = self.command(*targets)
        with self.log.open("ab") as log:
            log.write(f"+ {shlex.join(command)}\n".encode())
            said_from = log.tell()
            with _group(command, self.objects / RUNNING) as process:
                assert process.stdout is not None
                for line in process.stdout:
                    log.write(line)
                    log.flush()
                    self.meter.line(line.decode(errors="replace"))
                status = process.wait()
        if status != 0:
            said = self.log.read_bytes()[said_from:].decode(errors="replace")
            source = self.recipe.source
            what = f"{source.path} ({source.version}, {self.recipe.base_config})"
            hint = f"full log: {self.log}; repeat: {shlex.join(command)}"
            raise diagnose.failure(said, what=what, status=status, hint=hint)


def environment(outside: Mapping[str, str]) -> dict[str, str]:
    """Return *outside* without what would change a kernel build behind the key's back, with ccache set up."""
    kept = {name: value for name, value in outside.items() if not (FOREIGN.match(name) or name in FOREIGN_NAMES)}
    ccache = {"CCACHE_DIR": str(host.cache_dir("ccache")), "CCACHE_BASEDIR": str(host.cache_dir().resolve())}
    return {**kept, **ccache, "LC_ALL": "C"}


@contextmanager
def _group(command: list[str], mark: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run *command* in a process group of its own and leave none of it behind, however the block ends."""
    # With setpriv the kernel stops make even when this process is killed outright.
    guard = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
    argv = [*guard, host.find(command[0]), *command[1:]]
    mark.touch()
    process = subprocess.Popen(
        argv, env=environment(os.environ), start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is not None or _stop(process):
            mark.unlink(missing_ok=True)
        if process.stdout is not None:
            process.stdout.close()


def _stop(process: subprocess.Popen[bytes]) -> bool:
    """Ask the group to stop, so that make removes half-written targets; False if it had to be killed."""
    os.killpg(process.pid, signal.SIGTERM)
    orderly = False
    try:
        process.wait(timeout=GRACE_S)
        orderly = True
    except subprocess.TimeoutExpired:
        pass
    finally:  # also after a second Ctrl-C
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # children that outlived make
        process.wait()
    return orderly


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
