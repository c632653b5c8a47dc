"""Several boards at once, each in a pytest of its own: what one of them does to its process, the others do not feel.

pytest-xdist is not used for it: its controller has no board and prints for all of them, so that progress, verdict and
Ctrl-C of each would have to be carried to it and back. Here each process is what `pytest --board NAME` is, and the
terminal shows the lines of all with the board's name before them.
"""

import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.lab import child
from harness.lab.child import Child
from harness.lab.config import Lab
from harness.report import summary
from harness.report.redact import printable

MOST = 64  # boards; more of them are a mistake
VALUED = ("--board", "-n", "--numprocesses")
"""Options with a value that the processes are not given as they stand."""
FILES = ("--junitxml", "--junit-xml", "--log-file")
"""Options that name a file to be written."""


def wanted(option: Any, load: Callable[[], Lab]) -> tuple[str, ...]:
    """Return the boards to run side by side; none where pytest is to go on alone.

    More than one ``--board``; or ``-n N`` of pytest-xdist with a board that is any one with certain tags: N of those.
    """
    boards: tuple[str, ...] = getattr(option, "boards", ())
    workers = getattr(option, "numprocesses", None)
    if child.TOLD in os.environ or "PYTEST_XDIST_WORKER" in os.environ or _only_asks(option):
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
        members = [Child(name, Path(told) / str(number)) for number, name in enumerate(_names(boards))]
        with child.passing_on(members):
            for member, board in zip(members, boards, strict=True):
                member.start(board, _own_files(args, member.name), folder, tell)
            for member in members:
                member.wait()
        for line in _summary(members, folder, time.monotonic() - began):
            tell(line)
    return max(member.status for member in members)


def _lines(member: Child, folder: Path) -> Iterator[str]:
    """Yield what became of it: its verdict with the evidence, and where the record is."""
    there = child.folder(member.told)
    record = child.record(there) if there else None
    if there is None or record is None:
        yield f"{member.name}: no run was begun (pytest's exit status {member.status})"
        return
    told = [line for line in summary.lines(record) if line.startswith(("verdict:", "  |", "!!!"))]
    verdict = next(line for line in told if line.startswith("verdict:"))
    yield f"{member.name}: {verdict.removeprefix('verdict: ')}"
    yield from (line for line in told if line is not verdict)
    yield f"  {os.path.relpath(there, folder)}"


def _own_files(args: Sequence[str], name: str) -> list[str]:
    """Return *args* with the name of the board in that of a file that each process would write."""
    own, words = [], iter(args)
    for word in words:
        option, equals, value = word.partition("=")
        if option in FILES and (value := value if equals else next(words, "")):
            path = Path(value)
            own.append(f"{option}={path.with_stem(f'{path.stem}-{name}')}")
        else:
            own.append(word)
    return own


def _names(boards: Sequence[str]) -> list[str]:
    """Return a name for each: that of its board, with a number where several have one."""
    count, seen = Counter(boards), Counter[str]()
    names = []
    for board in boards:
        seen[board] += 1
        names.append(f"{board}#{seen[board]}" if count[board] > 1 else board)
    return names


def _summary(members: Sequence[Child], folder: Path, seconds: float) -> Iterator[str]:
    yield ""
    yield f"pi64: {len(members)} boards side by side, {seconds:.1f} s" if members[1:] else f"pi64: {seconds:.1f} s"
    for member in members:
        yield from map(printable, _lines(member, folder))


def _only_asks(option: Any) -> bool:
    """Tell whether pytest is asked for a list or for help, and runs nothing."""
    return any(getattr(option, name, False) for name in ("collectonly", "help", "version", "showfixtures", "markers"))
