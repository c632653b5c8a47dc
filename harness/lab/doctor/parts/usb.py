"""What lab.yaml wants of USB is plugged in, once, and stays plugged in."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness import usbbus
from harness.errors import LabError
from harness.lab.doctor import adapters, usblog, usbtree
from harness.lab.doctor.answer import Answer, absent, fault, ok
from harness.lab.doctor.bench import Bench, class_names
from harness.lab.doctor.usblog import Event
from harness.lab.doctor.usbtree import Device

ORDER = 80
FIXED = ("SUBSYSTEM", "@SUBSYSTEM", "DEVTYPE", "DRIVER")
"""Keys of a match that labgrid's classes bring, not a person."""
FAST = 480.0  # Mbit/s
PLUG = "push the plug in, or take another cable; a hub without a supply of its own lets devices fall off as well"
SCAN = "plug it in; `pi64 doctor --scan` prints what is there, ready for lab.yaml"


def look(bench: Bench) -> Iterator[Answer]:
    """Compare the target's USB resources with what is plugged in, and ask the kernel log how steadily."""
    events = list(usblog.parse(usblog.records(bench.roots.dev / "kmsg")))
    now = bench.clock()
    if not bench.running:
        yield from judge_bus(bench.usb, udev=usbtree.udev_runs(bench.roots.run))
    if not bench.board:
        return
    wanted = bench.resources("USBResource")
    for resource in wanted:
        fit = [device for device in bench.usb if _accepts(resource, device)]
        found = usbtree.matching(resource.match, fit)
        label = next(class_names(resource))
        yield from judge(label, resource.match, found, bench.usb, events, now=now)
    for port in bench.resources("RawSerialPort"):
        yield from _raw(bench, str(port.port), events, now)
    for port in bench.resources("USBHubPort"):
        yield _hub_port(bench, port)
    if not bench.running and not (wanted or bench.resources("RawSerialPort", "USBHubPort")):
        yield absent(bench.board, "needs no USB device of this host")


# --- judges -----------------------------------------------------------------------------------------------------------
def judge_bus(devices: Sequence[Device], *, udev: bool) -> Iterator[Answer]:
    """Judge what is plugged in as a whole; *udev* is whether udev has a database here."""
    whole = [device for device in devices if device.device_type == "usb_device"]
    if not whole:
        yield absent("bus", "no USB device on this host")
        return
    yield ok("bus", f"{len(whole)} USB devices, hubs among them")
    if not udev:
        remedy = "is systemd-udevd running? Into a container mount /run/udev"
        yield fault("udev", "has no database: labgrid finds no device by its serial number or path", remedy)


def judge(
    label: str,
    match: Mapping[str, str],
    found: Sequence[Device],
    devices: Sequence[Device],
    events: Sequence[Event],
    *,
    now: float,
) -> Iterator[Answer]:
    """Judge one resource: *found* are the *devices* that its *match* fits, *events* what the kernel log says."""
    subject = f"{label} {words(match)}"
    if not found:
        yield _gone(subject, match, devices, events, now)
        return
    if len(found) > 1:
        places = ", ".join(_place(device) for device in found)
        remedy = "match by ID_PATH, the place where it is plugged in: serial numbers of cheap adapters are all alike"
        yield fault(subject, f"{len(found)} devices fit: {places}", remedy)
        return
    yield from judge_plug(subject, found[0], events, now=now)


def judge_plug(subject: str, device: Device, events: Sequence[Event], *, now: float) -> Iterator[Answer]:
    """Judge how well a device that is there is connected."""
    whole = device.usb or device
    past = usblog.recent(events, whole.sys_name, now=now)
    told = usblog.told(past, now=now)
    yield ok(subject, f"{adapters.about(device)} at {_place(device)}" + (f"; it {told}" if told else ""))
    if usblog.loose(past):
        yield fault(subject, f"its plug at {whole.sys_name} is loose: it {told}", PLUG)
    known, speed = adapters.kind(whole), whole.attributes.get("speed")
    if known and known.fast and speed.isdigit() and float(speed) < FAST:
        yield fault(subject, f"runs at {speed} Mbit/s, not {FAST:.0f}", "another cable, or a hub that knows USB 2")


def words(match: Mapping[str, str]) -> str:
    """Return the keys of *match* that a person wrote, or all if there are none."""
    own = {key: value for key, value in match.items() if key not in FIXED}
    return " ".join(f"{key}={value}" for key, value in (own or match).items())


def _gone(
    subject: str, match: Mapping[str, str], devices: Sequence[Device], events: Sequence[Event], now: float
) -> Answer:
    """Say what is missing, and all that is known about why: the nearest device, a driver, a plug that came off."""
    kind = match.get("SUBSYSTEM", "usb")
    own = {key.lstrip("@"): value for key, value in match.items() if key not in FIXED}
    bare = [device for device in devices if device.device_type == "usb_device" and _is_bare(device, own, devices, kind)]
    if kind == "tty" and bare:
        row = adapters.kind(bare[0])
        driver = row.driver if row and row.driver else "its driver"
        remedy = f"`modprobe {driver}`, and look at `dmesg`; brltty takes CH340 adapters away: `apt-get remove brltty`"
        return fault(subject, f"{adapters.about(bare[0])} is on USB at {bare[0].sys_name}, but has no tty", remedy)
    hints = [f"nearest: {adapters.about(device)} {_told(device)}" for device in usbtree.nearest(match, devices)[:3]]
    there = {device.sys_name for device in devices}
    left = [event for event in events if event.name not in there and now - event.seconds <= usblog.HOUR_S]
    hints += [f"something left the bus at {left[-1].name} {now - left[-1].seconds:.0f} s ago"] if left else []
    return fault(subject, "; ".join(["is gone from USB: no such device", *hints]), SCAN)


def _is_bare(device: Device, own: Mapping[str, str], devices: Sequence[Device], kind: str) -> bool:
    """Tell whether *device* is the one that is meant, but has not what hangs on it."""
    if not own or usbtree.below(device, devices, kind):
        return False
    path = own.get("ID_PATH", "")
    serial = {key: value for key, value in own.items() if key not in {"ID_PATH", "ID_USB_INTERFACE_NUM"}}
    here = not path or path.partition(":1.")[0] == device.word("ID_PATH")
    return here and bool(path or serial) and all(device.told(key) == value for key, value in serial.items())


def _place(device: Device) -> str:
    whole = device.usb or device
    node = f" ({device.device_node})" if device.subsystem != "usb" and device.device_node else ""
    return f"{whole.sys_name}{node}"


def _told(device: Device) -> str:
    serial, path = device.told("ID_SERIAL_SHORT"), device.word("ID_PATH")
    said = [f"ID_SERIAL_SHORT={serial}" if serial else "", f"ID_PATH={path}" if path else "", f"at {_place(device)}"]
    return " ".join(filter(None, said))


# --- what is looked at ------------------------------------------------------------------------------------------------
def _accepts(resource: Any, device: Device) -> bool:
    """Ask the resource's class, which may have a table of its own."""
    try:
        return bool(resource.filter_match(device))
    except (AttributeError, TypeError, ValueError):  # it wants what only libudev's own device has
        return False


def _raw(bench: Bench, port: str, events: Sequence[Event], now: float) -> Iterator[Answer]:
    """Judge the plug of an adapter that lab.yaml names by its device file."""
    name = bench.node(port).resolve().name
    device = next((each for each in bench.usb if each.subsystem == "tty" and each.sys_name == name), None)
    if device:
        yield from judge_plug(f"RawSerialPort {port}", device, events, now=now)


def _hub_port(bench: Bench, port: Any) -> Answer:
    """Ask the hub that feeds the board whether it is there, and switches that port."""
    subject = f"USBHubPort {port.hub} port {port.port}"
    lookup, hubs = bench.module("harness.power.hublookup"), []
    try:
        hubs = list(lookup.halves(port.hub, port.sibling, backend=bench.usb_backend))
        said = [(hub, hub.descriptor()) for hub in hubs]
    except LabError as error:
        return fault(subject, "; ".join([error.message, *error.evidence]), error.hint or SCAN)
    finally:
        for hub in hubs:
            usbbus.release(hub.device)
    return judge_hub(subject, [(str(hub), found.ports, found.switching) for hub, found in said], port.port, port.ganged)


def judge_hub(subject: str, halves: Sequence[tuple[str, int, str]], port: int, ganged: bool) -> Answer:
    """Judge a hub by what its halves say: name, number of ports, and how they are switched."""
    for name, ports, switching in halves:
        if port > ports:
            return fault(subject, f"{name} has {ports} ports", "`port:` counts from 1")
        if switching == "none":
            return fault(subject, f"{name} switches no port", "a hub that switches each port alone, or a relay")
        if switching == "ganged" and not ganged:
            return fault(
                subject, f"{name} switches all its ports together", "`ganged: true`, if nothing else needs them"
            )
    return ok(subject, ", ".join(f"{name}, {ports} ports, {switching}" for name, ports, switching in halves))
