"""The switches of a bench over HTTP: power as labgrid's ``rest`` model has it, card muxes in the same manner.

::

    GET, PUT  /relay/N/value    0 or 1
    GET, PUT  /card/N/mode      host or dut
    GET       /                 all boards, as JSON
"""

import json
import re
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol

from harness.errors import LabError
from harness.report.redact import printable
from harness.virtual.mux import MODES

PATH = re.compile(r"/(relay/\d+/value|card/\d+/mode)", re.ASCII)
WORDS = {"relay": ("0", "1"), "card": MODES}
LONGEST = 16  # bytes of a body
DRAINED = 2**16  # bytes read of one that is too long: unread, they would make the client lose the answer


class Switched(Protocol):
    """A board as its switches see it."""

    powered: bool

    @property
    def mode(self) -> str:
        """The side that has the card."""

    def power(self, on: bool) -> None:
        """Switch."""

    def switch(self, mode: str) -> None:
        """Hand the card over."""

    def status(self) -> dict[str, object]:
        """Return what is to be told of the board."""


class Relay(ThreadingHTTPServer):
    """A port of the loopback interface with the switches of *boards*, which are numbered from 1."""

    daemon_threads = True

    def __init__(self, port: int, boards: Sequence[Switched]) -> None:
        """*port* 0 is any free one."""
        self.boards = boards
        super().__init__(("127.0.0.1", port), _Request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client went away in the middle."""


class _Refused(Exception):
    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _Request(BaseHTTPRequestHandler):
    server: Relay
    timeout = 30  # s; for a client that calls and says nothing

    def do_GET(self) -> None:
        """Tell what is switched, or all there is to know."""
        self._serve(lambda: None)

    def do_PUT(self) -> None:
        """Switch, and tell what is switched now."""
        self._serve(self._body)

    def _serve(self, body: Callable[[], str | None]) -> None:
        try:
            self._say(HTTPStatus.OK, self._answer(body()))
        except _Refused as refusal:
            self._say(refusal.status, f"{refusal}\n", reason=str(refusal))
        except LabError as error:
            status = HTTPStatus.CONFLICT if self.path.startswith("/card") else HTTPStatus.INTERNAL_SERVER_ERROR
            self._say(status, f"{error}\n", reason=error.message)

    def _answer(self, word: str | None) -> str:
        if self.path == "/" and word is None:
            return json.dumps([board.status() for board in self.server.boards], indent=1) + "\n"
        kind, board = self._addressed()
        if word is not None:
            self._switch(kind, board, word)
        return board.mode if kind == "card" else str(int(board.powered))

    def _addressed(self) -> tuple[str, Switched]:
        if not PATH.fullmatch(self.path):
            raise _Refused(HTTPStatus.NOT_FOUND, "no such path; /relay/N/value, /card/N/mode")
        kind, number, _ = self.path.lstrip("/").split("/")
        known = len(self.server.boards)
        if len(number) > 4 or not 1 <= int(number) <= known:
            raise _Refused(HTTPStatus.NOT_FOUND, f"no board {number[:8]}; this bench has 1 to {known}")
        return kind, self.server.boards[int(number) - 1]

    def _switch(self, kind: str, board: Switched, word: str) -> None:
        if word not in WORDS[kind]:
            raise _Refused(HTTPStatus.BAD_REQUEST, f"the body must be {' or '.join(WORDS[kind])}")
        if kind == "relay":
            board.power(word == "1")
        else:
            board.switch(word)

    def _body(self) -> str:
        size = self.headers.get("Content-Length", "")
        if not size.isdecimal():
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, "no Content-Length")
        if int(size) > LONGEST:
            self.rfile.read(min(int(size), DRAINED))
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is longer than {LONGEST} bytes")
        return self.rfile.read(int(size)).decode("ascii", "replace")

    def _say(self, status: HTTPStatus, text: str, *, reason: str | None = None) -> None:
        """Answer; requests, and so labgrid, shows its user nothing but the status and *reason*."""
        data = text.encode(errors="replace")
        self.send_response(status, _header(reason) if reason else None)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Keep quiet; what happens to a board is told by the bench."""


def _header(text: str) -> str:
    """Return *text* as it may stand in a status line."""
    return printable(text).replace("\n", " ").encode("latin-1", "replace").decode("latin-1")[:300]
