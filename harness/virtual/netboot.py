"""A boot partition that is a TFTP server's folder, asked in the order of the real boot ROM and firmware.

Source: https://www.raspberrypi.com/documentation/computers/raspberry-pi.html (network boot; ``TFTP_PREFIX``): once
start.elf is found below the serial number, every other name gets that prefix; a Pi 3 fetches bootcode.bin before.
"""

import re
from collections.abc import Callable, Collection
from typing import Any

import attrs

from harness.bootfs.partition import clean
from harness.model import BoardProfile
from harness.virtual import tftp

SERIAL = re.compile(r"(?:[0-9a-f]{8})?[0-9a-f]{8}", re.IGNORECASE)
KEYS = frozenset({"server", "port", "serial"})

Fetch = Callable[[str], bytes]
"""``tftp.Server.fetch``, or a test's: raises ``tftp.Refused`` for a file that is not there."""


@attrs.frozen
class Netboot:
    """What a board that boots by network has to know; on iron DHCP tells it the server, its fuses the serial number."""

    server: tftp.Server
    serial: int

    @classmethod
    def parse(cls, given: Any) -> "Netboot":
        """Read ``{server: 127.0.0.1, port: 6969, serial: "50495634"}``; ValueError says what is wrong with it."""
        if not isinstance(given, dict) or not {"server", "serial"} <= set(given) <= KEYS:
            raise ValueError("netboot takes `server`, `serial` and, where it is not 69, `port`")
        host, port, serial = given["server"], given.get("port", 69), given["serial"]
        if not isinstance(host, str) or not host:
            raise ValueError("`server` must be a name or an address")
        if not isinstance(port, int) or not 0 < port < 65536:
            raise ValueError("`port` must be 1 to 65535")
        if not isinstance(serial, str) or not SERIAL.fullmatch(serial):
            raise ValueError('`serial` must be 8 or 16 hexadecimal digits, in quotes: "50495634", say')
        return cls(tftp.Server(host, port), int(serial, 16))

    @property
    def prefix(self) -> str:
        """The board's folder on the server: the low half of its serial number."""
        return f"{self.serial & 0xFFFFFFFF:08x}/"


class NetFiles:
    """A ``BootPartition`` behind TFTP: upper and lower case differ, and only asking tells whether a file is there."""

    def __init__(self, fetch: Fetch, prefix: str = "") -> None:
        self.prefix = prefix
        self.lines: list[str] = []
        """What went on: first where the files are looked for, then what the server said that kept one to itself."""
        self._fetch = fetch
        self._known: dict[str, bytes | None] = {}

    def read(self, name: str) -> bytes | None:
        """Return the content of file *name*, or None when the server does not give it."""
        name = clean(name)
        if name not in self._known:
            self._known[name] = self._ask(f"{self.prefix}{name}")
        return self._known[name]

    def exists(self, name: str) -> bool:
        """Tell whether there is a file *name*."""
        return self.read(name) is not None

    def names(self) -> Collection[str]:
        """Return the names of the files that have been found so far."""
        return tuple(name for name, data in self._known.items() if data is not None)

    def _ask(self, path: str) -> bytes | None:
        if ".." in path.split("/"):
            self.lines.append(f"TFTP: {path!r} leads out of the board's folder: not asked for")
            return None
        try:
            return self._fetch(path)
        except tftp.Refused as error:
            if error.code != tftp.NOT_FOUND:
                self.lines.append(f"TFTP: {path}: {error}")
            return None


def find(netboot: Netboot, board: BoardProfile, fetch: Fetch | None = None) -> NetFiles:
    """Return the files that *board* boots from: below its serial number if start.elf is there, else the root's.

    LabError when the server does not answer.
    """
    fetch = fetch or netboot.server.fetch
    root, own = NetFiles(fetch), NetFiles(fetch, netboot.prefix)
    if board.soc == "bcm2837" and not _boot_rom(root):
        nothing = NetFiles(_nothing)
        nothing.lines = [f"TFTP server {netboot.server}: no bootcode.bin in its root", *root.lines]
        return nothing
    files = own if any(own.exists(name) for name in board.start_elf) else root
    found = f"files below {own.prefix}" if files is own else f"no {own.prefix}{board.start_elf[0]}"
    files.lines = [f"TFTP server {netboot.server}: {found}", *own.lines, *root.lines]
    return files


def _boot_rom(root: NetFiles) -> bool:
    """Do what the boot ROM of a Pi 3 does; a Pi 4 has the stage that comes next in its EEPROM."""
    if not root.exists("bootcode.bin"):
        return False
    root.exists("bootsig.bin")  # asked for in every network, and there in none
    return True


def _nothing(_: str) -> bytes:
    raise tftp.Refused(tftp.NOT_FOUND, "not asked for")
