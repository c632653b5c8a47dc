"""TFTP servers on loopback: the real programs, where they are installed, and one that makes a mistake when told to."""

import os
import pwd
import select
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from processes import until

from harness.virtual.tftp import Server

PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
RRQ, DATA, ACK, ERROR, OACK = 1, 3, 4, 5, 6

Mangle = Callable[[bytes], list[bytes]]
"""What goes onto the wire instead of a packet that the server sends."""


def programs() -> list[str]:
    """Return the real servers that can be started here: atftpd by anybody, tftpd-hpa by root, who may chroot."""
    found = ["atftpd"] if shutil.which("atftpd", path=PATH) else []
    hpa = shutil.which("in.tftpd", path=PATH) if os.geteuid() == 0 else None
    if hpa and b"tftp-hpa" in subprocess.run([hpa, "-V"], capture_output=True, check=False).stdout:
        found.append("in.tftpd")  # atftpd may have that name too
    return found


@contextmanager
def real(program: str, folder: Path) -> Iterator[Server]:
    """Run *program* on a free port of the loopback interface, serving *folder*."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    user = pwd.getpwuid(os.geteuid()).pw_name
    argv = {
        "atftpd": ["--daemon", "--no-fork", "--port", str(port), "--bind-address", "127.0.0.1", "--user", user,
                   "--logfile", "-", str(folder)],
        "in.tftpd": ["-L", "-a", f"127.0.0.1:{port}", "-u", user, "-s", str(folder)],
    }  # fmt: skip
    found = shutil.which(program, path=PATH)
    assert found
    process = subprocess.Popen([found, *argv[program]], stderr=subprocess.DEVNULL)
    try:
        until(lambda: f":{port:04X} " in Path("/proc/net/udp").read_text())
        yield Server("127.0.0.1", port)
    finally:
        process.terminate()
        process.wait()


class _Transfer:
    def __init__(self, data: bytes, block_bytes: int, client: tuple[str, int]) -> None:
        self.data, self.block_bytes, self.client = data, block_bytes, client
        self.blocks = len(data) // block_bytes + 1
        self.sent = 0

    def packet(self) -> bytes:
        at = (self.sent - 1) * self.block_bytes
        return struct.pack("!HH", DATA, self.sent & 0xFFFF) + self.data[at : at + self.block_bytes]


class FaultyServer:
    """A server of *files*, or of a folder, that sends what *mangle* makes of each packet.

    It repeats nothing by itself: whatever gets lost, the client has to ask again for.
    """

    def __init__(
        self,
        files: Mapping[str, bytes] | Path,
        *,
        mangle: Mangle = lambda packet: [packet],
        options: bool = True,
        announced: Mapping[str, str] | None = None,
    ) -> None:
        self.asked: list[str] = []
        self.told: list[bytes] = []
        """Error packets of the client."""
        self.mangle = mangle
        self._files, self._options, self._announced = files, options, announced or {}
        self._door = self._socket()
        self.port = self._door.getsockname()[1]
        self._transfers: dict[socket.socket, _Transfer] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for line in (self._door, *self._transfers):
            line.close()

    @property
    def server(self) -> Server:
        return Server("127.0.0.1", self.port)

    def _socket(self) -> socket.socket:
        line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        line.bind(("127.0.0.1", 0))
        return line

    def _serve(self) -> None:
        while not self._over.is_set():
            for line in select.select([self._door, *self._transfers], [], [], 0.02)[0]:
                packet, sender = line.recvfrom(65536)
                kind = struct.unpack("!H", packet[:2])[0]
                if kind == RRQ:
                    self._begin(packet, sender)
                elif kind == ACK and line in self._transfers:
                    self._go_on(line, struct.unpack("!H", packet[2:4])[0])
                elif kind == ERROR:
                    self.told.append(packet)

    def _begin(self, packet: bytes, sender: tuple[str, int]) -> None:
        name, mode, *words = packet[2:].decode().split("\0")
        assert mode == "octet"
        self.asked.append(name)
        data, line = self._content(name), self._socket()
        if data is None:
            self._send(line, struct.pack("!HH", ERROR, 1) + b"no such file\0", sender)
            line.close()
            return
        asked = dict(zip(words[::2], words[1::2], strict=False))
        agreed = {"tsize": str(len(data)), "blksize": asked.get("blksize", "512"), **self._announced}
        self._transfers[line] = transfer = _Transfer(data, int(agreed["blksize"]) if self._options else 512, sender)
        if self._options:
            raw = "".join(f"{key}\0{value}\0" for key, value in agreed.items()).encode()
            self._send(line, struct.pack("!H", OACK) + raw, sender)
        else:
            transfer.sent = 1
            self._send(line, transfer.packet(), sender)

    def _go_on(self, line: socket.socket, acknowledged: int) -> None:
        transfer = self._transfers[line]
        if acknowledged == transfer.sent & 0xFFFF:
            transfer.sent += 1
        elif acknowledged != (transfer.sent - 1) & 0xFFFF:
            return
        if transfer.sent <= transfer.blocks:
            self._send(line, transfer.packet(), transfer.client)

    def _send(self, line: socket.socket, packet: bytes, sender: tuple[str, int]) -> None:
        for piece in self.mangle(packet):
            line.sendto(piece, sender)

    def _content(self, name: str) -> bytes | None:
        if isinstance(self._files, Path):
            path = self._files / name
            return path.read_bytes() if path.is_file() else None
        return self._files.get(name)
