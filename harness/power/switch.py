"""The board's power, switched through whatever driver lab.yaml names: no answer is waited for without an end.

Off is held for the driver's own ``delay`` before on comes again, which makes the start a cold one: the supply's and the
board's capacitors drain in that time. A switch that tells its state is asked whether it did as it was told.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any, Literal

from labgrid.driver import ManualPowerDriver

from harness.deadline import within
from harness.errors import LabError

ANSWER_S = 30.0  # a relay answers at once, a switch behind SNMP or SSH within seconds
AGAIN_S = 10.0  # for one that was late the last time: a run that fails switches off again, and again
STATE_S = 5.0  # some switches count their own state once a second
POLL_S = 0.1
BETWEEN_S = 5.0  # for an order that was given up to arrive after all: on must not come after off

Side = Literal["on", "off"]


class PowerSwitch:
    """Switches one target's power; LabError when the switch does not answer in time, or says that it did not switch."""

    def __init__(self, target: str) -> None:
        """*target* is named in messages."""
        self._target = target
        self._turn = threading.Lock()
        self._off_since = 0.0  # on the monotonic clock; 0: it may be on
        self._late = False

    def off(self, driver: Any) -> None:
        """Switch off; returns when the switch says so."""
        self._order(driver, "off")
        self._off_since = self._off_since or time.monotonic()

    def drain(self, driver: Any) -> None:
        """Wait until it has been off for the driver's ``delay``; at once if nobody switched it off."""
        time.sleep(max(0.0, self._off_since + float(getattr(driver, "delay", 0.0)) - time.monotonic()))

    def on(self, driver: Any) -> None:
        """Switch on; returns when the switch says so."""
        self._off_since = 0.0
        self._order(driver, "on")

    def _order(self, driver: Any, side: Side) -> None:
        if isinstance(driver, ManualPowerDriver) or getattr(driver, "own_deadline", False):
            getattr(driver, side)()  # a person takes the time that it takes; a virtual board knows how long it may take
            return
        name, began = f"{self._target}: power {side}, {type(driver).__name__}", time.monotonic()

        def switch() -> None:
            with self._after_the_last():
                getattr(driver, side)()

        patience = min(AGAIN_S, ANSWER_S) if self._late else ANSWER_S
        try:
            within(patience, switch, name)
        finally:
            self._late = time.monotonic() - began >= patience
        if hasattr(driver, "get") and self._disobeyed(driver, side):
            stays = "off" if side == "on" else "on"
            raise LabError(
                f"{name}: the switch answers, and stays {stays}",
                hint="a relay that sticks, or a port that is locked: switch it by hand; then `pi64 doctor`",
            )

    @contextlib.contextmanager
    def _after_the_last(self) -> Iterator[None]:
        mine = self._turn.acquire(timeout=BETWEEN_S)
        try:
            yield
        finally:
            if mine:
                self._turn.release()

    def _disobeyed(self, driver: Any, side: Side) -> bool:
        """Tell whether the switch says, to the end of STATE_S, that it is not *side*; what does not say is believed."""
        deadline = time.monotonic() + STATE_S
        while (left := deadline - time.monotonic()) > 0:
            try:
                says = within(left, driver.get, self._target)
            except Exception:  # noqa: BLE001 - many drivers have a get() that cannot tell; its order was taken
                return False
            if says not in (True, False) or bool(says) is (side == "on"):
                return False
            time.sleep(POLL_S)
        return True
