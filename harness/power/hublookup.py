"""Which hub lab.yaml means, and which device is its other half: a port has 5 V as long as one half gives power to it.

Source: USB 3.2 specification, 10.3.1 (VBUS and both halves) and 11.2 (both have the same container id).
"""

from collections.abc import Sequence
from typing import Any

from harness import usbbus
from harness.errors import LabError
from harness.power.hub import HUB_CLASS, USB2, USB3, Hub

SERIAL = "serial:"
ALONE = "none"
"""What `sibling` says of a hub that has no other half."""


def halves(name: str, sibling: str, *, backend: Any = None) -> tuple[Hub, ...]:
    """Return the hub that *name* says, and its other half if it has one.

    *name* is a path or ``serial:TEXT``; *sibling* the path of the other half, ``none``, or empty: by container id.
    LabError when there is no such hub, or when the other half cannot be told.
    """
    hubs = [Hub(device) for device in usbbus.devices(backend=backend, bDeviceClass=HUB_CLASS)]
    hub = _by_serial(hubs, name.removeprefix(SERIAL)) if name.startswith(SERIAL) else _at(hubs, name, backend)
    if sibling == ALONE:
        return (hub,)
    others = [other for other in hubs if other.generation is not hub.generation]
    if not sibling:
        found = _sibling(hub, others)
        return (hub, found) if found else (hub,)
    other = _at(hubs, sibling, backend)
    if other not in others:
        raise LabError(
            f"{other} cannot be the other half of {hub}: one half is USB 2, the other USB 3",
            evidence=[str(each) for each in others],
            hint="see `sibling:` of the USBHubPort in lab.yaml",
        )
    return (hub, other)


def _at(hubs: Sequence[Hub], path: str, backend: Any) -> Hub:
    found = next((hub for hub in hubs if hub.path == path), None)
    if found:
        return found
    there = [device for device in usbbus.devices(backend=backend) if usbbus.path(device) == path]
    fact = f"what is there is no hub: {usbbus.described(there[0])}" if there else "nothing is plugged in there"
    raise LabError(
        f"no USB hub at {path}: {fact}",
        evidence=_shown(hubs),
        hint="plug the hub in (bus numbers may change with a reboot: `hub: serial:TEXT` does not), or correct the path",
    )


def _by_serial(hubs: Sequence[Hub], serial: str) -> Hub:
    """Return the USB 2 half if both have the number."""
    named = [hub for hub in hubs if usbbus.text(hub.device, hub.device.iSerialNumber) == serial]
    for generation in (USB2, USB3):
        same = [hub for hub in named if hub.generation is generation]
        if len(same) > 1:
            raise LabError(
                f"{len(same)} {generation.name} hubs have the serial number {serial}",
                evidence=_shown(same),
                hint="many hubs of one make have the same number: name this one by its path",
            )
        if same:
            return same[0]
    raise LabError(
        f"no USB hub with serial number {serial}",
        evidence=_shown(hubs),
        hint="a number that cannot be read, for want of permission, is not shown: try `hub: PATH`",
    )


def _shown(hubs: Sequence[Hub]) -> list[str]:
    """Return one line a hub, for people."""
    lines = []
    for hub in hubs:
        serial = usbbus.text(hub.device, hub.device.iSerialNumber)
        lines.append(usbbus.described(hub.device) + (f" {SERIAL}{serial}" if serial else ""))
        hub.close()
    return lines


def _sibling(hub: Hub, others: Sequence[Hub]) -> Hub | None:
    """Return the one of *others* that is the other half of *hub*; None if it has none, LabError if nobody knows."""
    container = hub.container()
    if not container:
        _prove_alone(hub, others)
        return None
    same, unread = [], []
    for other in others:
        try:
            same += [other] if other.container() == container else []
        except LabError:
            unread.append(other)
    if len(same) > 1:  # makers give one id to all hubs of a kind; Linux counts the ports of both buses alike
        same = [other for other in same if other.device.port_numbers == hub.device.port_numbers] or same
    if len(same) == 1:
        return same[0]
    if same:
        raise _unclear(hub, "several have its container id", same)
    if unread:
        raise _unclear(hub, "those that it may be cannot be asked", unread, usbbus.udev_hint(unread[0].device))
    if hub.generation is USB3:
        raise _unclear(hub, "no USB 2 hub has its container id", others)
    return None  # a USB 3 hub at a USB 2 port


def _prove_alone(hub: Hub, others: Sequence[Hub]) -> None:
    """Raise LabError unless *hub*, which has no container id, is sure to be all there is."""
    if hub.generation is USB3:
        raise _unclear(hub, "it has no container id", others)
    alike = [
        other
        for other in others
        if (other.device.idVendor, other.device.port_numbers) == (hub.device.idVendor, hub.device.port_numbers)
    ]
    if alike:
        raise _unclear(hub, "it has no container id, and there is one like it", alike)


def _unclear(hub: Hub, why: str, candidates: Sequence[Hub], hint: str = "") -> LabError:
    return LabError(
        f"{hub}: its other half cannot be told: {why}; a port loses its 5 V only when both halves switch it off",
        evidence=[str(each) for each in candidates],
        hint=hint or "name it with `sibling: PATH` of the USBHubPort in lab.yaml, or say `sibling: none`",
    )
