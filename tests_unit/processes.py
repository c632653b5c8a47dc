"""Which processes a test has left, or is about to kill."""

import time
from collections.abc import Callable
from pathlib import Path


def qemus(word: str) -> list[int]:
    """Return the QEMU processes with *word* on their command line: the folder of a board, say."""
    return [pid for pid, command in _commands() if "qemu-system" in command.split("\0")[0] and word in command]


def boards(word: str) -> list[int]:
    """Return the processes of virtual boards with *word* in their environment."""
    found = []
    for pid, command in _commands():
        if "harness.virtual.pi" in command and word in _text(Path("/proc", str(pid), "environ")):
            found.append(pid)
    return found


def below(pid: int) -> list[int]:
    """Return the children of *pid* and theirs."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        if fields := _text(path).rpartition(")")[2].split():
            parents[int(path.parent.name)] = int(fields[1])
    found, new = [], {pid}
    while new := {child for child, parent in parents.items() if parent in new}:
        found += new
    return found


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait for *condition*, at most *seconds*."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def _commands() -> list[tuple[int, str]]:
    return [(int(path.parent.name), _text(path)) for path in Path("/proc").glob("[0-9]*/cmdline")]


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""
