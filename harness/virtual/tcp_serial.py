"""The serial line of a served board on a TCP port: raw, or as RFC 2217 says, with pyserial's own server side."""

import contextlib
import select
import socket
import socketserver
import threading
from collections.abc import Callable
from typing import Any, Protocol

import serial
from serial.rfc2217 import PortManager

CLIENTS = 10  # at once, as labgrid's exporter has its ser2net do; all hear, and what each types is typed
SUBOPTION_LIMIT = 1024  # bytes; RFC 2217's own have at most 256
CHUNK = 65536


class Codec(Protocol):
    """What one client's bytes mean."""

    def typed(self, data: bytes) -> bytes:
        """Return what of *data* is meant for the board; ValueError when it is no such protocol."""

    def heard(self, data: bytes) -> bytes:
        """Return how the client is told *data*."""


class Raw:
    """Bytes as they are."""

    def __init__(self, _: socket.socket) -> None: ...

    def typed(self, data: bytes) -> bytes:
        """Return *data*."""
        return data

    heard = typed


class Rfc2217:
    """Telnet with the options of a serial port. Speed and format are taken note of; the virtual line has neither."""

    def __init__(self, client: socket.socket) -> None:
        """Negotiate: what is to be said to *client* about options goes there at once."""
        self._settings = serial.serial_for_url("loop://")
        self._client = client
        self._manager: Any = PortManager(self._settings, self)

    def write(self, data: bytes) -> None:
        """Send options; PortManager's idea of a connection."""
        self._client.sendall(data)

    def typed(self, data: bytes) -> bytes:
        """Answer options and return the rest."""
        try:
            rest = b"".join(self._manager.filter(data))
        except OSError:
            raise
        except Exception as error:
            # PortManager takes it for granted that suboptions have the right length and known values.
            raise ValueError(f"no RFC 2217: {error!r}") from error
        if len(self._manager.suboption or b"") > SUBOPTION_LIMIT:
            raise ValueError("no RFC 2217: a suboption without an end")
        return rest

    def heard(self, data: bytes) -> bytes:
        """Double the bytes that telnet would take for a command."""
        return b"".join(self._manager.escape(data))


class SerialServer(socketserver.ThreadingTCPServer):
    """A port of the loopback interface that leads to a serial line, which each client gets for itself."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, line: Callable[[], socket.socket], codec: Callable[[socket.socket], Codec]) -> None:
        """*port* 0 is any free one; *line* opens a new connection to the line, OSError when there is none."""
        self.line, self.codec = line, codec
        self.free = threading.Semaphore(CLIENTS)
        super().__init__(("127.0.0.1", port), _Client)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that went away, or spoke another protocol, was hung up on."""


class _Client(socketserver.BaseRequestHandler):
    """One client, from its call until one side hangs up."""

    server: SerialServer
    request: socket.socket

    def handle(self) -> None:
        if not self.server.free.acquire(blocking=False):
            self.request.sendall(b"Port already in use\r\n")  # ser2net's words
            return
        try:
            with contextlib.suppress(OSError, ValueError), self.server.line() as line:
                self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._pump(line, self.server.codec(self.request))
        finally:
            self.server.free.release()

    def _pump(self, line: socket.socket, codec: Codec) -> None:
        while True:
            ready, _, _ = select.select([line, self.request], [], [])
            for end in ready:
                data = end.recv(CHUNK)
                if not data:
                    return
                if end is line:
                    self.request.sendall(codec.heard(data))
                else:
                    line.sendall(codec.typed(data))
