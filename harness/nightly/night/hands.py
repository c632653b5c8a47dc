"""What a night does with its hands: it builds a kernel, runs the tests, bisects, each in a process of its own.

Their words go to files in the night's folder. They hold the night's lock as well, so that after a kill the next night
begins only when the last of them has ended; and they end when this process does.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Protocol

import attrs

from harness import host
from harness.errors import BuildError
from harness.lab import child
from harness.nightly import trial
from harness.nightly.night.agenda import Task
from harness.nightly.trial import Trial
from harness.report.redact import printable, without_credentials

LINE = 300  # characters of a reason; the log has the rest


class Endable(Protocol):
    """A process that may be told to end, also before it has started."""

    def end(self, number: int) -> None:
        """Pass a signal on."""


Begun = Callable[[Endable], object]


@attrs.frozen
class Built:
    """What came of a build."""

    key: str = ""
    release: str = ""
    seconds: float = 0.0
    """Of make; 0 when it was there."""
    verdict: str = ""
    """Whose fault it is that there is none; empty when there is one."""
    message: str = ""

    @property
    def failed(self) -> bool:
        """Whether the tree itself does not configure or compile: a run tells that, with all of its evidence."""
        return self.verdict == BuildError.verdict


@attrs.frozen
class Hands:
    """How children are started for one night."""

    lab: Path
    """The lab.yaml."""
    runs: Path
    folder: Path
    """Where pytest runs."""
    night: Path
    """The night's own folder."""
    pytest: tuple[str, ...]
    keep: tuple[int, ...] = ()

    def told(self, number: int) -> Path:
        """Return the file in which the run of job *number* says where its record is."""
        return self.night / f"{number:03}.told"

    def run(self, number: int, task: Task, begun: Begun, *, wait_s: float, control: str) -> Trial:
        """Run the tests for one job; *control* is the key of a kernel that is known to be good, if there is one."""
        known = [f"--known-good={control}"] if control and not _says(self.pytest, "--known-good") else []
        words = [
            *self.pytest, *task.words, f"--runs={self.runs}", f"--lg-env={self.lab}", f"--board-wait={wait_s:.0f}",
            "-p", "no:cacheprovider", *known,
        ]  # fmt: skip
        with self._log(f"{number:03}.log") as write:
            return trial.run_once(
                task.wanted.board, words, folder=self.folder, tell=write, told=self.told(number), keep=self.keep,
                begun=begun,
            )  # fmt: skip

    def build(self, number: int, task: Task, begun: Begun) -> Built:
        """Build the kernel of one job, or find it in the cache. Boards that run meanwhile come first."""
        words = ["build", f"--board={task.wanted.board}", f"--lg-env={self.lab}", *task.words, "--json"]
        log = self.night / f"{number:03}-build.log"
        program = Program([host.find("nice"), "-n", "10", *_pi64(*words, f"--log={log}")], self.folder, self.keep)
        begun(program)
        status, out, err = program.run()
        return _built(status, out, err)

    def bisect(self, number: int, words: Sequence[str], begun: Begun) -> int:
        """Run `pi64 bisect` with *words*; return its exit status."""
        program = Program(_pi64("bisect", *words), self.folder, self.keep)
        begun(program)
        with self._log(f"{number:03}-bisect.log") as write:
            status, out, err = program.run()
            write(out)
            write(err)
        return status

    @contextlib.contextmanager
    def _log(self, name: str) -> Iterator[Callable[[str], None]]:
        """Yield what writes lines to a log; a full disk costs the log, not the run."""
        file: IO[str] | None = None
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):
                file = stack.enter_context((self.night / name).open("a", buffering=1, errors="replace"))

            def write(line: str) -> None:
                if file:
                    with contextlib.suppress(OSError):
                        file.write(f"{without_credentials(line)}\n")

            stack.enter_context(contextlib.suppress(OSError))  # what the last close may say
            yield write


@attrs.define
class Program:
    """A command of pi64 in a process of its own, which ends with the thread that started it."""

    command: Sequence[str]
    folder: Path
    keep: tuple[int, ...] = ()
    _process: subprocess.Popen[str] | None = None
    _ended: int = 0

    def run(self) -> tuple[int, str, str]:
        """Run it to its end; return exit status, standard output and standard error."""
        self._process = child.spawn(self.command, self.folder, stderr=subprocess.PIPE, keep=self.keep)
        if self._ended:
            self.end(self._ended)
        out, err = self._process.communicate()
        return self._process.returncode, out, err

    def end(self, number: int) -> None:
        """Pass a signal on."""
        self._ended = number
        if self._process and self._process.poll() is None:
            if number == signal.SIGKILL:  # what it has started holds our pipes
                os.killpg(self._process.pid, number)
            else:
                self._process.send_signal(number)


def _built(status: int, out: str, err: str) -> Built:
    try:
        told = json.loads(out)
    except ValueError:
        told = {}
    if status == 0 and isinstance(told, dict) and "key" in told:
        seconds = 0.0 if told.get("cached") else float(told.get("seconds", 0.0))
        return Built(str(told["key"]), str(told.get("release", "")), seconds)
    last = next((line for line in reversed(err.splitlines()) if line.strip()), "")
    said = told.get("message") or last.removeprefix("pi64: ") or f"`pi64 build` ended with status {status}"
    return Built(verdict=str(told.get("verdict") or "LAB"), message=line(str(said)))


def line(text: str) -> str:
    """Return *text* as one printable line without passwords."""
    return printable(without_credentials(" ".join(text.split())))[:LINE]


def _says(words: Sequence[str], option: str) -> bool:
    return any(word.partition("=")[0] == option for word in words)


def _pi64(*words: str) -> list[str]:
    return [sys.executable, "-m", "harness.cli", *words]
