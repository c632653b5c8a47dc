"""A bench of virtual boards behind the protocols of a real lab: a relay over HTTP, serial ports on TCP, card muxes.

All on the loopback interface, in threads: the servers are those of the standard library and of pyserial, and none of
them is asynchronous. A board is a process of its own (``pi``); nothing of it outlives the bench, whatever ends that.
"""

import fcntl
import os
import re
import selectors
import shutil
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from socketserver import TCPServer
from typing import Self

import attrs

from harness import host
from harness.errors import LabError, UsageError
from harness.model import BoardProfile
from harness.virtual.relay import Relay
from harness.virtual.served import ServedBoard
from harness.virtual.tcp_serial import Raw, Rfc2217, SerialServer

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)  # a folder, a target, a place at a coordinator


@attrs.frozen
class Address:
    """Where one board is served, all of it at 127.0.0.1."""

    name: str
    number: int
    """1-based; the index of its power port and of its card mux."""
    relay: int
    """TCP port of the HTTP server; so are *rfc2217* and *raw*, of the serial line."""
    rfc2217: int
    raw: int
    card: Path
    """The image, while the host has it."""


class Bench:
    """Some boards of one model, served until the ``with`` ends."""

    def __init__(
        self,
        names: Sequence[str],
        board: BoardProfile,
        *,
        port: int = 0,
        card: Path | None = None,
        tell: Callable[[str], None] = host.silent,
    ) -> None:
        """Say what to serve; UsageError when that cannot be.

        *port* is the relay's, the next ones are the boards', two each; 0: any free ones. *card*: an image of which
        each board gets a copy into its slot. *tell* is called, by any thread, with what befalls a board.
        """
        if unfit := [name for name in names if not NAME.fullmatch(name)]:
            raise UsageError(f"`{unfit[0]}` is no name for a board", hint="letters, digits, `_`, `.` and `-`")
        if board.qemu is None:
            raise UsageError(f"QEMU has no machine for {board.name}", hint="models that it has: rpi-3-b, rpi-4-b")
        if card and not card.is_file():
            raise UsageError(f"{card}: no such file")
        self._names, self._board, self._port, self._card, self._tell = names, board, port, card, tell
        self._undo = ExitStack()
        self.boards: list[ServedBoard] = []
        self.addresses: list[Address] = []

    def __enter__(self) -> Self:
        host.find("qemu-system-aarch64")
        with ExitStack() as undo:
            self.boards = [undo.enter_context(self._board_named(name)) for name in self._names]
            relay = undo.enter_context(_bound(lambda port: Relay(port, self.boards), self._port))
            servers: list[TCPServer] = [relay]
            for number, board in enumerate(self.boards, start=1):
                rfc2217, raw = (undo.enter_context(_bound(*line)) for line in self._lines(board, number))
                ports = {"relay": _port(relay), "rfc2217": _port(rfc2217), "raw": _port(raw)}
                self.addresses.append(Address(board.name, number, card=board.mux.card, **ports))
                servers += [rfc2217, raw]
            undo.enter_context(_listening(servers))
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    @contextmanager
    def _board_named(self, name: str) -> Iterator[ServedBoard]:
        with _own_folder(host.cache_dir("bench"), name) as folder:
            board = ServedBoard(name, self._board, folder, self._tell)
            try:
                if self._card:
                    board.mux.put_in(self._card)
                yield board
            finally:
                board.close()

    def _lines(self, board: ServedBoard, number: int) -> Iterator[tuple[Callable[[int], TCPServer], int]]:
        """Yield how to make the servers of a board's line, each with its port."""
        first = self._port and self._port + 2 * number - 1
        yield lambda port: SerialServer(port, board.line, Rfc2217), first
        yield lambda port: SerialServer(port, board.line, Raw), first and first + 1


@contextmanager
def _own_folder(parent: Path, name: str) -> Iterator[Path]:
    """Make an empty folder for as long as the bench runs; LabError when another bench has it.

    The folder itself is the lock. What a bench that was killed has left in it is removed.
    """
    folder = parent / name
    folder.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(f"a board `{name}` is served already", hint="choose another --name") from None
        for old in folder.iterdir():
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        try:
            yield folder
        finally:
            shutil.rmtree(folder)
    finally:
        os.close(handle)


@contextmanager
def _bound(make: Callable[[int], TCPServer], port: int) -> Iterator[TCPServer]:
    """Yield a server that has its *port*, 0 for any; LabError when it is taken."""
    try:
        server = make(port)
    except OSError as error:
        raise LabError(
            f"port {port} of 127.0.0.1 cannot be served: {error.strerror}", hint="choose another --port"
        ) from error
    with server:
        yield server


def _port(server: TCPServer) -> int:
    return int(server.server_address[1])


@contextmanager
def _listening(servers: Sequence[TCPServer]) -> Iterator[None]:
    """Take calls, in one thread, which sleeps until there is one; serve_forever would wake up twice a second each."""
    awake, wake = socket.socketpair()
    with awake, wake:
        thread = threading.Thread(target=_listen, args=(servers, awake), name="bench", daemon=True)
        thread.start()
        try:
            yield
        finally:
            wake.close()
            thread.join()


def _listen(servers: Sequence[TCPServer], awake: socket.socket) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(awake, selectors.EVENT_READ)
        for server in servers:
            server.timeout = 0
            selector.register(server, selectors.EVENT_READ, server)
        while True:
            for key, _ in selector.select():
                if key.data is None:
                    return
                key.data.handle_request()
