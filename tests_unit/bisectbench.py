"""A bench to bisect on: a git history of the stub kernel tree, whose commits are good, bad or do not build.

Every kernel is real AArch64 code of a few hundred bytes that boots in real QEMU; pytest runs in processes of its own.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import fakekernel
import fakelinux
from pluginbench import BOOTS, PANIC, Bench

GOOD = fakekernel.text("@RELEASE@")
BAD = fakekernel.text("@RELEASE@", PANIC)
WHO = {"GIT_AUTHOR_NAME": "Ada <b>", "GIT_AUTHOR_EMAIL": "ada@example.org", "GIT_COMMITTER_NAME": "pi64",
       "GIT_COMMITTER_EMAIL": "pi64@example.org"}  # fmt: skip
FLAKY_BENCH = """
import pathlib
from harness.errors import LabError

def test_bench():
    count = pathlib.Path("count")
    number = int(count.read_text()) + 1 if count.exists() else 1
    count.write_text(str(number))
    if number in {faults}:
        raise LabError("the relay does not answer")
"""


class Repository:
    """The stub kernel tree in git."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = 1_700_000_000
        fakelinux.write(path, blob=fakekernel.image(GOOD))
        self.git("init", "--quiet", "--initial-branch=main")
        self.shas: list[str] = []

    def git(self, *words: str, **more: str) -> str:
        environment = {**os.environ, **WHO, **more}
        command = ["git", "-C", str(self.path), "-c", "gc.auto=0", *words]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, subject: str, files: Mapping[str, str | bytes]) -> str:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_bytes(data)
        self.clock += 60
        when = f"{self.clock} +0000"
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--message", subject, GIT_AUTHOR_DATE=when, GIT_COMMITTER_DATE=when)
        self.shas.append(self.git("rev-parse", "HEAD"))
        return self.shas[-1]

    def line(self, count: int, *, bad: int, unbuildable: Sequence[int] = ()) -> list[str]:
        """Make *count* commits, number 0 first; from *bad* on the kernel panics, *unbuildable* do not compile."""
        fork = (self.path / "kernel/fork.c").read_text()
        for number in range(count):
            files: dict[str, str | bytes] = {f"notes/{number}": f"{number}\n"}
            files["kernel/fork.c"] = fork + ("#pragma fake error\n" if number in unbuildable else "")
            if number == bad:
                files["blob"] = fakekernel.image(BAD, then="hang")
            self.commit(f"number {number}: <script>\x1b[31m", files)
        return self.shas


class Bisected(Bench):
    """A bench whose target's kernel comes from git."""

    def __init__(self, folder: Path, image: Path) -> None:
        super().__init__(folder, image)
        self.repository = Repository(folder / "kernel.git")
        text = (folder / "lab.yaml").read_text().replace(str(folder / "linux"), str(self.repository.path))
        (folder / "lab.yaml").write_text(text)
        self.test()

    def test(self, text: str = BOOTS, *, faults: Sequence[int] = ()) -> None:
        """Have the runs ask this; at the runs whose numbers are *faults* the bench fails."""
        more = FLAKY_BENCH.format(faults=set(faults)) if faults else ""
        (self.path / "test_it.py").write_text(f"{text}\n{more}")

    def words(self, good: str, bad: str, *more: str) -> list[str]:
        tests = ["--", "test_it.py", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "--lab-retries", "0"]
        given = ["--board", "virtual-rpi3", "--good", good, "--bad", bad, *more]
        return [sys.executable, "-m", "harness.cli", "bisect", *given, *tests]

    def popen(self, words: Sequence[str]) -> subprocess.Popen[str]:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        pipe = subprocess.PIPE
        return subprocess.Popen(
            words, cwd=self.path, env=environment | self.environment, text=True, stdout=pipe, stderr=subprocess.STDOUT
        )

    def bisect(self, good: str, bad: str, *more: str) -> tuple[int, str]:
        process = self.popen(self.words(good, bad, *more))
        said, _ = process.communicate(timeout=300)
        return process.returncode, said

    @property
    def place(self) -> Path:
        return self.path / "runs" / "bisect" / "latest"
