"""Several boards at once, each in a pytest of its own: what one of them does to its process, the others do not feel.

pytest-xdist is not used for it: its controller has no board and prints for all of them, so that progress, verdict and
Ctrl-C of each would have to be carried to it and back. Here each process is what `pytest --board NAME` is, and the
terminal shows the lines of all with the board's name before them.
"""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from harness import host
from harness.errors import UsageError
from harness.lab.config import Lab
from harness.report import record as records
from harness.report import summary
from harness.report.redact import printable

INSIDE = "PI64_SIDE_BY_SIDE"
"""In the environment of each of the processes: the file in which it tells the folder of its run."""
MOST = 64  # boards; more of them are a mistake
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
VALUED = ("--board", "-n", "--numprocesses")
"""Options with a value that the processes are not given as they stand."""


def wanted(option: Any, load: Callable[[], Lab]) -> tuple[str, ...]:
    """Return the boards to run side by side; none where pytest is to go on alone.

    More than one ``--board``; or ``-n N`` of pytest-xdist with a board that is any one with certain tags: N of those.
    """
    boards: tuple[str, ...] = getattr(option, "boards", ())
    workers = getattr(option, "numprocesses", None)
    if INSIDE in os.environ or "PYTEST_XDIST_WORKER" in os.environ or _only_asks(option):
        return ()
    if len(boards) > 1:
        return boards
    if not (isinstance(workers, int) and workers > 1 and boards):
        return ()
    target = load().targets.get(boards[0])
    return boards * workers if target and target.reserve else ()


def without_boards(args: Sequence[Any]) -> list[str]:
    """Return pytest's arguments without those that say on how many boards it runs."""
    left, words = [], iter(map(str, args))
    for word in words:
        if word in VALUED:
            next(words, None)
        elif not (word.startswith(("--board=", "--numprocesses=")) or (word[:2] == "-n" and word[2:].isdigit())):
            left.append(word)
    return left


def run(boards: Sequence[str], args: Sequence[str], *, tell: Callable[[str], object], folder: Path) -> int:
    """Run pytest with *args* on each of *boards* in *folder*, *tell* what they say, and return the worst exit status.

    SIGINT, SIGTERM and SIGHUP end all of them as they end one: the boards go off, the records are written.
    """
    if not 1 <= len(boards) <= MOST:
        raise UsageError(f"{len(boards)} boards side by side: from 1 to {MOST} can be")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pi64-") as told:
        members = [_Member(name, Path(told) / str(number)) for number, name in enumerate(_names(boards))]
        with _passing_on(members):
            for member, board in zip(members, boards, strict=True):
                member.start(board, args, folder, tell)
            for member in members:
                member.wait()
        for line in _summary(members, folder, time.monotonic() - began):
            tell(line)
    return max(member.status for member in members)


def note(folder: Path) -> None:
    """Tell whoever runs several boards that the record of this one is in *folder*."""
    if told := os.environ.get(INSIDE):
        with contextlib.suppress(OSError):  # nobody waits for it any more
            host.write_atomic(Path(told), os.fsencode(folder.absolute()))


@attrs.define
class _Member:
    """One board's pytest."""

    name: str
    told: Path
    process: subprocess.Popen[str] | None = None
    thread: threading.Thread | None = None
    ended: int = 0
    """The signal that is to end it; 0 while none is."""

    def start(self, board: str, args: Sequence[str], folder: Path, tell: Callable[[str], object]) -> None:
        if self.ended:
            return
        # A group of its own: Ctrl-C in the terminal reaches it once, through us. It does not outlive us either.
        words = [*_own_files(args, self.name), "--board", board]
        command = [host.find("setpriv"), "--pdeathsig", "TERM", sys.executable, "-m", "pytest", *words]
        tell(f"{self.name} | $ {shlex.join(['pytest', *words])}")
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, INSIDE: str(self.told), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,
        )
        self.thread = threading.Thread(target=self._pass_lines, args=(tell,), daemon=True)
        self.thread.start()
        if self.ended:  # between the two
            self.end(self.ended)

    def _pass_lines(self, tell: Callable[[str], object]) -> None:
        assert self.process
        assert self.process.stdout
        for line in self.process.stdout:
            tell(f"{self.name} | {line.rstrip()}")

    def end(self, number: int) -> None:
        """Pass a signal on."""
        self.ended = number
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)

    def wait(self) -> None:
        if self.process and self.thread:
            self.process.wait()
            self.thread.join(timeout=5)  # what it may have left behind holds the pipe open

    @property
    def status(self) -> int:
        """As a shell has it: 128 and the signal that killed it."""
        code = self.process.returncode if self.process else 2
        return code if code >= 0 else 128 - code

    def lines(self, folder: Path) -> Iterator[str]:
        """Yield what became of it: its verdict with the evidence, and where the record is."""
        try:
            there = Path(os.fsdecode(self.told.read_bytes()))
            record = records.from_json((there / "run.json").read_text(), name=str(there))
        except (OSError, UsageError, ValueError):
            yield f"{self.name}: no run was begun (pytest's exit status {self.status})"
            return
        verdict, *rest = (line for line in summary.lines(record) if line.startswith(("verdict:", "  |", "!!!")))
        yield f"{self.name}: {verdict.removeprefix('verdict: ')}"
        yield from rest
        yield f"  {os.path.relpath(there, folder)}"


def _own_files(args: Sequence[str], name: str) -> list[str]:
    """Return *args* with the name of the board in that of a file that each process would write."""
    own = []
    for word in args:
        option, equals, value = word.partition("=")
        path = Path(value)
        named = option in {"--junitxml", "--junit-xml", "--log-file"} and equals
        own.append(f"{option}={path.with_stem(f'{path.stem}-{name}')}" if named else word)
    return own


def _names(boards: Sequence[str]) -> list[str]:
    """Return a name for each: that of its board, with a number where several have one."""
    count, seen = Counter(boards), Counter[str]()
    names = []
    for board in boards:
        seen[board] += 1
        names.append(f"{board}#{seen[board]}" if count[board] > 1 else board)
    return names


def _summary(members: Sequence[_Member], folder: Path, seconds: float) -> Iterator[str]:
    yield ""
    yield f"pi64: {len(members)} boards side by side, {seconds:.1f} s" if members[1:] else f"pi64: {seconds:.1f} s"
    for member in members:
        yield from map(printable, member.lines(folder))


@contextlib.contextmanager
def _passing_on(members: Sequence[_Member]) -> Iterator[None]:
    """Pass the signals that end a run on to the *members* meanwhile."""

    def end(number: int, _: Any) -> None:
        for member in members:
            member.end(number)

    before = {number: signal.signal(number, end) for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for member in members:
            if member.process and member.process.poll() is None:  # we end by an error of our own
                member.process.terminate()


def _only_asks(option: Any) -> bool:
    """Tell whether pytest is asked for a list or for help, and runs nothing."""
    return any(getattr(option, name, False) for name in ("collectonly", "help", "version", "showfixtures", "markers"))
