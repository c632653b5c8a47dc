"""A bench whose every part can break: a board in real QEMU behind a relay, a wire and a card mux with faults to order.

What pytest gets is labgrid's own NetworkPowerDriver and SerialDriver; the faults are at the far end of each.
"""

import contextlib
import http.server
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from httprelay import HttpRelay
from pluginbench import Bench
from servedbench import bench

LAB = """
imports: [harness.lab.drivers]
targets:
  one:
    features: [virtual]
    options:
      model: rpi-3-b
      kernel: {{source: {tree}, requires: [none]}}
      image: {{file: {image}}}
      login: {{user: pi, password: hunter2}}
      depmod: target
      config_txt: [dtoverlay=disable-bt]
      deadlines: {{firmware: {silence}, kernel: 60, rootfs: 60, init: 60, login: 60, silence: {silence}}}
    resources:
      NetworkPowerPort: {{model: rest, host: "{relay}", index: 1}}
      NetworkSerialPort: {{host: 127.0.0.1, port: {wire}, protocol: raw}}
      NetworkCardMux: {{host: "{mux}", index: 1}}
      CardImage: {{file: {card}}}
    drivers:
      NetworkPowerDriver: {{delay: 0.2}}
      SerialDriver: {{}}
      NetworkCardMuxDriver: {{}}
      MuxedCardImageDriver: {{}}
      RaspberryPiStrategy: {{}}
"""


class Wire:
    """A serial line on TCP that can be pulled and plugged in again."""

    def __init__(self, port: int) -> None:
        self._far = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._ends: list[socket.socket] = []
        self.pulled = False
        threading.Thread(target=self._accept, daemon=True).start()

    def pull(self) -> None:
        self.pulled = True
        for end in self._ends:
            _shut(end)
        self._ends.clear()

    def plug(self) -> None:
        self.pulled = False

    def close(self) -> None:
        self.pull()
        _shut(self._server)
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            if self.pulled:
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self._far))
            self._ends += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=_carry, args=(one, other), daemon=True).start()


def _carry(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(4096):
            other.sendall(data)
    _shut(other)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


class Mux:
    """A card mux over HTTP in front of a served board's: it can stick."""

    def __init__(self, board) -> None:
        self.stuck = False
        self.words = ""
        """What it says instead of its mode."""
        mux = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.tell(board.mode)

            def do_PUT(self) -> None:
                mode = self.rfile.read(int(self.headers["Content-Length"])).decode()
                if not mux.stuck:
                    board.switch(mode)
                self.tell(board.mode)

            def tell(self, mode: str) -> None:
                said = (mux.words or mode).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: object) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/card/{{index}}/mode"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class FaultyLab(Bench):
    """``relay``, ``wire`` and ``mux`` are what can be broken; ``board`` is what stands behind them."""

    def __init__(self, folder: Path, image: Path) -> None:
        self.served = bench("one")
        self.path, self.image = folder, image

    def __enter__(self) -> Self:
        self.served.__enter__()
        self.board = self.served.boards[0]
        self.relay = HttpRelay(self.board.power)
        self.wire = Wire(self.served.addresses[0].raw)
        self.mux = Mux(self.board)
        super().__init__(self.path, self.image)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for end in (self.mux, self.wire, self.relay):
            end.close()
        self.served.__exit__(kind, error, trace)

    def command(self, test: str, *args: str) -> list[str]:
        return super().command(test, "--board", "one", *args)

    def lab(self, driver: str = "", *, silence: float = 60) -> None:
        assert not driver
        words = {"relay": self.relay.url, "wire": self.wire.port, "mux": self.mux.url}
        card, tree = self.served.addresses[0].card, self.path / "linux"
        (self.path / "lab.yaml").write_text(
            LAB.format(tree=tree, image=self.image, card=card, silence=silence, **words)
        )
