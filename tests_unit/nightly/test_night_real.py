"""A night with nothing made up but the kernel: a stub tree, built by make, booted by QEMU; killed, and gone on with."""

import subprocess
import sys

import fakekernel
import pytest
from pluginbench import PANIC, Bench
from processes import boards, until

from harness.nightly.bisection import state as states
from harness.nightly.night import state
from harness.nightly.night.state import Night

pytest_plugins = ["pytester", "pluginfixtures"]
pytestmark = pytest.mark.slow  # a dozen seconds each; test_night_run has the rules

PLAN = """
nightly:
  branches: {main: {source: git+linux, ref: main}, work: {source: linux}}
  boards: [virtual-rpi3]
"""
TESTS = """
import time
from pathlib import Path

def test_boots(boot, kernel_source):
    assert boot.reached, boot.reason
    while kernel_source.origin.startswith("work tree") and Path("hold").exists():
        Path("held").touch()
        time.sleep(0.05)
"""
IDENTITY = ["-c", "user.name=A", "-c", "user.email=a@example.org"]


class Nights:
    """A bench with a plan."""

    def __init__(self, bench: Bench) -> None:
        self.path = bench.path
        lab = bench.path / "lab.yaml"
        lab.write_text(lab.read_text() + PLAN)
        (bench.path / "tests_hw").mkdir()
        (bench.path / "tests_hw" / "test_boot.py").write_text(TESTS)
        self.commit(fakekernel.text("@RELEASE@"))

    def commit(self, message: str) -> None:
        """Have a kernel that says *message*."""
        tree = self.path / "linux"
        (tree / "blob").write_bytes(fakekernel.image(message))
        if not (tree / ".git").exists():
            self.git("init", "--quiet", "--initial-branch=main")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "a change")

    def git(self, *words: str) -> str:
        command = ["git", "-C", str(self.path / "linux"), *IDENTITY, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def start(self, *words: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "harness.cli", "nightly", *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.path, text=True, stdout=pipe, stderr=subprocess.STDOUT)

    def run(self, *words: str) -> tuple[int, str]:
        process = self.start(*words)
        said, _ = process.communicate(timeout=240)
        return process.returncode, said

    @property
    def night(self) -> Night:
        return state.from_json((self.path / "runs/nightly/latest/night.json").read_text())


@pytest.fixture
def nights(bench, monkeypatch) -> Nights:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    return Nights(bench)


def test_a_kernel_that_stops_booting_is_a_regression_and_the_good_one_shows_that_the_rig_is_well(nights) -> None:
    status, said = nights.run()
    assert status == 0, said
    nights.commit(fakekernel.text("@RELEASE@", PANIC))
    status, said = nights.run("--branch", "main")
    assert status == 1, said
    (job,) = nights.night.jobs
    assert (job.verdict, job.board in nights.night.boards_out) == ("KERNEL", False)
    assert any("Cannot open root device" in told for told in job.regressions), said
    log = (nights.path / "runs/nightly/latest/000.log").read_text()
    assert "control boot: " in log


def test_the_commit_that_broke_it_is_found_in_the_same_night(nights) -> None:
    lab = nights.path / "lab.yaml"
    lab.write_text(lab.read_text().replace("nightly:\n", "nightly:\n  on_regression: bisect\n"))
    status, said = nights.run("--branch", "main")
    assert status == 0, said
    for number in range(6):
        (nights.path / "linux" / "remark").write_text(f"{number}")
        nights.commit(fakekernel.text("@RELEASE@", *([PANIC] if number >= 2 else [])))
    culprit = nights.git("rev-parse", "HEAD~3").strip()
    status, said = nights.run("--branch", "main")
    assert status == 1, said
    assert "the commit is found" in said
    (job,) = nights.night.jobs
    found = states.from_json((nights.path / "runs/bisect" / job.bisection / states.FILE).read_text(), name="bisect")
    assert found.first_bad == (culprit,)
    page = (nights.path / "runs/nightly/latest/index.html").read_text()
    assert f"bisect/{job.bisection}/report.html" in page


def test_killed_amid_a_run_it_goes_on_with_just_that_run(nights) -> None:
    (nights.path / "hold").touch()
    process = nights.start()
    until(lambda: (nights.path / "held").exists() or process.poll() is not None, 120)
    first, second = nights.night.jobs
    assert (first.state, second.state) == ("done", "running")
    process.kill()
    process.communicate()
    (nights.path / "hold").unlink()
    status, said = nights.run()
    assert status == 0, said
    assert boards(str(nights.path)) == []
    assert [job.state for job in nights.night.jobs] == ["done", "done"]
    assert nights.night.jobs[0] == first
    assert nights.night.jobs[1].tries == 2
    assert said.count("started") == 1
