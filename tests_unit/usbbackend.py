"""Scripted USB devices behind pyusb's own backend interface: all of pyusb is real, libusb and the cable are not."""

import errno
import os
import struct
import time
from array import array
from collections.abc import Callable, Generator, Iterable
from types import SimpleNamespace
from typing import Any

import usb.backend
from usb.core import USBError, USBTimeoutError

LANGUAGE = b"\x04\x03\x09\x04"
STRING, BOS = 3, 0x0F


def error(number: int) -> USBError:
    """What pyusb's libusb backend raises for *number*."""
    kind = USBTimeoutError if number == errno.ETIMEDOUT else USBError
    return kind(os.strerror(number), None, number)


class Gadget:
    """A device: where it is plugged in and what it says; a subclass has its own requests."""

    def __init__(
        self,
        where: str,
        *,
        vendor: int = 0x1D6B,
        product: int = 0x0104,
        version: int = 0x0200,
        device_class: int = 0,
        serial_index: int = 0,
        strings: dict[int, str] | None = None,
        interfaces: Iterable[tuple[int, ...]] = ((0x01, 0x82),),
    ) -> None:
        bus, _, ports = where.removeprefix("usb").partition("-")
        self.where, self.bus = where, int(bus)
        self.ports = tuple(map(int, ports.split("."))) if ports else ()
        self.ids, self.version, self.device_class, self.serial_index = (
            (vendor, product),
            version,
            device_class,
            serial_index,
        )
        self.strings, self.interfaces = strings or {}, tuple(interfaces)
        self.container = b""
        self.denied = False
        self.address = 0

    def control(self, kind: int, request: int, value: int, index: int, data: bytes | int) -> bytes:
        """Answer a control transfer; *data* is what came, or how many bytes are wanted."""
        if (kind, request) == (0x80, 6) and value >> 8 == STRING:
            if not value & 0xFF:
                return LANGUAGE
            text = self.strings[value & 0xFF].encode("utf-16-le")
            return bytes([len(text) + 2, STRING]) + text
        if (kind, request, value >> 8) == (0x80, 6, BOS) and self.version > 0x0200:
            capability = bytes([20, 0x10, 4, 0]) + self.container if self.container else b""
            usb2 = bytes([7, 0x10, 2, 2, 0, 0, 0])
            return struct.pack("<BBHB", 5, BOS, 12 + len(capability), 1 + bool(capability)) + usb2 + capability
        raise error(errno.EPIPE)

    def bulk(self, endpoint: int, data: bytes) -> int:
        raise error(errno.EPIPE)


class Bus(usb.backend.IBackend):
    """All devices of a host, and a log of the transfers with them."""

    def __init__(self, *gadgets: Gadget) -> None:
        self.gadgets: tuple[Gadget, ...] = ()
        self.log: list[tuple[Any, ...]] = []
        self.claimed: list[int] = []
        self.opened = 0
        self._next = 1
        for gadget in gadgets:
            self.plug(gadget)

    def plug(self, gadget: Gadget) -> None:
        gadget.address = self._next
        self._next += 1
        self.gadgets = (*self.gadgets, gadget)

    def unplug(self, gadget: Gadget) -> None:
        self.gadgets = tuple(each for each in self.gadgets if each is not gadget)

    def _there(self, gadget: Gadget) -> Gadget:
        if gadget not in self.gadgets:
            raise error(errno.ENODEV)
        return gadget

    # --- pyusb's side -------------------------------------------------------------------------------------------------
    def enumerate_devices(self):
        return list(self.gadgets)

    def get_device_descriptor(self, gadget):
        return SimpleNamespace(
            bLength=18, bDescriptorType=1, bcdUSB=gadget.version, bDeviceClass=gadget.device_class, bDeviceSubClass=0,
            bDeviceProtocol=0, bMaxPacketSize0=64, idVendor=gadget.ids[0], idProduct=gadget.ids[1], bcdDevice=0,
            iManufacturer=0, iProduct=2 if 2 in gadget.strings else 0, iSerialNumber=gadget.serial_index,
            bNumConfigurations=1, address=gadget.address, bus=gadget.bus, port_numbers=gadget.ports or None,
            port_number=gadget.ports[-1] if gadget.ports else 0, speed=3,
        )  # fmt: skip

    def get_configuration_descriptor(self, gadget, config):
        return SimpleNamespace(
            bLength=9, bDescriptorType=2, wTotalLength=32, bNumInterfaces=len(gadget.interfaces),
            bConfigurationValue=1, iConfiguration=0, bmAttributes=0x80, bMaxPower=50, extra_descriptors=[],
        )  # fmt: skip

    def get_interface_descriptor(self, gadget, intf, alt, config):
        if alt or intf >= len(gadget.interfaces):
            raise IndexError
        return SimpleNamespace(
            bLength=9, bDescriptorType=4, bInterfaceNumber=intf, bAlternateSetting=0,
            bNumEndpoints=len(gadget.interfaces[intf]), bInterfaceClass=255, bInterfaceSubClass=0,
            bInterfaceProtocol=0, iInterface=0, extra_descriptors=[],
        )  # fmt: skip

    def get_endpoint_descriptor(self, gadget, ep, intf, alt, config):
        return SimpleNamespace(
            bLength=7, bDescriptorType=5, bEndpointAddress=gadget.interfaces[intf][ep], bmAttributes=2,
            wMaxPacketSize=512, bInterval=0, bRefresh=0, bSynchAddress=0, extra_descriptors=[],
        )  # fmt: skip

    def open_device(self, gadget):
        if gadget.denied:
            raise error(errno.EACCES)
        self._there(gadget)
        self.opened += 1
        return gadget

    def close_device(self, handle):
        self.opened -= 1

    def get_configuration(self, handle):
        return 1

    def claim_interface(self, handle, intf):
        self.claimed.append(intf)

    def release_interface(self, handle, intf):
        pass

    def ctrl_transfer(self, handle, kind, request, value, index, data, timeout):
        self.log.append(("control", kind, request, value, index, len(data)))
        if not kind & 0x80:
            self._there(handle).control(kind, request, value, index, data.tobytes())
            return len(data)
        answer = self._there(handle).control(kind, request, value, index, len(data))[: len(data)]
        data[: len(answer)] = array("B", answer)
        return len(answer)

    def bulk_write(self, handle, ep, intf, data, timeout):
        taken = self._there(handle).bulk(ep, data.tobytes())
        self.log.append(("bulk", ep, data.tobytes()[:taken]))
        return taken


# --- a hub -----------------------------------------------------------------------------------------------------------
class Hub(Gadget):
    """One half of a hub. Its ports have power as USB 2.0, 11.11 says: a gang until the last of its ports is off."""

    def __init__(
        self, where: str, *, ports: int = 4, mode: int = 1, version: int = 0x0210, serial: str = "", **more: Any
    ):
        strings = {2: "Scripted Hub"} | ({3: serial} if serial else {})
        more = {"vendor": 0x2109, "product": 0x2817, "strings": strings} | more
        super().__init__(
            where, version=version, device_class=9, serial_index=3 if serial else 0, interfaces=((0x81,),), **more
        )
        self.mode, self.powered = mode, dict.fromkeys(range(1, ports + 1), True)
        self.obeys = True
        self.told: list[tuple[int, bool]] = []
        self.again = 0
        """How many times a kernel will switch a port on again that was switched off."""
        self.extra = 0
        """Further bits of each port's status."""
        self.watchers: list[Callable[[], None]] = []

    @property
    def usb3(self) -> bool:
        return self.version >= 0x0300

    def vbus(self, port: int) -> bool:
        return self.powered[port] if self.mode == 1 else any(self.powered.values()) if self.mode == 0 else True

    def control(self, kind, request, value, index, data):
        if (kind, request) == (0xA0, 6):
            kinds = {0x29: False, 0x2A: True}
            if kinds.get(value >> 8) is not self.usb3:
                raise error(errno.EPIPE)
            body = bytes([len(self.powered)]) + struct.pack("<H", self.mode | 0x08) + bytes([50, 0]) + bytes(5)
            return bytes([len(body) + 2, value >> 8]) + body
        if (kind, request) == (0xA3, 0):
            bit = 0x0200 if self.usb3 else 0x0100
            status = self.extra | (bit if self.powered[index] else 0)
            if not self.powered[index] and self.again:
                self.again -= 1
                self._set(index, True)
            return struct.pack("<HH", status, 0)
        if kind == 0x23 and request in {1, 3} and value == 8:
            self.told.append((index, request == 3))
            if self.obeys:
                self._set(index, request == 3)
            return b""
        return super().control(kind, request, value, index, data)

    def _set(self, port: int, on: bool) -> None:
        self.powered[port] = on
        for watcher in self.watchers:
            watcher()


def usb3_hub(where2: str, where3: str, **more: Any) -> tuple[Hub, Hub]:
    """Both halves of one hub, with one container id."""
    halves = Hub(where2, **more), Hub(where3, version=0x0320, product=0x0817, **more)
    for half in halves:
        half.container = bytes(range(16))
    return halves


def feed(halves: Iterable[Hub], port: int, switched: Callable[[bool], None]) -> None:
    """Call *switched* when the 5 V of *port* come and go: they are there as long as one half gives them."""
    halves = tuple(halves)
    state = [any(half.vbus(port) for half in halves)]

    def look() -> None:
        now = any(half.vbus(port) for half in halves)
        if now != state[0]:
            state[0] = now
            switched(now)

    for half in halves:
        half.watchers.append(look)


# --- a board that asks for its boot files ----------------------------------------------------------------------------
Program = Generator[tuple[Any, ...], Any, None]
"""What a stage of the board does: yields ("out",) for what it waits for, ("size",), or ("in", bytes or errno)."""
SIZE, READ, DONE = 0, 1, 2


def message(command: int, name: str, *, junk: bytes = b"\xde\xad") -> bytes:
    """260 bytes; behind the end of the name lies what was in the memory before."""
    raw = name.encode("latin-1") + b"\0"
    return struct.pack("<i", command) + (raw + junk * 128)[:256]


def rom(code: list[bytes], *, status: Any = b"\0\0\0\0") -> Program:
    """The boot ROM: takes a header and the second stage, and tells how that went."""
    code.append((yield ("out",)))
    code.append((yield ("out",)))
    yield ("in", status)


def firmware(
    names: Iterable[str], got: dict[str, bytes | None], *, end: tuple[Any, ...] = ("in", message(DONE, "x"))
) -> Program:
    """A stage that asks for *names*: the size first, the content if there is any."""
    for name in names:
        yield ("in", message(SIZE, name))
        got[name] = None
        if (yield ("size",)):
            yield ("in", message(READ, name))
            got[name] = yield ("out",)
    yield end


class Stage(Gadget):
    """One appearance of a board on the bus, which does what its *program* says and leaves."""

    def __init__(
        self, bus: Bus, where: str, program: Program, left: Callable[[], None], *, piece: int = 1 << 20, **more: Any
    ):
        super().__init__(where, vendor=0x0A5C, **more)
        self._bus, self._program, self._left, self._piece = bus, program, left, piece
        self._want, self._expected, self._data = next(program), 0, b""

    def control(self, kind, request, value, index, data):
        length = value | index << 16
        if (kind, request) == (0xC0, 0) and self._want[0] == "in":
            answer = self._want[1]
            if isinstance(answer, int):
                if answer == errno.ENODEV:
                    self._leave()
                elif answer == errno.ETIMEDOUT:
                    time.sleep(0.01)
                else:
                    self._resume(None)
                raise error(answer)
            self._resume(None)
            return answer[:length]
        if (kind, request) == (0x40, 0) and self._want[0] == "size":
            self._resume(length)
            return b""
        if (kind, request) == (0x40, 0) and self._want[0] == "out":
            self._expected, self._data = length, b""
            if not length:
                self._resume(b"")
            return b""
        if kind & 0x40:
            raise error(errno.ETIMEDOUT)
        return super().control(kind, request, value, index, data)

    def bulk(self, endpoint, data):
        if self._piece < 0:
            self._leave()
            raise error(errno.ENODEV)
        taken = data[: self._piece]
        self._data += taken
        if self._expected and len(self._data) == self._expected:
            self._resume(self._data)
        return len(taken)

    def _resume(self, value: Any) -> None:
        try:
            self._want = self._program.send(value)
        except StopIteration:
            self._leave()

    def _leave(self) -> None:
        self._bus.unplug(self)
        self._left()


class Board:
    """A board with a boot ROM that asks over USB: ``power(True)`` starts it, its *stages* follow each other."""

    def __init__(
        self, bus: Bus, where: str, *stages: Callable[[], Program], product: int = 0x2764, **more: Any
    ) -> None:
        self.bus, self.where, self.stages, self.more = bus, where, stages, {"product": product} | more
        self.stage: Stage | None = None
        self.done: Callable[[], None] = lambda: None
        self._at = 0

    def power(self, on: bool) -> None:
        if self.stage:
            self.bus.unplug(self.stage)
        self.stage = None
        if on:
            self._at = 0
            self._appear()

    def _appear(self) -> None:
        index = self._at  # 0: the ROM has no serial number, each stage of the firmware has
        self.stage = Stage(
            self.bus, self.where, self.stages[index](), self._next, serial_index=min(index, 1), **self.more
        )
        self.bus.plug(self.stage)

    def _next(self) -> None:
        self._at += 1
        if self._at < len(self.stages):
            self._appear()
        else:
            self.stage = None
            self.done()
