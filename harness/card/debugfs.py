"""How to talk to debugfs: quote its arguments, run a script of commands, tell its errors from its chatter."""

import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path, PurePath, PurePosixPath

from harness import host
from harness.errors import LabError

PROMPT = "debugfs: "
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

    def _run(self, commands: list[str], options: list[str], ignored: tuple[str, ...]) -> list[list[str]]:
        if not commands:
            return []
        with tempfile.NamedTemporaryFile(
            "w", prefix="pi64-debugfs-", encoding="utf-8", errors="surrogateescape"
        ) as script:
            script.writelines(f"{command}\n" for command in commands)
            script.flush()
            argv = [host.find("debugfs"), *options, "-f", script.name, self.place]
            done = subprocess.run(argv, capture_output=True, check=False)
        said = done.stderr.decode(errors="surrogateescape").splitlines()
        errors = [line for line in said[1:] if line and not any(words in line for words in ignored)]  # [0]: its version
        if done.returncode != 0 or errors:
            message = f"{self.image}: debugfs failed on the root filesystem, {len(errors)} of {len(commands)} commands"
            raise LabError(message, evidence=(errors or said)[:8])
        return _sections(done.stdout.decode(errors="surrogateescape"), len(commands))


def quoted(text: PurePath | str) -> str:
    """Quote one argument: debugfs doubles a quote inside quotes, and has no way to write a control character."""
    text = str(text)
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
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
