"""A run of pytest that stands still at a place of our choice, to be killed there: in any state, every time alike."""

import os
import signal
import subprocess

import attrs
from pluginbench import Bench
from processes import boards, qemus, until

STALL = """
import importlib
import time
from pathlib import Path

owner = importlib.import_module({module!r})
for name in {owner!r}.split("."):
    owner = getattr(owner, name) if name else owner
real = getattr(owner, {name!r})

def stalled(*args, **words):
    if {after}:
        real(*args, **words)
    Path("reached").touch()
    time.sleep(120)

setattr(owner, {name!r}, stalled)
"""


@attrs.frozen
class Place:
    """A function of ours before which, or *after* which, the run stands still."""

    module: str
    name: str
    owner: str = ""
    after: bool = False


PLACES = {
    "building": Place("harness.build.make", "run", owner="Make"),
    "making the card": Place("harness.deploy.sdcard", "copy_sparse"),
    "writing the kernel": Place("harness.deploy.sdcard", "carry_out"),
    "kernel written, no list yet": Place("harness.deploy.sdcard", "carry_out", after=True),
    "switching on": Place("harness.virtual.board", "on", owner="VirtualPiDriver"),
    "booting": Place("harness.virtual.board", "on", owner="VirtualPiDriver", after=True),
    "booted": Place("harness.strategy", "_believe_cold", owner="RaspberryPiStrategy", after=True),
    "ending, still on": Place("harness.strategy", "close", owner="RaspberryPiStrategy"),
    "ending, off": Place("harness.strategy", "close", owner="RaspberryPiStrategy", after=True),
}
"""Where a run can be, from its beginning to its end."""


def start(bench: Bench, test: str, place: Place) -> subprocess.Popen[str]:
    """Start a run, and return when it stands still."""
    words = {"module": place.module, "owner": place.owner, "name": place.name, "after": place.after}
    (bench.path / "conftest.py").write_text(STALL.format(**words))
    process = bench.start(test)
    until(lambda: (bench.path / "reached").exists() or process.poll() is not None, 90)
    assert process.poll() is None, process.communicate()
    return process


def go_on(bench: Bench) -> None:
    """Let the next run of *bench* through."""
    (bench.path / "conftest.py").unlink()
    (bench.path / "reached").unlink()


def kill_everything(bench: Bench, process: subprocess.Popen[str]) -> None:
    """End all processes of the run at once, with no last words: what is on disk stays as it is."""
    folder = str(bench.path)
    ours = [process.pid, *boards(folder)]
    for pid in ours + [child for parent in ours for child in _children(parent)]:
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    until(lambda: not boards(folder))
    until(lambda: not qemus(folder))


def _children(pid: int) -> list[int]:
    said = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout
    return [int(word) for word in said.split()]
