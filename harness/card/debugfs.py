"""How to talk to debugfs: quote its arguments, run a script of commands, tell its errors from its chatter."""

import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath, PurePosixPath
from typing import IO

from harness import host
from harness.errors import LabError

PROMPT = "debugfs: "
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
CORRECTED = 1  # e2fsck's highest status after which the file system may be used
NOT_FOUND = ("File not found by ext2_lookup", "Ext2 inode is not a directory")


class Debugfs:
    """The file system at *offset* of *image*, as debugfs and e2fsck open it."""

    def __init__(self, image: Path, offset: int) -> None:
        if "?" in str(image):
            raise LabError(f"{image}: e2fsprogs take what follows `?` for options", hint="rename the file")
        self.image = image
        self.place = f"{image}?offset={offset}"

    def read(self, commands: Iterable[str], *, missing_ok: bool = False) -> list[list[str]]:
        """Run *commands* and return the lines each of them printed; what is not found prints none if *missing_ok*."""
        return self._run(list(commands), [], NOT_FOUND if missing_ok else ())

    def write(self, commands: Iterable[str]) -> None:
        """Run *commands* with write access."""
        self._run(list(commands), ["-w"], ())

    @contextmanager
    def contents(self, paths: Sequence[PurePath]) -> Iterator[Iterator[IO[bytes]]]:
        """Yield for each of *paths* a stream that stands at its first byte; whoever reads must know where it ends."""
        with _script([f"cat {quoted(path)}" for path in paths]) as script, tempfile.TemporaryFile() as said:
            argv = [host.find("debugfs"), "-f", script, self.place]
            with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said) as process:
                assert process.stdout is not None
                yield self._streams(process.stdout, paths)
                process.stdout.read()
            said.seek(0)
            errors = said.read().decode(errors="surrogateescape").splitlines()[1:]
        if process.returncode != 0 or any(errors):
            raise LabError(f"{self.image}: debugfs could not read the root filesystem", evidence=errors[:8])

    def check(self, *, ours: bool) -> None:
        """Replay the journal and repair what that leaves; LabError with e2fsck's words when it cannot.

        *ours* says that the kernel has found no errors there: then all is repaired, as ``fsck.repair=yes`` of a stock
        command line has the board do. Else only what is safe (``-p``): a card with bad blocks is to be looked at.
        """
        status, said = self._fsck("-p")
        if status > CORRECTED and self._replayed():
            # Once it has replayed the journal, e2fsck up to 1.47.0 forgets the offset. An empty one needs no replay.
            self.write(["feature -needs_recovery"])
            status, said = self._fsck("-p")
        if status > CORRECTED and ours:
            status, _ = self._fsck("-y")
        if status > CORRECTED:
            raise LabError(
                f"{self.image}: the root filesystem is damaged: e2fsck -p returned {status}",
                evidence=said,
                hint=f"`e2fsck -y '{self.place}'` repairs what it can; a new base image is safer",
            )

    def _fsck(self, how: str) -> tuple[int, list[str]]:
        """Return the status of e2fsck and what it said."""
        done = subprocess.run([host.find("e2fsck"), how, self.place], capture_output=True, check=False)
        said = (done.stdout + done.stderr).decode(errors="replace").splitlines()
        return done.returncode, [line for line in said if line.strip()][:8]

    def _replayed(self) -> bool:
        told = host.run(["dumpe2fs", "-h", self.place]).decode(errors="replace")
        return "needs_recovery" in told and bool(re.search(r"^Journal start: +0$", told, re.MULTILINE))

    def _streams(self, output: IO[bytes], paths: Sequence[PurePath]) -> Iterator[IO[bytes]]:
        for path in paths:
            echo = f"{PROMPT}cat {quoted(path)}\n".encode(errors="surrogateescape")
            if output.read(len(echo)) != echo:
                raise LabError(f"{self.image}: {path} reads back different from what was written")
            yield output

    def _run(self, commands: list[str], options: list[str], ignored: tuple[str, ...]) -> list[list[str]]:
        if not commands:
            return []
        with _script(commands) as script:
            argv = [host.find("debugfs"), *options, "-f", script, self.place]
            done = subprocess.run(argv, capture_output=True, check=False)
        said = done.stderr.decode(errors="surrogateescape").splitlines()
        errors = [line for line in said[1:] if line and not any(words in line for words in ignored)]  # [0]: its version
        if done.returncode != 0 or errors:
            message = f"{self.image}: debugfs failed on the root filesystem, {len(errors)} of {len(commands)} commands"
            raise LabError(message, evidence=(errors or said)[:8])
        return _sections(done.stdout.decode(errors="surrogateescape"), len(commands))


@contextmanager
def _script(commands: Iterable[str]) -> Iterator[str]:
    """Yield the name of a file that holds *commands*, for ``-f``."""
    with tempfile.NamedTemporaryFile("w", prefix="pi64-debugfs-", encoding="utf-8", errors="surrogateescape") as file:
        file.writelines(f"{command}\n" for command in commands)
        file.flush()
        yield file.name


def quoted(text: PurePath | str) -> str:
    """Quote one argument: debugfs doubles a quote inside quotes, and has no way to write a control character."""
    text = str(text)
    if CONTROL.search(text):
        raise LabError(f"{text!r}: a name with control characters cannot be written to the card")
    return '"' + text.replace('"', '""') + '"'


def inside(folder: PurePosixPath) -> str:
    """Quote *folder* so that a link to one is followed, which debugfs does on the way to a name, not for the name.

    pathlib would drop the dot.
    """
    return quoted(f"{str(folder).rstrip('/')}/.")


def cd(folder: PurePosixPath) -> str:
    """Return the command that enters *folder*; mkdir and write take a bare name there, and misread a path."""
    return f"cd {inside(folder)}"


def _sections(text: str, count: int) -> list[list[str]]:
    """Cut the output at the echoed commands."""
    sections: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith(PROMPT):
            sections.append([])
        elif sections:
            sections[-1].append(line)
    if len(sections) != count:
        raise LabError(f"debugfs answered {len(sections)} of {count} commands", evidence=text.splitlines()[-8:])
    return sections
