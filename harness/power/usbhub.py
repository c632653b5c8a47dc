"""Switch a board's supply at a port of a USB hub: standard hub requests over pyusb; the port is asked afterwards."""

import contextlib
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

import attr
import attrs
from labgrid.driver.common import Driver
from labgrid.driver.powerdriver import PowerResetMixin
from labgrid.factory import target_factory
from labgrid.protocol import PowerProtocol
from labgrid.resource.common import Resource
from labgrid.step import step

from harness import usbbus
from harness.errors import LabError
from harness.power import hublookup
from harness.power.hub import OVER_CURRENT, Hub
from harness.power.hublookup import ALONE, SERIAL

PATH = re.compile(r"usb[1-9]\d*|[1-9]\d*-[1-9]\d*(\.[1-9]\d*)*")
SWITCH_S = 5.0  # a hub obeys within milliseconds; a kernel that switches on again does so within seconds
POLL_S = 0.05


# --- what lab.yaml may say --------------------------------------------------------------------------------------------
def _is_hub(_: Any, __: Any, value: Any) -> None:
    if not isinstance(value, str) or not (PATH.fullmatch(value) or value.removeprefix(SERIAL) not in {"", value}):
        raise ValueError(f"a hub is a path (`1-1.4`, as in /sys/bus/usb/devices) or `{SERIAL}TEXT`, not {value!r}")


def _is_port(_: Any, __: Any, value: Any) -> None:
    if type(value) is not int or not 1 <= value <= 255:
        raise ValueError(f"a port is a number from 1 on, not {value!r}")


def _is_sibling(_: Any, __: Any, value: Any) -> None:
    if not isinstance(value, str) or not (value in {"", ALONE} or PATH.fullmatch(value)):
        raise ValueError(f"the other half is a path (`2-1.4`) or `{ALONE}`, not {value!r}")


def _is_seconds(_: Any, __: Any, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError(f"seconds, not {value!r}")


@target_factory.reg_resource
@attr.s(eq=False)
class USBHubPort(Resource):
    """A port of a USB hub at this lab host, which feeds a board.

    Args:
        hub: path of the hub (``1-1.4``, as in /sys/bus/usb/devices; ``usb1`` for a root hub), or ``serial:TEXT``
        port: number of the port, as the hub counts
        sibling: path of the hub's other half, ``none`` if it has none; by default found by their container id
        ganged: whether all ports of the hub may go off together, where it cannot switch one alone
    """

    hub: str = attr.ib(validator=_is_hub)
    port: int = attr.ib(validator=_is_port)
    sibling: str = attr.ib(default="", validator=_is_sibling)
    ganged: bool = attr.ib(default=False, validator=attr.validators.instance_of(bool))


@attrs.frozen
class _Half:
    """One half of the hub, and which of its ports go on and off."""

    hub: Hub
    ports: tuple[int, ...]

    def switch(self, *, on: bool) -> None:
        for port in self.ports:
            self.hub.switch(port, on=on)

    def obeys(self, port: int, *, on: bool) -> bool:
        """Tell whether *port* is on, or whether all that go with it are off: one that is on feeds a whole gang."""
        return self.hub.powered(port) if on else not any(map(self.hub.powered, self.ports))


# --- the switch -------------------------------------------------------------------------------------------------------
@target_factory.reg_driver
@attr.s(eq=False)
class USBHubPowerDriver(Driver, PowerResetMixin, PowerProtocol):
    """Power, switched at a ``USBHubPort``; both halves of a USB 3 hub are, for either alone keeps the 5 V on.

    Args:
        delay: seconds off in a cycle
        settle: seconds for which the port must stay off before that is believed
    """

    bindings = {"port": USBHubPort}  # noqa: RUF012 - labgrid's own way to say it
    delay: float = attr.ib(default=2.0, validator=_is_seconds)
    settle: float = attr.ib(default=1.5, validator=_is_seconds)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.backend: Any = None
        """pyusb's; None: libusb."""

    @Driver.check_active
    @step()
    def on(self) -> None:
        """Switch on; returns when the hub says that the port has power."""
        with self._halves() as halves:
            self._switch(halves, on=True)

    @Driver.check_active
    @step()
    def off(self) -> None:
        """Switch off; returns when the port has been off for *settle* seconds.

        A kernel that wonders where the device has gone may switch the port on again: it is switched off again then.
        """
        with self._halves() as halves:
            self._switch(halves, on=False)

    @Driver.check_active
    @step()
    def cycle(self) -> None:
        """Cold start."""
        self.off()
        time.sleep(self.delay)  # the board's capacitors drain; nothing tells when
        self.on()

    @Driver.check_active
    @step(result=True)
    def get(self) -> bool:
        """Return whether the port has power, from either half."""
        with self._halves() as halves:
            return any(half.hub.powered(self.port.port) for half in halves)

    # --- both halves --------------------------------------------------------------------------------------------------
    @contextlib.contextmanager
    def _halves(self) -> Iterator[tuple[_Half, ...]]:
        """Yield the hub's halves, proven to switch this port; what fails is told with the target's name."""
        hubs: tuple[Hub, ...] = ()
        try:
            hubs = hublookup.halves(self.port.hub, self.port.sibling, backend=self.backend)
            yield tuple(_Half(hub, self._ports(hub)) for hub in hubs)
        except LabError as error:
            message = f"{self.target.name}: {error.message}"
            raise LabError(message, hint=error.hint, evidence=error.evidence) from error
        finally:
            for hub in hubs:
                hub.close()

    def _ports(self, hub: Hub) -> tuple[int, ...]:
        """Return which ports of *hub* go with ours; LabError unless it can switch that in the way lab.yaml allows."""
        said, port = hub.descriptor(), self.port.port
        if port > said.ports:
            hint = "`port:` counts from 1; of a socket that only one half of the hub has, the `sibling:` is `none`"
            raise LabError(f"{hub} has {said.ports} ports, none with number {port}", hint=hint)
        if said.switching == "none":
            raise LabError(
                f"{hub} switches no port: it says so itself, and the status of its ports would only pretend",
                hint="take a hub that switches each port (github.com/mvp/uhubctl has a list), or another power switch",
            )
        if said.switching == "per-port":
            return (port,)
        ports = tuple(range(1, said.ports + 1))
        if not self.port.ganged:
            others = ", ".join(str(other) for other in ports if other != port)
            raise LabError(
                f"{hub} switches all its ports together: with port {port} go {others}",
                evidence=self._neighbours(hub),
                hint="if nothing else needs them, say `ganged: true` at the USBHubPort in lab.yaml",
            )
        return ports  # a gang goes off when its last port is told so, and each port is to come back

    def _neighbours(self, hub: Hub) -> list[str]:
        """Return what is plugged into the other ports of *hub*."""
        above = tuple(hub.device.port_numbers or ())
        found = []
        for device in usbbus.devices(backend=self.backend):
            ports = tuple(device.port_numbers or ())
            below = device.bus == hub.device.bus and len(ports) > len(above) and ports[: len(above)] == above
            if below and ports[len(above)] != self.port.port:
                found.append(f"port {ports[len(above)]}: {usbbus.described(device)}")
        return found

    # --- telling the hub, and asking it -------------------------------------------------------------------------------
    def _switch(self, halves: Sequence[_Half], *, on: bool) -> None:
        """Tell both halves, and again while one says otherwise; LabError with what they say if that does not help."""
        settle = 0.0 if on else self.settle
        deadline, right_since = time.monotonic() + SWITCH_S + settle, None
        wrong: Sequence[_Half] = halves
        while True:
            for half in wrong:
                half.switch(on=on)
            wrong = [half for half in halves if not half.obeys(self.port.port, on=on)]
            now = time.monotonic()
            right_since = None if wrong else right_since or now
            if right_since is not None and now - right_since >= settle:
                return
            if now >= deadline:
                raise self._disobeyed([half.hub for half in wrong or halves], on=on)
            time.sleep(POLL_S)

    def _disobeyed(self, hubs: Sequence[Hub], *, on: bool) -> LabError:
        number = self.port.port
        status = {hub: hub.status(number) for hub in hubs}
        hint = "this hub cannot switch that port, or the kernel switches it on again: see docs/power.md"
        if on:
            over = any(word & OVER_CURRENT for word in status.values())
            hint = "over-current: the hub has shut the port" if over else "is the hub's own supply plugged in?"
        return LabError(
            f"{hubs[0]} answers and does not switch: port {number} is still {'off' if on else 'on'}"
            f" after {SWITCH_S:.0f} s",
            evidence=[f"{hub}: port {number} has status {word:#06x}" for hub, word in status.items()],
            hint=hint,
        )
