"""What is plugged in, as resources for lab.yaml: by serial number where a device has one of its own, else by place."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import yaml

from harness import usbbus
from harness.errors import LabError
from harness.lab.doctor import adapters, usbtree
from harness.lab.doctor.answer import SCHEMA, one_line
from harness.lab.doctor.bench import Roots
from harness.lab.doctor.usbtree import Device
from harness.power.hub import HUB_CLASS, Hub

SDWIRE, SDWIRE_HUB = "USBSDWireDevice", ("0424", "2640")
STORAGE = "USBMassStorage"


@attrs.frozen
class Plugged:
    """One thing that is plugged in."""

    about: str
    """For people: what it is, where."""
    resource: str = ""
    """The labgrid class; empty for what has none."""
    arguments: dict[str, Any] = attrs.field(factory=dict)


def found(roots: Roots, *, backend: Any = None) -> list[Plugged]:
    """Return all that a lab can use of what is plugged in; *backend* is pyusb's, None: libusb."""
    devices = usbtree.read(roots.sys, roots.run)
    plugged = list(of_devices(devices))
    if devices and not usbtree.udev_runs(roots.run):
        words = "udev has no database here (/run/udev): labgrid finds none of these by serial number or path"
        plugged.insert(0, Plugged(words))
    return [attrs.evolve(one, about=one_line(one.about)) for one in (*plugged, *_hubs(backend))]


def of_devices(devices: Sequence[Device]) -> Iterator[Plugged]:
    """Yield the resources for *devices*: muxes and relays, serial ports, disks."""
    of_muxes: set[Path] = set()
    for device in devices:
        row = _row(device)
        if row is None or row.resource in {adapters.SERIAL, STORAGE}:
            continue
        of_muxes |= {each.folder for each in _disks(device, devices, row)}
        yield _plugged(device, devices, row.resource)
    for device in devices:
        if device.subsystem == "tty":
            yield _plugged(device, devices, adapters.SERIAL)
    for device in devices:
        if device.subsystem == "block" and device.device_type == "disk" and device.folder not in of_muxes:
            yield _plugged(device, devices, STORAGE)


def to_yaml(plugged: Sequence[Plugged]) -> str:
    """Return *plugged* as a list for the ``resources:`` of a target; things of one class get names."""
    many = Counter(one.resource for one in plugged)
    seen: Counter[str] = Counter()
    lines = ["resources:"] if any(one.resource for one in plugged) else ["# nothing that a lab could use is plugged in"]
    for one in plugged:
        lines.append(f"  # {one.about}")
        if one.resource:
            seen[one.resource] += 1
            name = {"name": f"{one.resource.lower()}-{seen[one.resource]}"} if many[one.resource] > 1 else {}
            entry = yaml.safe_dump([{one.resource: name | one.arguments}], sort_keys=False, width=1000)
            lines += [f"  {line}" for line in entry.splitlines()]
    return "\n".join(lines)


def to_json(plugged: Sequence[Plugged]) -> dict[str, Any]:
    """Return *plugged* as one JSON object."""
    return {"schema": SCHEMA, "resources": [attrs.asdict(one) for one in plugged]}


# --- one device -------------------------------------------------------------------------------------------------------
def _row(device: Device) -> adapters.Kind | None:
    """Return the table's row for a whole USB device; an SDWire has the numbers of other chips, in a hub of its own."""
    row = adapters.kind(device) if device.device_type == "usb_device" else None
    if row and row.resource == SDWIRE:
        hub = _hub_of(device)
        return row if hub and (hub.told("ID_VENDOR_ID"), hub.told("ID_MODEL_ID")) == SDWIRE_HUB else None
    return row


def _hub_of(device: Device) -> Device | None:
    return next((each for each in device.ancestors if each.device_type == "usb_device"), None)


def _disks(mux: Device, devices: Sequence[Device], row: adapters.Kind) -> list[Device]:
    """Return the disks that a mux shows when it has the card."""
    root = _hub_of(mux) if row.resource == SDWIRE else mux
    return [each for each in devices if each.subsystem == "block" and any(on is root for on in each.ancestors)]


def _plugged(device: Device, devices: Sequence[Device], resource: str) -> Plugged:
    whole = device.usb or device
    serial, row = whole.told("ID_SERIAL_SHORT"), adapters.kind(whole)
    shared = "" if _own_number(device, devices) else ", which others have as well"
    about = [
        adapters.about(device),
        f"serial number {serial}{shared}" if serial else "no serial number",
        f"at {whole.sys_name}",
        device.device_node if device.subsystem != "usb" else "",
        row.note if row else "",
    ]
    arguments: dict[str, Any] = {"match": _match(device, devices)} if resource else {}
    arguments |= {"index": 1} if resource == "HIDRelay" else {}
    return Plugged(", ".join(filter(None, about)), resource, arguments)


def _match(device: Device, devices: Sequence[Device]) -> dict[str, str]:
    """Return the shortest match that fits *device* alone, and still does when it is plugged in anew."""
    serial = _own_number(device, devices)
    if serial:
        brothers = usbtree.below(device, devices, device.subsystem) if device.subsystem != "usb" else []
        number = device.properties.get("ID_USB_INTERFACE_NUM", "")
        more = {"ID_USB_INTERFACE_NUM": number} if len(brothers) > 1 and number else {}
        itself = device.subsystem == "usb" or "ID_SERIAL_SHORT" in device.properties
        return {"ID_SERIAL_SHORT" if itself else "@ID_SERIAL_SHORT": serial, **more}
    if path := device.properties.get("ID_PATH", ""):
        return {"ID_PATH": path}
    whole = device.usb or device
    return {"sys_name" if whole is device else "@sys_name": whole.sys_name}


def _own_number(device: Device, devices: Sequence[Device]) -> str:
    """Return the serial number that no other USB device here has, nor any of its kind; empty when there is none."""
    number = adapters.serial_number(device)
    same = {each for each in devices if each.device_type == "usb_device" and each.told("ID_SERIAL_SHORT") == number}
    return number if len(same) == 1 else ""


# --- hubs -------------------------------------------------------------------------------------------------------------
def _hubs(backend: Any) -> list[Plugged]:
    """Return the hubs that can switch the power of a port; each says itself how."""
    try:
        hubs = [Hub(device) for device in usbbus.devices(backend=backend, bDeviceClass=HUB_CLASS)]
    except LabError as error:
        return [Plugged(f"hubs: {error.message}; {error.hint}")]
    return [plugged for hub in hubs for plugged in _hub(hub)]


def _hub(hub: Hub) -> Iterator[Plugged]:
    try:
        said = hub.descriptor()
    except LabError as error:
        yield Plugged(f"{error.message}; {error.hint}")
        return
    finally:
        hub.close()
    what = f"hub {usbbus.described(hub.device)}: {said.ports} ports"
    if said.switching == "per-port":
        about = f"{what}, each switched alone; `port:` is the one that feeds the board"
        yield Plugged(about, "USBHubPort", {"hub": hub.path, "port": 1})
    elif said.switching == "ganged":
        about = f"{what}, which go on and off together"
        yield Plugged(about, "USBHubPort", {"hub": hub.path, "port": 1, "ganged": True})
