"""Servers that a bench needs, asked as their clients would ask: who answers, and what they say first."""

import select
import socket
import struct
import time

import attrs

from harness.deadline import words
from harness.errors import LabError

CONNECT_S = 3.0
BLOCK = 512
IAC = 0xFF
OFFER_RFC2217 = bytes([IAC, 0xFB, 0x2C])  # IAC WILL COM-PORT-OPTION (RFC 2217, 2); the server says DO or DONT
DOES_RFC2217 = bytes([IAC, 0xFD, 0x2C])
TFTP_READ, TFTP_DATA, TFTP_ERROR = 1, 3, 5  # opcodes, RFC 1350
NO_SUCH_FILE = "pi64-doctor-asks"


@attrs.frozen
class Reply:
    """What came on a connection before its time was over."""

    data: bytes
    closed: bool
    """Whether the server hung up."""


def connect(host: str, port: int) -> socket.socket:
    """Return a connection; LabError with the host's words when nobody accepts one within CONNECT_S."""
    try:
        return socket.create_connection((host, port), timeout=CONNECT_S)
    except OSError as error:
        raise LabError(f"{host}:{port}: {words(error)}") from error


def first_words(host: str, port: int, *, say: bytes = b"", seconds: float, until: bytes = b"") -> Reply:
    """Connect, *say*, and return what comes within *seconds*; earlier when *until* stands in it, or at a hang-up.

    LabError when nobody accepts the connection.
    """
    with connect(host, port) as line:
        deadline, data = time.monotonic() + seconds, b""
        try:
            line.sendall(say)
            while (left := deadline - time.monotonic()) > 0 and not (until and until in data):
                if not select.select([line], [], [], left)[0]:
                    break
                block = line.recv(4096)
                if not block:
                    return Reply(data, closed=True)
                data = (data + block)[-4096:]
        except OSError:
            return Reply(data, closed=True)
        return Reply(data, closed=False)


@attrs.frozen
class Tftp:
    """A TFTP server's answer to a request for a file: its first block, or why not."""

    block: bytes | None
    words: str = ""


def tftp(host: str, port: int, name: str, *, seconds: float) -> Tftp:
    """Ask a TFTP server for file *name*; LabError when nothing comes back, ValueError when it is no TFTP."""
    request = struct.pack("!H", TFTP_READ) + name.encode() + b"\0octet\0"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as line:
            line.settimeout(seconds)
            line.sendto(request, address)
            answer, peer = line.recvfrom(BLOCK + 4)  # from another port of the server's: RFC 1350, 4
            line.sendto(struct.pack("!HH", TFTP_ERROR, 0) + b"only asked\0", peer)
    except OSError as error:
        raise LabError(f"{host}:{port}/udp: {words(error)}") from error
    return tftp_answer(answer)


def tftp_answer(packet: bytes) -> Tftp:
    """Return what a *packet* says in answer to a read request; ValueError when it is no TFTP."""
    opcode = struct.unpack_from("!H", packet)[0] if len(packet) >= 4 else 0
    if opcode == TFTP_DATA:
        return Tftp(packet[4:])
    if opcode == TFTP_ERROR:
        return Tftp(None, packet[4:].split(b"\0")[0].decode(errors="replace") or "an error without words")
    raise ValueError(f"not TFTP: {packet[:16].hex(' ')}")
