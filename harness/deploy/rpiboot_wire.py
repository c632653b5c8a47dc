"""What a Raspberry Pi's boot ROM and its firmware say over USB: a second stage first, then one file after another.

Both ends take turns, and each turn begins with a control transfer that tells the length of what follows: the ROM (or
the firmware) asks, the host answers. Source: https://github.com/raspberrypi/usbboot (main.c).
"""

import contextlib
import struct
import threading
from collections.abc import Callable, Mapping
from typing import Protocol

import attrs
import usb.core
import usb.util

from harness import usbbus
from harness.errors import LabError
from harness.report.redact import printable
from harness.usbbus import Device

VENDOR = 0x0A5C
TO_BOARD, FROM_BOARD = 0x40, 0xC0  # bmRequestType: vendor requests to and from the device
ANNOUNCE_MS, PIECE_MS, ANSWER_MS = 1000, 5000, 20_000
PIECE = 16 * 1024  # bytes of one bulk transfer
MESSAGE = 260  # bytes: the command and a name
SIZE, READ, DONE = 0, 1, 2
STALLS = 3  # requests in a row that a board may refuse
PAUSE_S = 1.0  # rpiboot's own: the ROM starts the second stage, then it tells how that went


@attrs.frozen
class Chip:
    """A boot ROM."""

    title: str
    soc: str
    """As in ``BoardProfile.soc``."""
    second_stage: str
    """The file that the ROM asks for without naming it."""
    folder: str
    """Where a collection of boot files for several chips keeps those of this one."""


CHIPS: Mapping[int, Chip] = {
    0x2763: Chip("BCM2835 or BCM2836", "bcm2835", "bootcode.bin", "2710"),
    0x2764: Chip("BCM2837", "bcm2837", "bootcode.bin", "2710"),
    0x2711: Chip("BCM2711", "bcm2711", "bootcode4.bin", "2711"),
    0x2712: Chip("BCM2712", "bcm2712", "bootcode5.bin", "2712"),
}
"""Product id -> boot ROM."""


def is_rom(device: Device) -> bool:
    """Tell whether it is the ROM that speaks; by the *index* of its serial number, for it has nothing else to say."""
    return device.iSerialNumber in {0, 3}


class Link:
    """The line to one board, in the ROM's or the firmware's own turn-taking; what pyusb raises comes through."""

    def __init__(self, device: Device) -> None:
        # A BCM2837 may come as mass storage as well, and that is its first interface then.
        alone = device.get_active_configuration().bNumInterfaces == 1
        interface, self._out = (0, 1) if alone else (1, 3)
        usb.util.claim_interface(device, interface)
        self.device = device

    def announce(self, size: int) -> None:
        """Tell the length of what follows, or the size of a file."""
        self.device.ctrl_transfer(TO_BOARD, 0, size & 0xFFFF, size >> 16, None, timeout=ANNOUNCE_MS)

    def write(self, data: bytes, what: str = "") -> None:
        """Send *data*; none of it stands for a file that is not there. LabError when it breaks off in the middle."""
        self.announce(len(data))
        sent = 0
        while sent < len(data):
            try:
                taken = self.device.write(self._out, data[sent : sent + PIECE], timeout=PIECE_MS)
            except usb.core.USBError as error:
                raise self._broken(what, sent, len(data), error.strerror) from error
            if not taken:
                raise self._broken(what, sent, len(data), "it takes no more")
            sent += taken

    def read(self, size: int) -> bytes:
        """Return what the board says, *size* bytes at most."""
        return bytes(self.device.ctrl_transfer(FROM_BOARD, 0, size & 0xFFFF, size >> 16, size, timeout=ANSWER_MS))

    def _broken(self, what: str, sent: int, size: int, why: str) -> LabError:
        return LabError(
            f"{self}: {what or 'the transfer'} broke off after {sent} of {size} bytes: {why}",
            hint="a USB cable or hub that loses data, or a supply too weak: plug the board into the host itself",
        )

    def __str__(self) -> str:
        return f"board at USB {usbbus.path(self.device)} ({usbbus.ids(self.device)})"


# --- first stage: the ROM ---------------------------------------------------------------------------------------------
def send_second_stage(link: Link, code: bytes, *, pause: Callable[[float], object]) -> None:
    """Send *code* to the ROM, which starts it; *pause* waits for that many seconds.

    LabError when the ROM does not take it, or says that it cannot start it. A ROM that has left the bus before it
    could tell is no error: the second stage runs, or the board will not come back.
    """
    with usbbus.told("second stage", link.device):
        link.write(struct.pack("<i20s", len(code), b""), "the second stage's header")
        link.write(code, "the second stage")
        pause(PAUSE_S)
        try:
            status = link.read(4)
        except usb.core.USBError as error:
            if error.errno in usbbus.GONE:
                return
            raise
    if len(status) != 4:
        raise LabError(f"{link}: {len(status)} of the 4 bytes came that tell whether it starts its second stage")
    if any(status):
        raise LabError(
            f"{link} does not start its second stage: status {int.from_bytes(status, 'little'):#x}",
            hint="the file is damaged, of another chip, or not signed for a board that wants a signature",
        )


# --- then: one file after another -------------------------------------------------------------------------------------
class Shelf(Protocol):
    """The files that a board may have."""

    def find(self, name: str, folder: str) -> tuple[str, bytes] | None:
        """Return where file *name* lies and its content; *folder* is the chip's own. None when there is none."""


class Ledger(Protocol):
    """Where it is written down what a board asked for."""

    def sent(self, path: str, content: bytes) -> None:
        """Take note of a file that the board has now."""

    def missed(self, name: str) -> None:
        """Take note of a file that the board asked for and that there is not."""

    def told(self, key: str, value: str) -> None:
        """Take note of something the board said of itself."""


def serve(link: Link, chip: Chip, shelf: Shelf, ledger: Ledger, *, stop: threading.Event) -> None:
    """Give the board the files it asks for, until it has done, has left, or *stop* is set.

    LabError for a name that is not one, for a file that broke off, and for a board that refuses to be asked. Silence
    is none: a board says nothing more while its kernel starts, and the console tells how that goes.
    """
    stalls = 0
    while not stop.is_set():
        try:
            data = link.read(MESSAGE)
            stalls = 0
        except usb.core.USBTimeoutError:
            continue
        except usb.core.USBError as error:
            if error.errno in usbbus.GONE:
                return
            stalls += 1
            if stalls == STALLS:
                raise usbbus.fault(f"{link} does not say what it wants", link.device, error) from error
            stop.wait(PAUSE_S)
            continue
        try:
            if not _answer(link, chip, shelf, ledger, *parse_message(data)):
                return
        except usb.core.USBError as error:
            if error.errno in usbbus.GONE:
                return
            raise usbbus.fault(f"{link}: an answer", link.device, error) from error


def parse_message(data: bytes) -> tuple[int, str]:
    """Return command and name of a board's message; LabError when it is cut short. Behind the name may be anything."""
    raw, end, _ = data[4:].partition(b"\0")
    if len(data) < 5 or not end:
        raise LabError(f"a board sent a message of {len(data)} bytes that has no end: {data[:32].hex(' ')}")
    command: int = struct.unpack_from("<i", data)[0]
    return command, raw.decode("latin-1")


def _answer(link: Link, chip: Chip, shelf: Shelf, ledger: Ledger, command: int, name: str) -> bool:
    """Answer one message; return whether there may be another."""
    if not name:
        link.write(b"")
        return False
    if command == DONE:
        return False
    if command not in {SIZE, READ}:
        raise LabError(f"{link} sent command {command}, which nobody knows, with name {printable(name)!r}")
    if name.startswith("*"):
        key, _, value = name[1:].partition("*")
        ledger.told(printable(key), printable(value))
        link.write(b"")
        return True
    try:
        found = shelf.find(checked(name), chip.folder)
    except LabError as error:
        with contextlib.suppress(usb.core.USBError):
            link.write(b"")  # as for any file that is not there
        raise LabError(f"{link} {error.message}", hint=error.hint) from None
    if found is None:
        ledger.missed(name)
        link.write(b"")
    elif command == SIZE:
        link.announce(len(found[1]))
    else:
        link.write(found[1], found[0])
        ledger.sent(*found)
    return True


def checked(name: str) -> str:
    """Return *name* without empty parts if it can only lie below the folder of boot files; LabError else."""
    parts = [part for part in name.split("/") if part not in {"", "."}]
    faults = {
        "leads out of its folder": ".." in parts,
        "is absolute": name.startswith("/"),
        "has a backslash": "\\" in name,
        "has characters that no file name has": not (name.isascii() and name.isprintable()),
        "names nothing": not parts,
    }
    wrong = [fault for fault, found in faults.items() if found]
    if wrong:
        raise LabError(
            f"asked for `{printable(name)[:80]}`, which {wrong[0]}: refused",
            hint="no firmware does that: take the board off the bench, and see what its boot files are",
        )
    return "/".join(parts)
