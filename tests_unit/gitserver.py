"""A git server on loopback that a test can cut off in the middle of a transfer."""

import os
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


class GitServer(socketserver.ThreadingTCPServer):
    """Serves every repository below *folder* as ``git://``, through git's own upload-pack."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.folder = folder
        self.cut_after: int | None = None
        """Bytes after which the server drops a connection; None: it does not."""
        self.sessions: list[int] = []
        """Bytes sent in each connection that has ended."""

    def url(self, name: str) -> str:
        """Return where repository *name* is."""
        return f"git://127.0.0.1:{self.server_address[1]}/{name}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: the client went away, as it may."""


class _Session(socketserver.BaseRequestHandler):
    server: GitServer
    request: socket.socket

    def handle(self) -> None:
        asked = self._exactly(int(self._exactly(4), 16) - 4)
        path, *extra = asked.removeprefix(b"git-upload-pack ").split(b"\0")
        version = next((word for word in extra if word.startswith(b"version=")), b"")
        folder = f"{self.server.folder}{path.decode()}"
        with subprocess.Popen(
            ["git", "-c", "safe.directory=*", "upload-pack", folder],
            stdin=self.request.fileno(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**os.environ, "GIT_PROTOCOL": version.decode()},
        ) as process:  # fmt: skip
            assert process.stdout is not None
            self.server.sessions.append(self._pass_on(process.stdout.fileno()))
            process.kill()

    def _pass_on(self, source: int) -> int:
        sent, limit = 0, self.server.cut_after
        with suppress(OSError):
            while block := os.read(source, 4096):
                sent += len(block)
                self.request.sendall(block)
                if limit is not None and sent >= limit:
                    break
            self.request.shutdown(socket.SHUT_RDWR)
        return sent

    def _exactly(self, count: int) -> bytes:
        return self.request.recv(count, socket.MSG_WAITALL)


@contextmanager
def serving(folder: Path) -> Iterator[GitServer]:
    """Serve while the block runs."""
    with GitServer(folder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
