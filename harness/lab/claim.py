"""One process a board: whoever has it says so in a file that it has locked, and whoever else wants it reads there who.

The lock is flock's: the kernel drops it with the process, whatever ends that, so it cannot go stale. The file stays,
for one that is removed could be locked twice.
"""

import contextlib
import fcntl
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from getpass import getuser
from pathlib import Path
from typing import IO
from urllib.parse import quote

from harness import host
from harness.errors import LabError
from harness.report.redact import printable, without_credentials

LOOK_S = 0.2  # between two looks at a lock that another process holds; flock has no deadline of its own
WORDS = 300  # characters of what a lock file says


def folder() -> Path:
    """Return where the locks lie."""
    return host.cache_dir("boards")


def lock_file(board: str) -> Path:
    """Return the file that whoever has *board* locks: the name of a target, or of a place at its coordinator."""
    return folder() / f"{quote(board, safe='@:+')}.lock"


def place(name: str, coordinator: str) -> str:
    """Return what the board at the place *name* is called here: another coordinator may have a place of that name."""
    return f"{name}@{coordinator}"


def holder(lock: Path) -> str:
    """Return what the process says that has locked the file *lock*; empty when none has."""
    try:
        with lock.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return _words(file) or "another process"
    except OSError:  # nobody ever had it
        pass
    return ""


class Lock:
    """The claim of this process on one board, until ``close``."""

    def __init__(self, file: IO[str], left: bool) -> None:
        self._file = file
        self.left = left
        """Whether the one before did not end in order: the file still says its name."""

    def close(self) -> None:
        """Let the board go."""
        self._file.truncate(0)
        self._file.close()


def take(board: str) -> Lock | None:
    """Have *board* for this process; None when another has it."""
    file = lock_file(board).open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    left = bool(_words(file))
    file.truncate(0)
    file.write(me())
    file.flush()
    return Lock(file, left)


@contextlib.contextmanager
def locked(board: str, *, wait_s: float = 0.0, tell: host.Progress = host.silent) -> Iterator[None]:
    """Have *board* for this process, within *wait_s* seconds; LabError naming who has it then."""
    lock = _within(wait_s, board, tell)
    try:
        yield
    finally:
        lock.close()


def me() -> str:
    """Return who this process is, for others to read: user, host, process, and what it runs."""
    program = Path(sys.argv[0])
    name = program.parent.name if program.name == "__main__.py" else program.name  # `python -m pytest`
    words = shlex.join([name, *sys.argv[1:]])
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    runs = f"pytest-xdist's worker {worker}" if worker else without_credentials(words)
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return printable(f"{_user()}@{socket.gethostname()}, process {os.getpid()} since {since}: {runs}")[:WORDS]


def _within(wait_s: float, board: str, tell: host.Progress) -> Lock:
    deadline = time.monotonic() + wait_s
    while (lock := take(board)) is None:
        by, left_s = holder(lock_file(board)), deadline - time.monotonic()
        if left_s <= 0:
            waited = f" after {wait_s:g} s of waiting" if wait_s else ""
            hint = "wait for it: --board-wait SECONDS, or choose another board"
            raise LabError(f"{board}: in use by another run{waited}", evidence=[by] if by else [], hint=hint)
        tell(f"waiting for {board}: {left_s:.0f} s at most; {by or 'it has just become free'}")
        time.sleep(min(LOOK_S, left_s))
    return lock


def _words(file: IO[str]) -> str:
    file.seek(0)
    return printable(" ".join(file.read(WORDS).split()))


def _user() -> str:
    try:
        return getuser()
    except (KeyError, OSError):  # a container without an entry for this user
        return f"uid {os.getuid()}"
