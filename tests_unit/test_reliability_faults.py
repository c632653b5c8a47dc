"""Each part of the bench breaks in a run; then it is mended, and nobody touches anything else: the next run is green.

labgrid's own drivers at this end, a real board in QEMU at the other, and the fault in between.
"""

from collections.abc import Iterator
from pathlib import Path

import fakekernel
import pytest
from faultylab import FaultyLab
from pluginbench import BOOTS
from processes import until

pytest_plugins = ["pluginfixtures"]

HEALTHY = fakekernel.text("@RELEASE@")
STANDS_STILL = "Booting Linux on physical CPU 0x0\nLinux version @RELEASE@ (x)\n"
IMPATIENT = """
import harness.power.switch
harness.power.switch.ANSWER_S = 2.0
harness.power.switch.STATE_S = 1.0
harness.power.switch.BETWEEN_S = 0.5
"""
AGAIN = BOOTS + "\n\ndef test_again(dut):\n    assert dut.cold_boot().reached\n"
AND_THEN = f"""{BOOTS}
def test_then(boot):
    import pathlib
    import time
    pathlib.Path("there").touch()
    time.sleep(3)
"""


@pytest.fixture
def lab(tmp_path, monkeypatch, image) -> Iterator[FaultyLab]:
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    with FaultyLab(tmp_path, image) as lab:
        (lab.path / "conftest.py").write_text(IMPATIENT)
        yield lab


def off(lab: FaultyLab) -> bool:
    """Whether the board itself has no power."""
    return lab.board.status()["state"] == "off"


def green(lab: FaultyLab) -> None:
    result = lab.run(BOOTS)
    assert result.ret == 0, str(result.stdout) + str(result.stderr)
    assert lab.record["verdict"]["name"] == "PASS"
    assert off(lab)


def test_a_healthy_bench_passes_and_is_cold_at_each_start(lab) -> None:
    lab.run(AGAIN).assert_outcomes(passed=2)
    assert lab.relay.orders[-4:] == [True, False, True, False]
    assert off(lab)


def test_a_serial_line_pulled_in_mid_boot(lab) -> None:
    lab.kernel(STANDS_STILL)
    process = lab.start(BOOTS)
    until(lambda: "Linux version" in _text(lab.folder / "console.log"), 60)
    lab.wire.pull()
    output, _ = process.communicate(timeout=60)
    assert lab.record["verdict"]["name"] == "LAB", output
    assert lab.record["finished"]
    assert off(lab)
    lab.wire.plug()
    lab.kernel(HEALTHY)
    green(lab)


def test_a_relay_that_accepts_and_says_nothing_holds_nobody_up_for_ever(lab) -> None:
    """labgrid's `rest` model knows no deadline."""
    process = lab.start(AND_THEN)
    until((lab.path / "there").exists, 60)
    lab.relay.mute = True
    output, _ = process.communicate(timeout=60)
    assert "board is still ON" in output
    assert "power off, NetworkPowerDriver: no answer within 2 s" in lab.record["still_on"]
    assert lab.record["verdict"]["name"] == "LAB"
    lab.relay.mute = False
    green(lab)


def test_a_relay_that_is_mute_from_the_start(lab) -> None:
    lab.relay.mute = True
    result = lab.run(BOOTS)
    result.assert_outcomes(errors=1)
    assert lab.record["verdict"]["name"] == "LAB"
    lab.relay.mute = False
    until(lambda: not lab.relay.orders or not lab.relay.orders[-1])
    green(lab)


def test_a_relay_that_answers_and_says_itself_that_it_stays_on(lab) -> None:
    process = lab.start(AND_THEN)
    until((lab.path / "there").exists, 60)
    lab.relay.stuck = True
    output, _ = process.communicate(timeout=60)
    assert "board is still ON" in output
    assert "the switch answers, and stays on" in lab.record["still_on"]
    assert lab.record["verdict"]["name"] == "LAB"
    assert not off(lab)
    lab.relay.stuck = False
    green(lab)


def test_a_relay_that_answers_and_does_not_switch_on(lab) -> None:
    lab.relay.stuck = True
    result = lab.run(BOOTS)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*one: power on, NetworkPowerDriver: the switch answers, and stays off*"])
    assert lab.record["verdict"]["name"] == "LAB"
    lab.relay.stuck = False
    green(lab)


def test_a_mux_that_is_stuck(lab) -> None:
    lab.mux.stuck = True
    result = lab.run(BOOTS)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*the card mux was switched to * and stays at *"])
    assert lab.record["verdict"]["name"] == "LAB"
    assert off(lab)
    lab.mux.stuck = False
    green(lab)


def test_a_card_that_is_full(lab) -> None:
    """The base image has 8 MiB for the root filesystem."""
    green(lab)
    (lab.path / "linux" / "blob").write_bytes(fakekernel.image(HEALTHY) + bytes(40 << 20))
    result = lab.run(BOOTS)
    result.assert_outcomes(errors=1)
    assert lab.record["verdict"]["name"] == "LAB"
    assert off(lab)
    lab.kernel(HEALTHY)
    green(lab)


def test_a_board_that_was_left_running_is_started_cold(lab) -> None:
    green(lab)
    lab.board.power(on=True)
    green(lab)


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
