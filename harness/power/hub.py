"""A USB hub's ports, switched by the requests that every hub knows; each half of a USB 3 hub is a device of its own.

Sources: USB 2.0 specification, 11.23 (hub descriptor), 11.24 (requests), table 11-21 (port status), 11.11 (power
switching); USB 3.2 specification, 10.14 and 10.16 (the same for SuperSpeed), 9.6.2.3 (container id), 11.2 (both halves
of a hub have the same one).
"""

import struct

import attrs
import usb.control
import usb.core

from harness import usbbus
from harness.errors import LabError
from harness.usbbus import Device

HUB_CLASS = 9
TO_PORT, FROM_PORT, FROM_HUB = 0x23, 0xA3, 0xA0  # bmRequestType: class requests to a port, from a port, from the hub
GET_STATUS, CLEAR_FEATURE, SET_FEATURE, GET_DESCRIPTOR = 0, 1, 3, 6
PORT_POWER = 8
OVER_CURRENT = 0x0008  # of the port status, in both generations
DESCRIPTOR_BYTES = 7  # of a hub descriptor, without the bitmaps behind it
BOS, DEVICE_CAPABILITY, CONTAINER_ID = 0x0F, 0x10, 4
BOS_SINCE = 0x0201  # bcdUSB; an older device may stall when asked
TIMEOUT_MS = 5000


@attrs.frozen
class Generation:
    """What differs between the halves of a hub."""

    name: str
    descriptor: int
    """Type of its hub descriptor."""
    powered: int
    """Bit of the port status."""


USB2 = Generation("USB 2", 0x29, 0x0100)
USB3 = Generation("USB 3", 0x2A, 0x0200)


@attrs.frozen
class HubDescriptor:
    """What a hub says of its ports."""

    ports: int
    switching: str
    """``per-port``, ``ganged`` (all ports together) or ``none``."""


def parse_descriptor(data: bytes, generation: Generation) -> HubDescriptor:
    """Return what the hub descriptor *data* says; ValueError when it is cut short or something else."""
    if len(data) < DESCRIPTOR_BYTES or data[1] != generation.descriptor:
        raise ValueError(f"not a {generation.name} hub descriptor: {data[:DESCRIPTOR_BYTES].hex(' ') or 'nothing'}")
    ports, characteristics = struct.unpack_from("<BH", data, 2)
    mode = characteristics & 3
    # 2 and 3 both mean that nothing is switched. One port that is switched with all others is switched alone.
    switching = "none" if mode > 1 else "per-port" if mode == 1 or ports == 1 else "ganged"
    return HubDescriptor(ports, switching)


def parse_container(bos: bytes) -> bytes:
    """Return the container id in the BOS descriptor *bos*; empty when there is none, or one that says nothing."""
    at = 5
    while at + 3 <= len(bos) and bos[at] >= 3:
        if bos[at + 1 : at + 3] == bytes([DEVICE_CAPABILITY, CONTAINER_ID]):
            found = bos[at + 4 : at + 20]
            return found if len(found) == 16 and any(found) else b""
        at += bos[at]
    return b""


class Hub:
    """One half of a hub; LabError for all that pyusb or the hub itself refuses."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.path = usbbus.path(device)
        self.generation = USB3 if device.bcdUSB >= 0x0300 else USB2

    def __str__(self) -> str:
        return f"{self.generation.name} hub {self.path} ({usbbus.ids(self.device)})"

    def close(self) -> None:
        """Let go of the device."""
        usbbus.release(self.device)

    def descriptor(self) -> HubDescriptor:
        """Ask for the hub descriptor."""
        kind = self.generation.descriptor
        # The bitmaps of ports behind the seven bytes may be cut off: nobody here reads them.
        data = self._control("hub descriptor", FROM_HUB, GET_DESCRIPTOR, kind << 8, 0, 12)
        try:
            return parse_descriptor(data, self.generation)
        except ValueError as error:
            raise LabError(f"{self}: {error}", hint="unplug the hub and plug it in again") from None

    def container(self) -> bytes:
        """Ask for the container id; empty when the hub has none."""
        if self.device.bcdUSB < BOS_SINCE:
            return b""
        try:
            return parse_container(bytes(usb.control.get_descriptor(self.device, 255, BOS, 0)))
        except (usb.core.USBError, NotImplementedError) as error:
            if getattr(error, "errno", None) in usbbus.DENIED:
                raise usbbus.fault(f"{self}: container id", self.device, error) from error
            return b""

    def status(self, port: int) -> int:
        """Return the status word of *port*."""
        data = self._control(f"status of port {port}", FROM_PORT, GET_STATUS, 0, port, 4)
        if len(data) < 4:
            raise LabError(f"{self}: status of port {port}: {len(data)} of 4 bytes came")
        status: int = struct.unpack_from("<H", data)[0]
        return status

    def powered(self, port: int) -> bool:
        """Return whether *port* says that it has power."""
        return bool(self.status(port) & self.generation.powered)

    def switch(self, port: int, *, on: bool) -> None:
        """Tell the hub to switch *port*; whether it does is another question."""
        request = SET_FEATURE if on else CLEAR_FEATURE
        self._control(f"power {'on' if on else 'off'} of port {port}", TO_PORT, request, PORT_POWER, port, None)

    def _control(self, what: str, kind: int, request: int, value: int, index: int, length: int | None) -> bytes:
        with usbbus.told(f"{self.generation.name} hub: {what}", self.device):
            answer = self.device.ctrl_transfer(kind, request, value, index, length, timeout=TIMEOUT_MS)
        return bytes(answer) if length else b""
