"""The power is switched through any driver, and no answer is waited for without an end."""

import threading
import time

import pytest
from labgrid import Target
from labgrid.driver import ManualPowerDriver

from harness.errors import LabError
from harness.power import switch
from harness.power.switch import PowerSwitch


class Relay:
    """A driver that notes its orders; *hold* keeps an order from coming through."""

    def __init__(self) -> None:
        self.orders: list[str] = []
        self.state: object = None
        self.hold = threading.Event()
        self.hold.set()
        self.sticks = False
        self.lag_s = 0.0

    def on(self) -> None:
        self._order("on")

    def off(self) -> None:
        self._order("off")

    def _order(self, side: str) -> None:
        self.hold.wait(20)
        self.orders.append(side)
        if not self.sticks:
            threading.Timer(self.lag_s, setattr, (self, "state", side == "on")).start()


class Telling(Relay):
    """The same, with a word about its own state."""

    def get(self) -> object:
        if isinstance(self.state, Exception):
            raise self.state
        return self.state


@pytest.fixture(autouse=True)
def _shorter(monkeypatch) -> None:
    for name, seconds in (("ANSWER_S", 0.5), ("STATE_S", 1.0), ("BETWEEN_S", 5.0), ("POLL_S", 0.02)):
        monkeypatch.setattr(switch, name, seconds)


def test_a_switch_that_says_nothing_is_given_up_with_its_name() -> None:
    relay = Relay()
    relay.hold.clear()
    with pytest.raises(LabError, match=r"rpi: power off, Relay: no answer within 0\.5 s"):
        PowerSwitch("rpi").off(relay)
    relay.hold.set()


def test_one_that_was_late_is_given_less_time_until_it_answers_again(monkeypatch) -> None:
    """A run that fails for its relay switches off again at each of its ends."""
    monkeypatch.setattr(switch, "AGAIN_S", 0.1)
    monkeypatch.setattr(switch, "BETWEEN_S", 0.05)
    power, relay = PowerSwitch("rpi"), Relay()
    relay.hold.clear()
    for said in ("0.5 s", "0.1 s", "0.1 s"):
        with pytest.raises(LabError, match=f"no answer within {said}"):
            power.off(relay)
    relay.hold.set()
    power.off(relay)
    relay.hold.clear()
    with pytest.raises(LabError, match=r"no answer within 0\.5 s"):
        power.off(relay)
    relay.hold.set()


def test_an_on_that_comes_late_does_not_come_after_the_off(monkeypatch) -> None:
    """Else the board would be left on."""
    power, relay = PowerSwitch("rpi"), Relay()
    relay.hold.clear()
    with pytest.raises(LabError):
        power.on(relay)
    monkeypatch.setattr(switch, "ANSWER_S", 20.0)
    threading.Timer(0.3, relay.hold.set).start()
    power.off(relay)
    assert relay.orders == ["on", "off"]


def test_an_off_is_sent_even_if_an_on_never_ends(monkeypatch) -> None:
    monkeypatch.setattr(switch, "BETWEEN_S", 0.1)
    power, relay = PowerSwitch("rpi"), Relay()
    held = threading.Event()
    relay.on = lambda: held.wait(20)
    with pytest.raises(LabError):
        power.on(relay)
    power.off(relay)
    assert relay.orders == ["off"]
    held.set()


def test_a_switch_that_says_that_it_stays_is_a_fault() -> None:
    relay = Telling()
    relay.sticks, relay.state = True, True
    with pytest.raises(LabError, match="rpi: power off, Telling: the switch answers, and stays on"):
        PowerSwitch("rpi").off(relay)
    relay.state = False
    with pytest.raises(LabError, match="stays off"):
        PowerSwitch("rpi").on(relay)


def test_a_switch_that_counts_its_state_a_little_later_is_no_fault() -> None:
    relay = Telling()
    relay.state, relay.lag_s = True, 0.3
    PowerSwitch("rpi").off(relay)
    assert relay.state is False


@pytest.mark.parametrize("state", [NotImplementedError("no"), ValueError("what?"), None, "on"], ids=repr)
def test_a_switch_that_cannot_tell_its_state_is_believed(state) -> None:
    relay = Telling()
    relay.sticks, relay.state = True, state
    PowerSwitch("rpi").off(relay)
    assert relay.orders == ["off"]


def test_what_a_driver_raises_comes_through() -> None:
    relay = Relay()
    relay.off = lambda: int("none")
    with pytest.raises(ValueError, match="none"):
        PowerSwitch("rpi").off(relay)


def test_a_person_is_not_hurried(monkeypatch) -> None:
    target = Target("rpi")
    driver = ManualPowerDriver(target, name=None)
    target.activate(driver)
    monkeypatch.setattr(target, "interact", lambda _: time.sleep(0.8))
    PowerSwitch("rpi").off(driver)


def test_a_start_is_cold_after_the_drivers_delay_and_no_later() -> None:
    power, relay = PowerSwitch("rpi"), Relay()
    relay.delay = 0.4
    power.off(relay)
    started = time.monotonic()
    time.sleep(0.1)
    power.off(relay)  # off already: the capacitors do not begin anew
    power.drain(relay)
    assert 0.35 < time.monotonic() - started < 0.49
    started = time.monotonic()
    power.drain(relay)
    power.on(relay)
    power.drain(relay)
    assert time.monotonic() - started < 0.3
