"""Off means off: a board that talks without power is found out at the next start; a healthy run pays nothing."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import pytest
from labgrid import Target
from labgrid.driver import SerialDriver
from labgrid.resource import RawSerialPort
from test_strategy_serial import AMPLE, Switch

from harness.errors import LabError
from harness.model import Account
from harness.power import coldstart
from harness.strategy import Assignment, RaspberryPiStrategy
from harness.verdict.coldstart import spoken_while_off
from harness.verdict.judge import judge

STARTS = b"\r\nRaspberry Pi Bootcode\r\nRead File: config.txt\r\n"
STARVES = bytes(0x80 | byte % 0x7F for byte in range(40)) * 3


@pytest.fixture
def ladder(pi, tmp_path, monkeypatch) -> Iterator[RaspberryPiStrategy]:
    monkeypatch.setattr(coldstart, "SETTLED_S", 0.3)
    target = Target("scripted")
    RawSerialPort(target, name=None, port=pi.port)
    SerialDriver(target, name=None)
    Switch(target, pi).delay = 1.0
    ladder = RaspberryPiStrategy(target, name=None)
    ladder.assignment = Assignment(tmp_path, Account("pi", "raspberry"), attrs.evolve(AMPLE, silence=1.0))
    yield ladder
    ladder.power.welded = False
    ladder.close()


@contextmanager
def saying(pi, words: bytes) -> Iterator[None]:
    """Let the line speak, whatever the switch says."""
    end = threading.Event()

    def speak() -> None:
        while not end.wait(0.1):
            os.write(pi._lab, words)

    thread = threading.Thread(target=speak)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


@pytest.mark.parametrize(
    ("words", "proof"),
    [(STARTS, "it talked on while it was off"), (STARVES, "serial adapter's pins")],
    ids=["starts again and again", "starves"],
)
def test_a_board_that_is_fed_from_elsewhere_is_told(ladder, pi, words, proof) -> None:
    ladder.transition("booted")
    with saying(pi, words), pytest.raises(LabError, match=proof) as caught:
        ladder.cold_boot()
    assert "or its TX" in caught.value.hint
    assert [found.kind for found in ladder.boot.findings][-1] == "power-not-cut"
    assert judge(ladder.boots, (), [("LAB", str(caught.value))]).name == "LAB"
    assert not pi.powered


def test_a_board_that_falls_silent_boots_cold(ladder, pi) -> None:
    ladder.transition("booted")
    assert ladder.cold_boot().reached
    assert ladder.boot.findings == ()


def test_a_switch_that_opens_late_is_none_that_does_not_open(ladder, pi, monkeypatch) -> None:
    monkeypatch.setattr(coldstart, "LATELY_S", 0.3)
    ladder.transition("booted")
    threading.Timer(0.4, pi.say, [STARTS.decode()]).start()
    assert ladder.cold_boot().reached


@pytest.mark.parametrize("data", [b"", b"\0", b"\xff\0\xfe", b"\r\n"], ids=repr)
def test_a_stray_byte_on_a_line_without_power_is_no_word(data) -> None:
    assert spoken_while_off(data) is None
