"""Devices on the USB bus: their paths, and texts that are not trusted."""

import errno

import pytest
import usbbackend
from usbbackend import Bus, Gadget

from harness import usbbus
from harness.errors import LabError


def device(gadget: Gadget):
    (found,) = usbbus.devices(backend=Bus(gadget))
    return found


@pytest.mark.parametrize("where", ["usb1", "usb12", "1-1", "3-2.4.1"])
def test_a_path_is_linuxes_name(where: str) -> None:
    assert usbbus.path(device(Gadget(where))) == where


def test_devices_come_in_the_order_of_their_paths_and_by_their_fields() -> None:
    bus = Bus(Gadget("2-1"), Gadget("1-10"), Gadget("1-2.1", vendor=0x0A5C), Gadget("1-2"), Gadget("usb1"))
    assert [usbbus.path(each) for each in usbbus.devices(backend=bus)] == ["usb1", "1-2", "1-2.1", "1-10", "2-1"]
    assert [usbbus.path(each) for each in usbbus.devices(backend=bus, idVendor=0x0A5C)] == ["1-2.1"]


def test_what_a_device_calls_itself_is_printable_and_short() -> None:
    gadget = Gadget("1-1", strings={2: "Hub\0\x1b]0;pwned\x07\n\u202e" + "x" * 100})
    said = usbbus.described(device(gadget))
    assert said.startswith(r"1-1 1d6b:0104 Hub\x1b]0;pwned\x07")
    assert said.isprintable()
    assert len(said) < 90


@pytest.mark.parametrize("answer", [b"", b"\x00", b"\x03\x03a", b"\x06\x03\x00\xd8\x00\xd8", b"\xff" * 254, b"\x02"])
def test_a_damaged_string_descriptor_is_no_text_or_some(answer: bytes) -> None:
    gadget = Gadget("1-1", strings={2: "x"})
    real = gadget.control
    gadget.control = lambda kind, request, value, *rest: (
        answer if value == 0x0302 else real(kind, request, value, *rest)
    )
    assert usbbus.text(device(gadget), 2).isprintable()


def test_a_device_without_languages_or_without_rights_has_no_text() -> None:
    gadget = Gadget("1-1", strings={2: "x"})
    gadget.denied = True
    assert usbbus.described(device(gadget)) == "1-1 1d6b:0104"
    mute = Gadget("1-1", strings={2: "x"})
    mute.control = lambda *_: b""
    assert usbbus.text(device(mute), 2) == ""


@pytest.mark.parametrize(
    ("number", "words", "hint"),
    [
        (errno.EACCES, "Permission denied", 'ATTR{idVendor}=="1d6b", ATTR{idProduct}=="0104"'),
        (errno.ENODEV, "No such device", "dmesg"),
        (errno.EBUSY, "Device or resource busy", "another program"),
        (errno.ETIMEDOUT, "Connection timed out", "plug it in again"),
    ],
)
def test_what_pyusb_raises_is_told_with_device_and_next_step(number: int, words: str, hint: str) -> None:
    found = device(Gadget("1-1.2"))
    said = rf"asking it: USB device 1-1\.2 \(1d6b:0104\): {words}"
    with pytest.raises(LabError, match=said) as caught, usbbus.told("asking it", found):
        raise usbbackend.error(number)
    assert hint in caught.value.hint
