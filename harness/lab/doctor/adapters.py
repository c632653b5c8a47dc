"""What a Raspberry Pi lab plugs into USB, as a table: vendor and product, what it is, and the labgrid resource for it.

Sources: the kernel's drivers/usb/serial and cdc_acm, labgrid's resource/udev.py, raspberrypi/usbboot.
"""

import attrs

from harness.lab.doctor.usbtree import Device

SERIAL = "USBSerialPort"


@attrs.frozen
class Kind:
    """A row of the table."""

    title: str
    resource: str = ""
    """labgrid's class; empty for what is only told."""
    note: str = ""
    """What else a person should know."""
    driver: str = ""
    """The kernel module that must have it, for the remedy when it does not."""
    fast: bool = False
    """Whether it runs at 480 Mbit/s, so that less means a bad cable."""


_FTDI, _CP210X = "ftdi_sio", "cp210x"
_RPIBOOT = "no resource: it boots what it is sent over USB"
# fmt: off
KINDS: dict[tuple[str, str], Kind] = {
    ("0403", "6001"): Kind("FTDI FT232R serial adapter", SERIAL, driver=_FTDI),
    ("0403", "6010"): Kind("FTDI FT2232 serial adapter, two ports", SERIAL, driver=_FTDI),
    ("0403", "6011"): Kind("FTDI FT4232 serial adapter, four ports", SERIAL, driver=_FTDI),
    ("0403", "6014"): Kind("FTDI FT232H serial adapter", SERIAL, driver=_FTDI),
    ("0403", "6015"): Kind("FTDI FT-X serial adapter", SERIAL, driver=_FTDI),
    ("10c4", "ea60"): Kind("CP2102 serial adapter", SERIAL, driver=_CP210X),
    ("10c4", "ea70"): Kind("CP2105 serial adapter, two ports", SERIAL, driver=_CP210X),
    ("1a86", "7523"): Kind("CH340 serial adapter", SERIAL, driver="ch341"),
    ("1a86", "5523"): Kind("CH341 serial adapter", SERIAL, driver="ch341"),
    ("1a86", "55d3"): Kind("CH343 serial adapter", SERIAL, driver="cdc_acm"),
    ("1a86", "55d4"): Kind("CH9102 serial adapter", SERIAL, driver="cdc_acm"),
    ("067b", "2303"): Kind("PL2303 serial adapter", SERIAL, driver="pl2303"),
    ("067b", "23a3"): Kind("PL2303GC serial adapter", SERIAL, driver="pl2303"),
    ("067b", "23c3"): Kind("PL2303GT serial adapter", SERIAL, driver="pl2303"),
    ("2e8a", "000c"): Kind("Raspberry Pi Debug Probe", SERIAL, driver="cdc_acm"),
    ("2e8a", "000a"): Kind("Raspberry Pi Pico, its CDC port", SERIAL, driver="cdc_acm"),
    ("0424", "4041"): Kind("USB-SD-Mux", "USBSDMuxDevice", fast=True),
    ("04e8", "6001"): Kind("SDWire", "USBSDWireDevice"),
    ("0bda", "0316"): Kind("card reader", "USBMassStorage", "an SDWire3 says the same: USBSDWire3Device", fast=True),
    ("16c0", "05df"): Kind("HID relay (dcttech)", "HIDRelay"),
    ("5131", "2007"): Kind("HID relay (LC-US8)", "HIDRelay"),
    ("0a5c", "2763"): Kind("Raspberry Pi Zero, 1 or CM1 that waits for rpiboot", note=_RPIBOOT),
    ("0a5c", "2764"): Kind("Raspberry Pi 3A+, CM3 or Zero 2 W that waits for rpiboot", note=_RPIBOOT),
    ("0a5c", "2711"): Kind("Raspberry Pi CM4 or 4 that waits for rpiboot", note=_RPIBOOT),
    ("0a5c", "2712"): Kind("Raspberry Pi CM5 or 5 that waits for rpiboot", note=_RPIBOOT),
}
# fmt: on

SAME_ON_ALL = frozenset({"0001", "0000", "123456", "12345678", "0123456789", "0123456789ABCDEF", "000000000001"})
"""Serial numbers that a clone, or a chip whose EEPROM nobody wrote, shares with all others of its kind."""


def kind(device: Device) -> Kind | None:
    """Return the row for a USB device; None for what the table does not have."""
    return KINDS.get((device.told("ID_VENDOR_ID").lower(), device.told("ID_MODEL_ID").lower()))


def about(device: Device) -> str:
    """Say in a few words what *device* is, by the table first, and by what it says of itself."""
    whole = device.usb or device
    known = kind(whole)
    said = " ".join(filter(None, (whole.attributes.get("manufacturer"), whole.attributes.get("product"))))
    ids = f"{whole.told('ID_VENDOR_ID') or '????'}:{whole.told('ID_MODEL_ID') or '????'}"
    return f"{known.title if known else said or 'unnamed device'} ({ids})"


def serial_number(device: Device) -> str:
    """Return a serial number that tells this device from all of its kind; empty when it has none of its own."""
    number = (device.usb or device).told("ID_SERIAL_SHORT")
    return "" if number.upper() in SAME_ON_ALL else number
