"""The client side of TFTP, as far as a board's firmware speaks it: read one file.

Source: RFC 1350 (protocol), 2347 to 2349 (options, ``blksize``, ``tsize``).
"""

import select
import socket
import struct
import time

import attrs

from harness.errors import LabError

RRQ, DATA, ACK, ERROR, OACK = 1, 3, 4, 5, 6
NOT_FOUND, UNKNOWN_TID, REFUSED_OPTIONS = 1, 5, 8
BLOCK_BYTES = 1024  # what a Pi 4 asks for; a Pi 3 takes the 512 of the RFC
RETRY_S, TRIES = 1.0, 5  # the boot ROM of a Pi 3 tries as often, and waits 5 s each time
SIZE_LIMIT = 512 << 20  # bytes; no board that can be had here has more memory to put a file into
NAME_LIMIT = 255  # bytes


class Refused(Exception):
    """The server answered with an error packet: for a board, the file is not there."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(f"error {code}: {words}")
        self.code = code


@attrs.frozen
class Server:
    """Where a TFTP server listens."""

    host: str
    port: int = 69

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def fetch(self, name: str) -> bytes:
        """Return the content of file *name*. Refused when the server will not give it, LabError when it falls silent.

        It falls silent when none of TRIES requests for the same block, RETRY_S apart, brings that block.
        """
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
                return _Transfer(line, self, socket.gethostbyname(self.host), name).run()
        except OSError as error:
            words = error.strerror or str(error)
            raise LabError(f"TFTP server {self}: {words}", hint="see docs/deploy-netboot.md, `servers`") from error


class _Transfer:
    """One file on its way: whoever answers first is the other end (RFC 1350, 4), all others are sent away."""

    def __init__(self, line: socket.socket, server: Server, address: str, name: str) -> None:
        self._line, self._server, self._name = line, server, name
        self._peer = (address, server.port)
        self._known = False  # until the first answer tells the port of this transfer
        self._last = _request(name)
        self._block_bytes = 512  # until the server has agreed to more
        self._announced: int | None = None

    def run(self) -> bytes:
        """Fetch block after block; the first that is not full is the last."""
        parts: list[bytes] = []
        size, number = 0, 1
        while True:
            data = self._ask(number)
            parts.append(data)
            size += len(data)
            if size > SIZE_LIMIT:
                self._refuse(self._peer, 3, "too large")
                raise LabError(f"TFTP server {self._server}: {self._name!r} has more than {SIZE_LIMIT >> 20} MiB")
            self._last = struct.pack("!HH", ACK, number & 0xFFFF)
            if len(data) < self._block_bytes:
                self._line.sendto(self._last, self._peer)  # should it be lost, the server gives up by itself
                break
            number += 1
        if self._announced not in (None, size):
            raise LabError(f"TFTP server {self._server}: {self._name!r}: {size} bytes of {self._announced} came")
        return b"".join(parts)

    def _ask(self, number: int) -> bytes:
        """Send the last packet, again and again, until block *number* is there."""
        for _ in range(TRIES):
            self._line.sendto(self._last, self._peer)
            deadline = time.monotonic() + RETRY_S
            while (packet := self._receive(deadline)) is not None:
                data = self._take(packet, number)
                if data is not None:
                    return data
        raise LabError(
            f"TFTP server {self._server}: no answer to {TRIES} requests for block {number} of {self._name!r}, "
            f"{RETRY_S:g} s apart",
            hint="is it running, and may this host reach it? docs/deploy-netboot.md starts one",
        )

    def _receive(self, deadline: float) -> bytes | None:
        """Return the next packet from the other end; None when *deadline* has come."""
        while (left := deadline - time.monotonic()) > 0 and select.select([self._line], [], [], left)[0]:
            packet, sender = self._line.recvfrom(65536)
            if sender[0] != self._peer[0] or (self._known and sender[1] != self._peer[1]):
                self._refuse(sender, UNKNOWN_TID, "unknown transfer")
            elif len(packet) >= 4 or packet[:2] == struct.pack("!H", OACK):
                self._peer, self._known = sender, True
                return packet
        return None

    def _take(self, packet: bytes, number: int) -> bytes | None:
        """Return the data of block *number*; None for what must be waited on, a block that came twice say."""
        kind, block = struct.unpack("!HH", packet.ljust(4, b"\0")[:4])
        if kind == ERROR:
            raise Refused(block, _printable(packet[4:].partition(b"\0")[0]))
        if kind == OACK and number == 1:
            self._agree(_options(packet[2:]))
            self._last = struct.pack("!HH", ACK, 0)
            self._line.sendto(self._last, self._peer)
        elif kind == DATA and block == number & 0xFFFF:
            return packet[4:]
        return None

    def _agree(self, options: dict[str, str]) -> None:
        sizes = {key: int(value) for key, value in options.items() if value.isascii() and value.isdigit()}
        block_bytes = sizes.get("blksize", 512)
        if not 8 <= block_bytes <= BLOCK_BYTES:
            self._refuse(self._peer, REFUSED_OPTIONS, "blksize")
            raise LabError(f"TFTP server {self._server}: blocks of {block_bytes} bytes, {BLOCK_BYTES} were asked for")
        self._block_bytes, self._announced = block_bytes, sizes.get("tsize")

    def _refuse(self, whom: tuple[str, int], code: int, words: str) -> None:
        self._line.sendto(struct.pack("!HH", ERROR, code) + words.encode() + b"\0", whom)


def _request(name: str) -> bytes:
    raw = name.encode()
    if not raw or len(raw) > NAME_LIMIT or b"\0" in raw:
        raise Refused(NOT_FOUND, "no such name")
    options = f"octet\0tsize\0{0}\0blksize\0{BLOCK_BYTES}\0"
    return struct.pack("!H", RRQ) + raw + b"\0" + options.encode()


def _options(raw: bytes) -> dict[str, str]:
    words = raw.decode("ascii", errors="replace").split("\0")
    return {key.lower(): value for key, value in zip(words[::2], words[1::2], strict=False)}


def _printable(raw: bytes) -> str:
    """Return what the server says, as far as it may go to a terminal."""
    return "".join(char if char.isprintable() else "?" for char in raw[:200].decode("utf-8", errors="replace"))
