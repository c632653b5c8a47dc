"""One pytest on one board in a process of its own: how it is started, told to end, and where it says its record is."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from harness import host
from harness.errors import UsageError
from harness.report import record as records
from harness.report.record import RunRecord
from harness.report.redact import without_credentials

TOLD = "PI64_SIDE_BY_SIDE"
"""In the environment of each of the processes: the file in which it tells the folder of its run."""
NOTHING: Mapping[str, str] = {}
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def note(folder: Path) -> None:
    """Tell whoever started this process that the record of its run is in *folder*."""
    if told := os.environ.get(TOLD):
        with contextlib.suppress(OSError):  # nobody waits for it any more
            host.write_atomic(Path(told), os.fsencode(folder.absolute()))


def folder(told: Path) -> Path | None:
    """Return the folder of the run that a child noted in the file *told*; None while it has begun none."""
    try:
        return Path(os.fsdecode(told.read_bytes()))
    except OSError:
        return None


def record(folder: Path) -> RunRecord | None:
    """Return the record in the *folder* of a run, ended or not; None for one that cannot be read."""
    try:
        return records.from_json((folder / "run.json").read_text(), name=str(folder))
    except (OSError, UsageError, ValueError):
        return None


def spawn(
    command: Sequence[str], folder: Path, *, stderr: int, keep: tuple[int, ...] = (), env: Mapping[str, str] = NOTHING
) -> "subprocess.Popen[str]":
    """Start *command* in *folder*, with pipes for what it says; it ends with the thread that has started it.

    In a group of its own: Ctrl-C in the terminal reaches it once, through us.
    """
    return subprocess.Popen(
        [host.find("setpriv"), "--pdeathsig", "TERM", *command],
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        errors="replace",
        process_group=0,
        pass_fds=keep,
    )


@attrs.define
class Child:
    """One board's pytest. It does not outlive the thread that started it: then it is told to end by SIGTERM."""

    name: str
    """Stands before each of its lines; empty: they are told as they are."""
    told: Path
    keep: tuple[int, ...] = ()
    """File descriptors of ours that it has too: a lock on them is held until it has ended as well."""
    process: subprocess.Popen[str] | None = None
    thread: threading.Thread | None = None
    ended: int = 0
    """The signal that is to end it; 0 while none is."""

    def start(self, board: str, args: Sequence[str], folder: Path, tell: Callable[[str], object]) -> None:
        """Run pytest with *args* on *board* in *folder* and *tell* its lines; nothing if it was to end before."""
        if self.ended:
            return
        words = [*args, "--board", board]
        tell(self._line(without_credentials(f"$ {shlex.join(['pytest', *words])}")))
        command = [sys.executable, "-m", "pytest", *words]
        self.process = spawn(command, folder, stderr=subprocess.STDOUT, keep=self.keep, env={TOLD: str(self.told)})
        self.thread = threading.Thread(target=self._pass_lines, args=(tell,), daemon=True)
        self.thread.start()
        if self.ended:  # between the two
            self.end(self.ended)

    def _pass_lines(self, tell: Callable[[str], object]) -> None:
        assert self.process
        assert self.process.stdout
        for line in self.process.stdout:
            tell(self._line(line.rstrip()))

    def _line(self, text: str) -> str:
        return f"{self.name} | {text}" if self.name else text

    def end(self, number: int) -> None:
        """Pass a signal on: the board goes off, the record is written. Also before it was started, from any thread."""
        self.ended = number
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it has ended; False when it has not within *timeout_s*."""
        if self.process and self.thread:
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                return False
            self.thread.join(timeout=5)  # what it may have left behind holds the pipe open
        return True

    @property
    def status(self) -> int:
        """As a shell has it: 128 and the signal that killed it."""
        code = self.process.returncode if self.process else 2
        return code if code >= 0 else 128 - code


@contextlib.contextmanager
def passing_on(children: Sequence[Child]) -> Iterator[None]:
    """Pass the signals that end a run on to the *children* meanwhile.

    Only in the main thread: elsewhere signals are whoever's it is who keeps the children, and may `end` them.
    """

    def end(number: int, _: Any) -> None:
        for child in children:
            child.end(number)

    main = threading.current_thread() is threading.main_thread()
    ours = [number for number in ENDING if main and signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, end) for number in ours}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for child in children:
            if child.process and child.process.poll() is None:  # we end by an error of our own
                child.process.terminate()
