"""A relay on loopback, as labgrid's `rest` model wants one: GET tells, PUT switches; its faults are scripted."""

import http.server
import threading
from collections.abc import Callable


class HttpRelay:
    """``url`` is for lab.yaml; *switch* is called with each new state."""

    def __init__(self, switch: Callable[[bool], None]) -> None:
        self.on = False
        self.stuck = False
        """Whether it takes orders, and its contact does not move; it knows that it did not."""
        self.welded = False
        """Whether it takes orders and believes that it moved, and the contact has not."""
        self.mute = False
        """Whether it accepts connections and says nothing."""
        self.status = 200
        self.reason: str | None = None
        """What it says behind its status; None: what HTTP calls that."""
        self.orders: list[bool] = []
        self._switch = switch
        self._release = threading.Event()
        relay = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                relay._answer(self, b"1" if relay.on else b"0")

            def do_PUT(self) -> None:
                wanted = self.rfile.read(int(self.headers["Content-Length"])) == b"1"
                relay._order(wanted)
                relay._answer(self, b"")

            def log_message(self, *_: object) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/relay/{{index}}/value"

    def close(self) -> None:
        self._release.set()
        self._server.shutdown()
        self._server.server_close()

    def _order(self, wanted: bool) -> None:
        self.orders.append(wanted)
        if self.stuck or self.status != 200:
            return
        self.on = wanted
        if not self.welded:
            self._switch(wanted)

    def _answer(self, handler: http.server.BaseHTTPRequestHandler, body: bytes) -> None:
        if self.mute:
            self._release.wait(60)
        handler.send_response(self.status, self.reason)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
