"""Devices on the USB bus, through pyusb: where each is plugged in, what it says of itself, and what goes wrong.

A path is the one that Linux uses in ``/sys/bus/usb/devices``: ``1-1.4`` is bus 1, port 1, port 4 of the hub there, and
``usb1`` the root hub of bus 1. What a device says of itself is not trusted: it is only shown, and made printable.
"""

import contextlib
import errno
from collections.abc import Iterator
from typing import Any

import usb.core
import usb.util

from harness.errors import LabError
from harness.report.redact import printable

Device = Any  # usb.core.Device; pyusb carries no types
WORDS_LIMIT = 60  # characters of a device's own text that are shown

GONE = frozenset({errno.ENODEV, errno.EIO, errno.ESHUTDOWN})
"""What a transfer ends with when the device leaves the bus in the middle of it."""
DENIED = frozenset({errno.EACCES, errno.EPERM})

HINTS = {
    errno.ENODEV: "the device was unplugged or reset itself: `dmesg` says when",
    errno.EIO: "look at the cable, and at `dmesg`",
    errno.EBUSY: "another program has it: end it, or take the device out of its configuration",
    errno.EPIPE: "the device refuses this request",
    errno.ETIMEDOUT: "the device does not answer: unplug it and plug it in again",
}
"""Next step for each errno of a USBError."""


def devices(*, backend: Any = None, **match: int) -> list[Device]:
    """Return the devices whose descriptor fields equal *match* (``idVendor=0x0a5c``), by path; none is opened.

    LabError where the host has no libusb. *backend* is pyusb's; None: libusb.
    """
    try:
        found = list(usb.core.find(find_all=True, backend=backend, **match))
    except usb.core.NoBackendError as error:
        hint = "apt-get install libusb-1.0-0"
        raise LabError("no libusb on this host: USB devices cannot be reached", hint=hint) from error
    except usb.core.USBError as error:
        raise LabError(f"the USB devices of this host cannot be listed: {error.strerror}") from error
    return sorted(found, key=lambda device: (device.bus, tuple(device.port_numbers or ())))


def path(device: Device) -> str:
    """Return where *device* is plugged in, e.g. ``1-1.4``; ``usb1`` for the root hub of bus 1."""
    ports = device.port_numbers
    return f"{device.bus}-{'.'.join(map(str, ports))}" if ports else f"usb{device.bus}"


def ids(device: Device) -> str:
    """Return vendor and product, e.g. ``2109:2817``."""
    return f"{device.idVendor:04x}:{device.idProduct:04x}"


def text(device: Device, index: int) -> str:
    """Return string descriptor *index* of *device*, fit for a terminal; empty when there is none, or none to read."""
    if not index:
        return ""
    try:
        said = usb.util.get_string(device, index) or ""
    except (usb.core.USBError, NotImplementedError, ValueError, IndexError):
        return ""  # no permission, no language, or not a string descriptor at all
    words = " ".join(printable(said.replace("\0", "")).split())
    return "".join(char if char.isprintable() else "?" for char in words)[:WORDS_LIMIT]


def described(device: Device) -> str:
    """Return path, ids and product name, for people: ``1-1.4 2109:2817 USB2.0 Hub``."""
    product = text(device, device.iProduct)
    release(device)
    return " ".join(filter(None, (path(device), ids(device), product)))


def release(device: Device) -> None:
    """Let go of *device*, its interfaces and its open file; one that has left meanwhile is gone anyway."""
    with contextlib.suppress(usb.core.USBError):
        usb.util.dispose_resources(device)


@contextlib.contextmanager
def told(what: str, device: Device) -> Iterator[None]:
    """Raise LabError naming *what* was done, path and ids of *device*, and the next step, for what pyusb raises."""
    try:
        yield
    except (usb.core.USBError, NotImplementedError) as error:
        raise fault(what, device, error) from error


def fault(what: str, device: Device, error: Exception) -> LabError:
    """Return the LabError for *error*, which came up while *what* was done with *device*."""
    number = getattr(error, "errno", None)
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    hint = udev_hint(device) if number in DENIED else HINTS.get(number or 0, "")
    return LabError(f"{what}: USB device {path(device)} ({ids(device)}): {words}", hint=hint)


def udev_hint(device: Device) -> str:
    """Return how an ordinary user gets access to *device*."""
    rule = (
        f'SUBSYSTEM=="usb", ATTR{{idVendor}}=="{device.idVendor:04x}", ATTR{{idProduct}}=="{device.idProduct:04x}", '
        'GROUP="plugdev", MODE="0660"'
    )
    return (
        f"put this line into /etc/udev/rules.d/60-pi64.rules: {rule}"
        " - then `udevadm control --reload && udevadm trigger`, and be in the group plugdev"
    )
