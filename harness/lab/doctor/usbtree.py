"""What is plugged into USB: read from the folders of which libudev reads it too, so that a folder can play the host.

The kernel's side lies in /sys, udev's words (serial number, path) in its database below /run. labgrid matches resources
by udev's words: a device that only the kernel knows is told apart here from one that is not there at all.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

import attrs

SUBSYSTEMS = ("bus/usb/devices", "class/tty", "class/block", "class/scsi_generic", "class/hidraw", "class/gpio")
"""Folders of /sys that list what a lab has on USB."""
ATTRIBUTE_LIMIT = 4096  # bytes, a page: a device's own string is at most 126 characters

_OF_ATTRIBUTES = {
    "ID_VENDOR_ID": "idVendor", "ID_MODEL_ID": "idProduct", "ID_SERIAL_SHORT": "serial",
}  # fmt: skip


@attrs.frozen(eq=False)
class Device:
    """One device as labgrid's matching sees it; ``properties`` and ``attributes`` have the names that udev uses."""

    folder: Path
    """In /sys."""
    subsystem: str
    properties: Mapping[str, str]
    """Of the kernel's uevent and udev's database."""
    known: bool
    """Whether udev's database has it."""
    parent: "Device | None" = None

    @property
    def sys_name(self) -> str:
        """The kernel's name, e.g. ``1-1.2`` or ``ttyUSB0``."""
        return self.folder.name

    @property
    def device_type(self) -> str:
        """E.g. ``usb_device``, ``usb_interface``, ``disk``."""
        return self.properties.get("DEVTYPE", "")

    @property
    def driver(self) -> str:
        """The kernel driver that has it; empty for none."""
        return self.properties.get("DRIVER", "")

    @property
    def device_node(self) -> str:
        """Its name in /dev, e.g. ``/dev/ttyUSB0``; empty for none."""
        return self.properties.get("DEVNAME", "")

    @cached_property
    def attributes(self) -> "Attributes":
        """The small files of its folder."""
        return Attributes(self.folder)

    @property
    def ancestors(self) -> Iterator["Device"]:
        """What it hangs on, the nearest first."""
        device = self.parent
        while device:
            yield device
            device = device.parent

    @property
    def usb(self) -> "Device | None":
        """The whole USB device that it is, or is a part of."""
        return next((each for each in (self, *self.ancestors) if each.device_type == "usb_device"), None)

    def word(self, key: str) -> str:
        """Return what *key* is for it: a property, an attribute, or what labgrid asks a device object for."""
        return self.properties.get(key) or self.attributes.get(key) or str(getattr(self, key, None) or "")

    def told(self, key: str) -> str:
        """Return a word of udev's, or what the kernel has of it where udev does not know the device."""
        return self.properties.get(key) or self.attributes.get(_OF_ATTRIBUTES.get(key, ""))


class Attributes:
    """The small files of a device's folder, as text."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str) -> str:
        """Return an attribute without the white space at its end; empty if there is none."""
        if not name or "/" in name or name.startswith("."):
            return ""
        try:
            with (self._folder / name).open("rb") as file:
                return file.read(ATTRIBUTE_LIMIT).decode(errors="replace").strip()
        except OSError:
            return ""

    asstring = get


def read(sys: Path, run: Path) -> tuple[Device, ...]:
    """Return every USB device and what hangs on one: ttys, disks. *sys* and *run* are /sys and /run."""
    made: dict[Path, Device] = {}
    found = {}
    for listing in SUBSYSTEMS:
        for link in sorted((sys / listing).glob("*")):
            device = _device(link.resolve(), sys.resolve(), run, made)
            if device and device.usb:
                found[device.folder] = device
    return tuple(found.values())


def udev_runs(run: Path) -> bool:
    """Tell whether udev has a database here; in many a container it has none."""
    return (run / "udev" / "data").is_dir()


def _device(folder: Path, sys: Path, run: Path, made: dict[Path, Device]) -> Device | None:
    """Return the device in *folder*, or the next above it that is one."""
    while not (folder / "uevent").is_file():
        if folder == sys or sys not in folder.parents:
            return None
        folder = folder.parent
    if folder not in made:
        parent = _device(folder.parent, sys, run, made)
        subsystem = _name(folder / "subsystem")
        event = _pairs((folder / "uevent"), "")
        words = _pairs(run / "udev" / "data" / _key(folder, subsystem, event), "E:")
        made[folder] = Device(
            folder, subsystem, {**event, **_added(folder, subsystem, event), **words}, bool(words), parent
        )
    return made[folder]


def _added(folder: Path, subsystem: str, event: Mapping[str, str]) -> dict[str, str]:
    """Return the properties that libudev adds, or completes, itself."""
    name = event.get("DEVNAME", "")
    node = {"DEVNAME": name if name.startswith("/") else f"/dev/{name}"} if name else {}
    return {"SUBSYSTEM": subsystem, "DEVPATH": f"/devices/{str(folder).partition('/devices/')[2]}", **node}


def _key(folder: Path, subsystem: str, event: Mapping[str, str]) -> str:
    """Return the name of a device's file in udev's database."""
    if "MAJOR" in event:
        return f"{'b' if subsystem == 'block' else 'c'}{event['MAJOR']}:{event.get('MINOR', '0')}"
    return f"+{subsystem}:{folder.name}"


def _name(link: Path) -> str:
    try:
        return link.readlink().name
    except OSError:
        return ""


def _pairs(path: Path, prefix: str) -> dict[str, str]:
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return {}
    lines = (line.removeprefix(prefix) for line in text.splitlines() if line.startswith(prefix))
    return {key: value for key, is_pair, value in (line.partition("=") for line in lines) if is_pair}


# --- matching ---------------------------------------------------------------------------------------------------------
def misses(match: Mapping[str, str], device: Device) -> list[str]:
    """Return the keys of a labgrid *match* that *device* does not fulfil; ``@KEY`` is asked of what it hangs on."""

    def holds(key: str, value: str) -> bool:
        if key.startswith("@"):
            return any(each.word(key[1:]) == value for each in device.ancestors)
        return device.word(key) == value

    return [key for key, value in match.items() if not holds(key, str(value))]


def matching(match: Mapping[str, str], devices: Iterable[Device]) -> list[Device]:
    """Return what *match* fits, one of each USB device: its interfaces have the same words."""
    found: dict[tuple[object, str], Device] = {}
    for device in devices:
        if not misses(match, device):
            whole = device.usb if device.subsystem == "usb" else device
            found.setdefault((whole.folder if whole else None, device.subsystem), device)
    return list(found.values())


def nearest(match: Mapping[str, str], devices: Iterable[Device]) -> list[Device]:
    """Return what comes closest to *match*: of the right subsystem, all but one of the person's own keys fulfilled."""
    kind = match.get("SUBSYSTEM", "usb")
    near = [device for device in devices if device.subsystem == kind]
    own = {key: value for key, value in match.items() if key not in {"SUBSYSTEM", "@SUBSYSTEM", "DEVTYPE", "DRIVER"}}
    fixed = {key: value for key, value in match.items() if key not in own}
    return [device for device in near if not misses(fixed, device) and len(misses(own, device)) <= 1]


def below(device: Device, devices: Iterable[Device], subsystem: str) -> list[Device]:
    """Return the *subsystem*'s devices that hang on the same USB device as *device*: its ttys, its disks."""
    whole = device.usb
    return [each for each in devices if each.subsystem == subsystem and whole and each.usb is whole]
