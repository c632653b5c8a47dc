"""Power and console: a real HTTP relay and labgrid's own drivers, with a scripted Pi on a pty behind them."""

import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
import uart
from httprelay import HttpRelay
from scriptedpi import BOOT_LOG, ScriptedPi

from harness.lab import doctor
from harness.lab.doctor.answer import Answer
from harness.lab.doctor.bench import Bench
from harness.lab.doctor.parts import power

LAB = """
imports: [harness.lab.drivers]
targets:
  rpi:
    options:
      model: rpi-3-b
      deadlines: {{firmware: {patience}}}
    resources:
      RawSerialPort: {{port: {port}}}
      NetworkPowerPort: {{model: rest, host: "{url}", index: 1}}
    drivers:
      SerialDriver: {{}}
      NetworkPowerDriver: {{delay: 0.1}}
      RaspberryPiStrategy: {{}}
"""


@attrs.define
class Rig:
    """A board, its relay, and the lab.yaml about them."""

    pi: ScriptedPi
    relay: HttpRelay
    file: Path

    def bench(self, *, patience: float = 20.0, url: str = "") -> Bench:
        self.file.write_text(LAB.format(port=self.pi.port, url=url or self.relay.url, patience=patience))
        return Bench(self.file, "rpi")

    def asked(self, *, prove: bool = True, **words) -> dict[str, Answer]:
        bench = self.bench(**words)
        try:
            only = ["serial", "power"] if prove else ["power"]
            answers = [answer for answer in doctor.examine(bench, prove=prove, only=only) if answer.part == "power"]
            return {answer.subject: answer for answer in answers}
        finally:
            bench.close()


@pytest.fixture(autouse=True)
def _shorter(monkeypatch) -> None:
    """A scripted board falls silent at once, and says something every tenth of a second."""
    for name, seconds in (("SETTLE_S", 0.5), ("QUIET_S", 0.7), ("MORE_S", 0.7)):
        monkeypatch.setattr(power, name, seconds)


@pytest.fixture
def rig(tmp_path) -> Iterator[Rig]:
    pi = ScriptedPi()
    relay = HttpRelay(lambda on: pi.power_on() if on else pi.power_off())
    yield Rig(pi, relay, tmp_path / "lab.yaml")
    relay.close()
    pi.close()


@pytest.fixture
def talking(rig) -> Iterator[Rig]:
    """The same, with a board that goes on to talk, as one does that boots."""
    end = threading.Event()

    def talk() -> None:
        seconds = 3.0
        while not end.wait(0.1):
            seconds += 0.1
            if rig.pi.powered:
                rig.pi.say(f"[{seconds:12.6f}] usb 1-1: new high-speed USB device\n")

    thread = threading.Thread(target=talk, daemon=True)
    thread.start()
    yield rig
    end.set()
    thread.join()


def states(answers: dict[str, Answer]) -> dict[str, str]:
    return {subject: answer.state for subject, answer in answers.items() if not subject.startswith("Network")}


# --- all is well ------------------------------------------------------------------------------------------------------
def test_a_good_bench_is_off_speaks_and_falls_silent_and_is_left_off(talking) -> None:
    answers = talking.asked()
    assert states(answers) == {"off": "ok", "on": "ok", "off again": "ok"}
    assert re.fullmatch(r"speaks \d+\.\d s after power-on: `.+`", answers["on"].fact)
    assert talking.relay.orders == [False, True, False]
    assert not talking.pi.powered


def test_a_board_that_was_on_is_switched_off_first(talking) -> None:
    talking.pi.power_on()
    assert set(states(talking.asked()).values()) == {"ok"}


def test_only_looking_switches_nothing(rig) -> None:
    (answer,) = rig.asked(prove=False).values()
    assert (answer.state, answer.fact) == ("ok", "answers, and says off")
    assert rig.relay.orders == []


# --- the switch -------------------------------------------------------------------------------------------------------
def test_a_relay_that_answers_and_does_not_switch_off_is_heard(talking) -> None:
    """The board talks on: the contact is welded, and the relay believes that it opened."""
    talking.pi.power_on()
    talking.relay.on = talking.relay.welded = True
    answers = talking.asked()
    assert answers["off"].state == "fault"
    assert "the power is not cut" in answers["off"].fact
    assert "another board's port" in answers["off"].remedy
    assert "on" not in answers


def test_an_idle_board_that_was_never_off_answers_enter(rig) -> None:
    rig.pi.power_on()
    _until_prompt(rig.pi)
    rig.relay.welded = True
    answers = rig.asked(patience=2.0)
    assert answers["off"].state == "fault"
    assert answers["off"].fact == "it talks on while it is off: `raspberrypi login:`: the power is not cut"
    assert rig.relay.orders[-1] is False


def test_a_board_that_runs_longer_than_its_power_is_on_was_never_off(rig) -> None:
    """It hung, and said nothing while it was off; its kernel's own clock tells."""
    rig.pi.log = ""
    words = threading.Timer(1.5, lambda: rig.pi.say("[ 4242.000000] hub 1-0:1.0: over-current\n"))
    rig.relay._switch = lambda on: on and words.start()
    answers = rig.asked(patience=5.0)
    assert answers["on"].state == "fault"
    assert answers["on"].fact.startswith(
        "the power switch answers, but the power was not cut: its kernel ran for 4242 s"
    )


def test_a_relay_that_says_itself_that_it_did_not_switch_is_believed(rig) -> None:
    rig.relay.stuck = True
    answers = rig.asked(patience=1.0)
    disobeyed = [answer for subject, answer in answers.items() if subject.startswith("Network")]
    assert [answer.fact for answer in disobeyed] == ["answers, and stays off when told on"]
    assert answers["on"].fact == "not one byte within 1 s of power-on"


def test_a_relay_that_is_not_there_is_told_in_the_hosts_words(rig) -> None:
    answers = rig.asked(url="http://127.0.0.1:9/relay/{index}")
    (answer,) = answers.values()
    assert (answer.state, answer.fact) == ("fault", "Connection refused")
    assert "curl" in answer.remedy


def test_a_relay_that_refuses_is_told_in_its_own_words(rig) -> None:
    rig.relay.status = 503
    assert "503 Server Error" in next(iter(rig.asked(prove=False).values())).fact


def test_a_relay_that_accepts_and_says_nothing_holds_nobody_up(rig, monkeypatch) -> None:
    monkeypatch.setattr(power, "ASK_S", 0.5)
    monkeypatch.setattr("harness.lab.doctor.supply.SWITCH_S", 0.5)
    rig.relay.mute = True
    began = time.monotonic()
    bench = rig.bench()
    answers = [answer for answer in doctor.examine(bench, only=["serial", "power"]) if answer.part == "power"]
    assert [answer.fact for answer in answers] == ["no answer within 0.5 s"]
    assert time.monotonic() - began < 10
    rig.relay.mute = False
    bench.close()  # labgrid's own steps go on as if nothing had been


def test_credentials_in_the_relays_address_are_not_shown(rig) -> None:
    (answer,) = rig.asked(prove=False, url="http://admin:hunter2@127.0.0.1:9/{index}").values()
    assert "hunter2" not in answer.subject + answer.fact


# --- what is heard ----------------------------------------------------------------------------------------------------
def test_a_board_without_a_word_is_told_with_what_to_look_at(rig) -> None:
    rig.pi.to_lab = lambda _: b""
    answers = rig.asked(patience=2.0)
    assert answers["on"].fact == "not one byte within 2 s of power-on"
    assert "pin 8" in answers["on"].remedy


def test_a_stray_byte_at_power_on_is_no_word(rig) -> None:
    rig.pi.to_lab = lambda _: b"\x00"
    answers = rig.asked(patience=3.0)
    assert "stray bytes (00" in answers["on"].fact


def test_a_wrong_baud_rate_is_garbage_with_its_remedy(rig) -> None:
    rig.pi.log = BOOT_LOG * 6
    rig.pi.to_lab = lambda data: uart.missampled(data, 0.5)
    answers = rig.asked(patience=10.0)
    assert answers["on"].state == "fault"
    assert "are no text at 115200 baud" in answers["on"].fact
    assert "compare `speed` in lab.yaml" in answers["on"].remedy


def test_garbage_while_off_is_a_board_fed_through_its_pins(rig) -> None:
    end = _repeat(lambda: os.write(rig.pi._lab, uart.missampled(BOOT_LOG.encode(), 0.5)))
    answers = rig.asked(patience=2.0)
    end()
    assert answers["off"].state == "fault"
    assert "a board that starves" in answers["off"].fact
    assert "pin 10" in answers["off"].remedy


def test_a_board_that_starts_again_while_off_is_fed_by_something_else(rig) -> None:
    end = _repeat(lambda: rig.pi.say(BOOT_LOG))
    answers = rig.asked(patience=2.0)
    end()
    assert answers["off"].fact.startswith("it starts again and again while it is off")


def test_a_switch_that_cuts_only_the_first_time_is_found_in_the_middle_of_the_boot(talking) -> None:
    """Off at first, because the board was off: what follows shows that the contact does not open."""
    real = talking.relay._switch
    talking.relay._switch = lambda on: real(on) if on else None
    answers = talking.asked()
    assert states(answers) == {"off": "ok", "on": "ok", "off again": "fault"}
    assert answers["off again"].fact.endswith("the power is not cut")


# --- who has the board ------------------------------------------------------------------------------------------------
def test_a_board_that_somebody_else_has_is_not_switched(rig) -> None:
    bench = rig.bench()
    bench.used_by = "minicom (pid 7)"
    answers = [answer for answer in doctor.examine(bench, only=["power"]) if answer.subject == "off and on"]
    bench.close()
    assert [(answer.state, answer.fact) for answer in answers] == [("n/a", "not tried: minicom (pid 7) has the board")]
    assert rig.relay.orders == []


def test_a_board_whose_line_does_not_open_is_not_switched(rig) -> None:
    bench = rig.bench()
    answers = [answer for answer in doctor.examine(bench, only=["power"]) if answer.subject == "off and on"]
    bench.close()
    assert answers[0].fact == "not tried: nobody would hear the board"
    assert rig.relay.orders == []


def test_whoever_stops_asking_leaves_the_board_off(talking) -> None:
    bench = talking.bench()
    asked = doctor.examine(bench, only=["serial", "power"])
    for answer in asked:
        if answer.subject == "on":
            break
    asked.close()
    bench.close()
    assert not talking.pi.powered
    assert talking.relay.orders[-1] is False


def _until_prompt(pi: ScriptedPi) -> None:
    handle = os.open(pi.port, os.O_RDONLY | os.O_NOCTTY)
    seen = b""
    while b"login: " not in seen:
        seen += os.read(handle, 4096)
    os.close(handle)


def _repeat(do):
    end = threading.Event()

    def run() -> None:
        while not end.wait(0.05):
            do()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return lambda: (end.set(), thread.join())
