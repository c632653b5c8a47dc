"""Four virtual boards side by side on this host, over the same four runs one after the other; a quarter of an hour.

Two of them are Pi 3s, two Pi 4s; each runs all of tests_hw (`--tests` for others) on the kernel that lab.yaml names,
which is built before and not counted. Also told: the processor time of the harness itself, pytest with all that runs in
its process, over the time of the runs. QEMU, and the program that plays the board, are not the harness.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from _common import ROOT, Figure, inputs, main, say, timed
from _usage import FOLDER

from harness.errors import LabError

TARGETS = ("virtual-rpi3", "virtual-rpi4")
BOARDS = 4
OWN_LIMIT = 3.0  # percent of one processor


def figures() -> Iterator[Figure]:
    """Run on each board alone, then on all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tests", nargs="+", default=["tests_hw"], metavar="TEST", help="default: %(default)s")
    tests = parser.parse_args().tests
    for target in TARGETS:
        inputs(target)
    with tempfile.TemporaryDirectory(prefix="pi64-bench-") as name:
        folder = Path(name)
        boards = _lab(folder)
        alone: list[float] = []
        for board in boards:
            with timed(alone):
                _run(folder, [board], tests)
        own = sum(float(path.read_text()) for path in (folder / "usage").iterdir())
        together: list[float] = []
        with timed(together):
            _run(folder, boards, tests)
    say(f"alone: {', '.join(f'{seconds:.0f}' for seconds in alone)} s; the harness itself {own:.1f} s of processor")
    yield Figure("side_by_side.one_after_the_other", sum(alone))
    yield Figure("side_by_side.together", together[0])
    yield Figure("side_by_side.ratio", together[0] / sum(alone), "x")
    yield Figure("side_by_side.own_processor", 100 * own / sum(alone), "%", OWN_LIMIT)


def _lab(folder: Path) -> list[str]:
    """Write a lab.yaml with the boards, and return their names."""
    lab = yaml.safe_load((ROOT / "lab.yaml").read_text())
    boards = {f"bench-{number + 1}": lab["targets"][TARGETS[number % len(TARGETS)]] for number in range(BOARDS)}
    for name, target in boards.items():
        target["resources"]["CardImage"] = {"file": f"{folder}/{name}.img"}
        boards[name] = yaml.safe_load(yaml.safe_dump(target, sort_keys=False))  # labgrid binds drivers in their order
    text = yaml.safe_dump({"imports": lab["imports"], "targets": boards}, sort_keys=False)
    (folder / "lab.yaml").write_text(text)
    (folder / "usage").mkdir()
    return list(boards)


def _run(folder: Path, boards: Sequence[str], tests: Sequence[str]) -> None:
    named = [word for board in boards for word in ("--board", board)]
    options = ["--lg-env", str(folder / "lab.yaml"), "--runs", str(folder / "runs"), "-p", "_usage"]
    command = [sys.executable, "-m", "harness.cli", "run", *named, *tests, *options]
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'bench'}:{ROOT}", FOLDER: str(folder / "usage")}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # as `make hw`: pytest would rewrite labgrid at each start
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"a run on {', '.join(boards)} failed", evidence=done.stdout.splitlines()[-20:])


if __name__ == "__main__":
    main(figures())
