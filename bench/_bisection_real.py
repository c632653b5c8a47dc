"""Find the one of 32 commits over the distribution's kernel that breaks 32-bit userland, on a virtual board.

The commits touch drivers that the smoke configuration builds, and documents; one does not compile, six come by a merge,
and one of those keeps 32-bit programs from being started. `pi64 bisect` is what a user types; each commit is built from
the common cache and booted in QEMU. About half an hour on two idle cores once ccache is warm.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from _common import ROOT, Figure, environment, own_lab, say

from harness import host
from harness.build import source as sources
from harness.errors import LabError
from harness.lab import config

BOARD, OWN = "virtual-rpi3", "bisected-rpi3"
TESTS = ("tests_hw/test_boot.py", "tests_hw/test_checks.py")
BEGAN = 1_750_000_000
"""Seconds since 1970 of the first commit: the history is the same whoever makes it."""
DRIVERS = (
    "drivers/mmc/host/bcm2835.c", "drivers/clk/bcm/clk-bcm2835.c", "drivers/mailbox/bcm2835-mailbox.c",
    "drivers/watchdog/bcm2835_wdt.c", "drivers/tty/serial/amba-pl011.c", "drivers/pinctrl/bcm/pinctrl-bcm2835.c",
    "drivers/dma/bcm2835-dma.c", "drivers/net/dummy.c", "fs/ext4/super.c", "fs/fat/inode.c",
)  # fmt: skip
DOCUMENTS = ("Documentation/arch/arm64/booting.rst", "MAINTAINERS", "Documentation/process/howto.rst")
SIDE_FILES = ("fs/exec.c", "fs/binfmt_script.c", "fs/binfmt_elf.c", "", "mm/mmap.c", "kernel/exit.c")
CULPRIT_FILE = "fs/compat_binfmt_elf.c"
CULPRIT = "binfmt_elf: compat: look at the class of a file before its machine"
BROKEN = (
    "#define\telf_check_arch\tcompat_elf_check_arch",
    "#define\telf_check_arch(x)\t((x)->e_ident[EI_CLASS] == ELFCLASS64 && compat_elf_check_arch(x))",
)
SIDE, MERGE, UNBUILDABLE, COMMITS = range(12, 18), 22, 9, 32
"""Of the side branch, the merge, and one that does not compile and that the next repairs; 1-based numbers."""
CULPRIT_NUMBER = 15


@attrs.define
class Repository:
    """A bare repository whose commits are made without a work tree."""

    folder: Path
    clock: int = BEGAN

    def git(self, *words: str, stdin: bytes = b"") -> str:
        """Run git there."""
        when = f"{self.clock} +0000"
        who = {"NAME": "Bench", "EMAIL": "bench@example.org", "DATE": when}
        env = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}
        command = ["git", f"--git-dir={self.folder}", "-c", "gc.auto=0", "-c", "core.autocrlf=false", *words]
        return host.run(command, env=env, stdin=stdin).decode().strip()

    def commit(self, subject: str, parents: Sequence[str], files: Mapping[str, bytes]) -> str:
        """Make a commit on top of the first of *parents* with other *files*; return its SHA."""
        self.clock += 3600
        if parents:
            self.git("read-tree", parents[0])
        for name, content in files.items():
            blob = self.git("hash-object", "-w", "--stdin", stdin=content)
            self.git("update-index", "--add", "--cacheinfo", f"100644,{blob},{name}")
        behind = [word for parent in parents for word in ("-p", parent)]
        return self.git("commit-tree", self.git("write-tree"), *behind, "-m", subject)

    def content(self, commit: str, name: str) -> str:
        """Return a file of *commit*."""
        return self.git("show", f"{commit}:{name}") + "\n"


def figures() -> Iterator[Figure]:
    """Bisect once and count; an earlier one that was killed goes on."""
    folder = host.cache_dir("bench", "bisect").resolve()
    repository, good, culprit = _history(folder)
    state = _bisect(folder, repository, good)
    answers = state["answers"]
    built = [answer for answer in answers if answer["build_seconds"] or answer["verdict"] == "BUILD"]
    say(f"{state['first_bad']}, made was {culprit}")
    yield Figure("bisect.real.wrong", float(state["first_bad"] != [culprit]), "", 0)
    yield Figure("bisect.real.unconfirmed", float(not state["confirmed"]), "", 0)
    yield Figure("bisect.real.commits_tried", len({answer["sha"] for answer in answers}), "")
    yield Figure("bisect.real.builds", len(built), "")
    yield Figure("bisect.real.boots", sum(answer["boots"] for answer in answers), "")
    yield Figure("bisect.real.building", sum(answer["build_seconds"] for answer in answers) / 60, "min")
    yield Figure("bisect.real.all", sum(answer["seconds"] for answer in answers) / 60, "min")


def _bisect(folder: Path, repository: Path, good: str) -> dict[str, Any]:
    """Do what a user does, and return what it left."""
    lab = own_lab(folder)
    # A board of its own beside the user's; what is said of nights is about theirs.
    targets = lab.read_text().partition("\ntargets:\n")[2].replace(f"  {BOARD}:\n", f"  {OWN}:\n")
    lab.write_text(f"imports: [harness.lab.drivers]\ntargets:\n{targets}")
    runs = folder / "runs"
    command = [sys.executable, "-m", "harness.cli", "bisect", "--board", OWN, "--good", good, "--bad", "main"]
    command += ["--kernel-source", str(repository), "--lg-env", str(lab), "--runs", str(runs), "--", *TESTS]
    done = subprocess.run(command, cwd=ROOT, env=environment(str(os.getpid()), folder), check=False)
    if done.returncode:
        raise LabError(f"`pi64 bisect` ended with status {done.returncode}")
    state: dict[str, Any] = json.loads((runs / "bisect" / "latest" / "bisect.json").read_text())
    return state


# --- the history ------------------------------------------------------------------------------------------------------
def _history(folder: Path) -> tuple[Path, str, str]:
    """Return a repository with the history, made once, its first commit, and the culprit."""
    wanted = config.load(ROOT / "lab.yaml").target(BOARD).kernel
    source = sources.open_tree(wanted.source, ref=wanted.ref)
    path = folder / f"{source.digest[:16]}.git"
    told = path.with_suffix(".json")
    if not told.exists():
        say(f"making a history on top of {source.origin}")
        path.mkdir(parents=True, exist_ok=True)
        repository = Repository(path)
        repository.git("init", "--quiet", "--bare", "--initial-branch=main", str(path))
        # Without tools/testing: no kernel is built from it, and tests that are built there come and go meanwhile.
        tree = f"--work-tree={source.path}"
        repository.git("-C", str(source.path), tree, "add", "--force", "--all", ":(top)", ":(top,exclude)tools/testing")
        base = repository.commit("kernel of the distribution", (), {})
        shas = _commits(repository, base)
        repository.git("update-ref", "refs/heads/main", shas[-1])
        host.write_atomic(told, json.dumps({"good": base, "culprit": shas[CULPRIT_NUMBER - 1]}).encode())
    known = json.loads(told.read_text())
    return path, known["good"], known["culprit"]


def _commits(repository: Repository, base: str) -> list[str]:
    """Make the commits; the side branch leaves the line before its first and comes back at the merge."""
    shas: list[str] = []
    line, side = base, ""
    for number in range(1, COMMITS + 1):
        if number == MERGE:
            line = _merge(repository, line, side)
            shas.append(line)
            continue
        tip = (side or line) if number in SIDE else line
        subject, files = _change(repository, tip, number)
        made = repository.commit(subject, (tip,), files)
        line, side = (line, made) if number in SIDE else (made, side)
        shas.append(made)
    return shas


def _merge(repository: Repository, line: str, side: str) -> str:
    """Merge *side*, whose files nobody else has touched."""
    base = repository.git("merge-base", line, side)
    names = repository.git("diff", "--name-only", base, side).split()
    files = {name: repository.content(side, name).encode() for name in names}
    return repository.commit("Merge branch 'compat'", (line, side), files)


def _change(repository: Repository, tip: str, number: int) -> tuple[str, dict[str, bytes]]:
    """Return subject and files of commit *number*."""
    if number == CULPRIT_NUMBER:
        text = repository.content(tip, CULPRIT_FILE)
        assert BROKEN[0] in text
        return CULPRIT, {CULPRIT_FILE: text.replace(*BROKEN).encode()}
    if number in SIDE:
        name = SIDE_FILES[number - SIDE[0]]
    else:
        repaired = number - 1 if number - 1 == UNBUILDABLE else number
        name = DOCUMENTS[number // 5 % 3] if repaired % 5 == 0 else DRIVERS[repaired % len(DRIVERS)]
    text = repository.content(tip, name)
    if number == UNBUILDABLE:
        return f"{name}: tidy up", {name: f"{text}int pi64_bench_{number}(void) {{ return }}\n".encode()}
    text = text.replace(f"int pi64_bench_{UNBUILDABLE}(void) {{ return }}\n", "")
    remark = f"\n/* remark {number} */\n" if name.endswith(".c") else f"\nRemark {number}.\n"
    return f"{name}: remark {number}", {name: f"{text}{remark}".encode()}
