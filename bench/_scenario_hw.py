"""The scenario as a user of pi64 writes it; `scenario.py` gives it to pytest by name.

A time-stamp of each step goes to ``scenario.json`` in the run's folder, on the clock of CLOCK_MONOTONIC.
"""

import json
import time
from collections.abc import Iterator

import pytest

from harness.console.shell import Shell
from harness.lab.run import Run
from harness.strategy import RaspberryPiStrategy

HALT_TIMEOUT_S = 60.0


@pytest.fixture(scope="session")
def marks(run: Run) -> Iterator[dict[str, float]]:
    marks: dict[str, float] = {}
    yield marks
    (run.folder / "scenario.json").write_text(json.dumps(marks))


def test_boots_to_login(dut: RaspberryPiStrategy, marks: dict[str, float]) -> None:
    marks["start"] = time.monotonic()
    dut.transition("booted")
    assert dut.boot.reached
    marks["login"] = time.monotonic()


def test_depmod_succeeds(shell: Shell, marks: dict[str, float]) -> None:
    marks["shell"] = time.monotonic()
    shell.check("sudo depmod -a", timeout=120)
    marks["depmod"] = time.monotonic()


@pytest.mark.usefixtures("shell")
def test_reboots(dut: RaspberryPiStrategy, marks: dict[str, float]) -> None:
    assert dut.reboot().reached
    marks["login again"] = time.monotonic()


def test_a_module_loads(shell: Shell, marks: dict[str, float]) -> None:
    marks["shell again"] = time.monotonic()
    shell.check("sudo modprobe dummy")
    marks["modprobe"] = time.monotonic()


def test_powers_off(shell: Shell, dut: RaspberryPiStrategy, marks: dict[str, float]) -> None:
    shell.send("sudo systemctl poweroff")
    deadline = time.monotonic() + HALT_TIMEOUT_S
    while dut.power.status()["state"] == "running":
        assert time.monotonic() < deadline, "does not power off"
        time.sleep(0.02)
    marks["off"] = time.monotonic()
