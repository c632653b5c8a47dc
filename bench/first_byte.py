"""How long a user waits, with nothing to build and nothing to deploy, from the command to the board's first byte.

After the byte the run is ended by SIGTERM, and must leave no process, no temporary file and no copy of a card behind.
"""

import json
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from _common import PYTEST, ROOT, Figure, environment, inputs, main, marked, median, own_lab, repeats, say, scratch

from harness.errors import LabError

LIMIT_S = 3.0
TARGET = "virtual-rpi3"
PATIENCE_S = 60.0  # the first run deploys, and a busy machine is slow; still no reason to wait for ever
POLL_S = 0.002


def figures() -> Iterator[Figure]:
    """Run once to deploy, then several times with unchanged inputs; each is ended after its first byte."""
    number = repeats(3)
    inputs(TARGET)
    with scratch() as folder:
        lab = own_lab(folder)
        say(f"first run, which deploys: first byte after {_first_byte(folder, lab)[0]:.2f} s")
        runs = [_first_byte(folder, lab) for _ in range(number)]
    yield Figure("first_byte", median([first for first, _ in runs]), limit=LIMIT_S)
    yield Figure("first_byte.sigterm_to_end", median([end for _, end in runs]))


def _first_byte(folder: Path, lab: Path) -> tuple[float, float]:
    """Return the seconds from the command to the first byte, and from SIGTERM to the end of the run."""
    mark, runs = uuid.uuid4().hex, folder / uuid.uuid4().hex
    command = [*PYTEST, "tests_hw", "--board", TARGET, "--lg-env", str(lab), "--runs", str(runs)]
    started = time.monotonic()
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(mark, folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            _wait_for(runs / "latest" / "console.jsonl", process)
            heard = time.monotonic()
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=PATIENCE_S)
            ended = time.monotonic()
        finally:
            process.kill()
    _refuse_leftovers(folder, mark, runs)
    return heard - started, ended - heard


def _wait_for(record: Path, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not record.exists() or record.stat().st_size == 0:
        if process.poll() is not None:
            said = process.communicate()[0].splitlines()[-12:]
            raise LabError(f"the run ended with status {process.returncode} before a byte came", evidence=said)
        if time.monotonic() > deadline:
            raise LabError(f"no byte within {PATIENCE_S:g} s")
        time.sleep(POLL_S)


def _refuse_leftovers(folder: Path, mark: str, runs: Path) -> None:
    """Raise LabError unless everything that the run started or made is gone, and its record can be read."""
    deadline = time.monotonic() + 2.0  # the board's process ends when it sees its holder gone
    while (left := marked(mark)) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    left += [str(path) for path in [*(folder / "tmp").iterdir(), *folder.glob(".card*")]]
    if left:
        raise LabError("a run that was ended by SIGTERM left something behind", evidence=left)
    record = json.loads((runs / "latest" / "run.json").read_text())
    assert record["finished"], record


if __name__ == "__main__":
    main(figures())
