"""The process of one virtual board, seen from the one who drives it: start or join it, ask it, listen to its line."""

import contextlib
import json
import os
import select
import shlex
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from harness.errors import LabError
from harness.virtual.qemu import Network

START_TIMEOUT_S = 20.0  # a Python process that imports libfdt; 0.2 s when the host is idle
QUIT_TIMEOUT_S = 20.0  # it kills QEMU and removes its folder: 0.1 s when the host is idle
ANSWER_TIMEOUT_S = 120.0  # QEMU's start may take ten, the copy of a large card on a slow disk most of the rest


class BoardProcess:
    """A connection to the control socket of a board that runs in *folder*; OSError when none does."""

    def __init__(self, name: str, folder: Path) -> None:
        """*name* is the target's, for messages."""
        self.folder = folder
        self.child: subprocess.Popen[str] | None = None
        """The process, if it was started here."""
        self._name = name
        self._turn = threading.Lock()  # a recorder's thread asks too, when the line goes dead
        self._control = self._connect("control")
        self._control.settimeout(ANSWER_TIMEOUT_S)

    @classmethod
    def start(
        cls,
        name: str,
        folder: Path,
        *,
        model: str,
        port: int | None = None,
        network: Network | None = None,
        netboot: Mapping[str, object] | None = None,
        qemu_args: Sequence[str] = (),
    ) -> Self:
        """Start a board in *folder*, which it removes at its end; LabError with its own words when it does not start.

        *port*: serve the serial line on this TCP port of the loopback interface as well.
        """
        argv = [sys.executable, "-m", "harness.virtual.pi", "--model", model, "--folder", str(folder)]
        argv += [f"--qemu-arg={arg}" for arg in qemu_args]
        argv += ["--port", str(port)] if port is not None else []
        argv += ["--mac", network.mac] if network else []
        argv += ["--netboot", json.dumps(netboot)] if netboot else []
        argv += ["--ssh-port", str(network.ssh_port)] if network and network.ssh_port else []
        with (folder / "errors").open("w+") as errors:
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, start_new_session=True, text=True
            )
        assert child.stdout is not None
        with child.stdout:
            ready, _, _ = select.select([child.stdout], [], [], START_TIMEOUT_S)
            if not ready or child.stdout.readline() != "ready\n":
                child.kill()
                said = _tail(folder / "errors")
                status = child.wait()
                shutil.rmtree(folder, ignore_errors=True)
                raise LabError(
                    f"{name}: the virtual board's process did not start (status {status})",
                    evidence=said,
                    hint=f"try by hand: {shlex.join(argv)}",
                )
        self = cls(name, folder)
        self.child = child
        return self

    def ask(self, do: str, **more: str) -> dict[str, Any]:
        """Return the board's answer to ``{"do": do}``; LabError with its words when it refuses, or is gone."""
        try:
            with self._turn:
                answer = _exchange(self._control, do, more)
        except OSError as error:
            self.close()  # an answer that comes after all would be taken for that of the next question
            raise LabError(f"{self._name}: the virtual board's process does not answer: {error}") from error
        if answer is None:
            raise LabError(f"{self._name}: the virtual board's process is gone")
        if "error" in answer:
            raise LabError(f"{self._name}: {answer['error']}", evidence=answer["evidence"], hint=answer["hint"])
        return answer

    def death(self) -> tuple[str, ...] | None:
        """Wait until QEMU dies by itself, and return its words; None when the board's process ends before that."""
        try:
            with self._connect("control") as connection:
                answer = _exchange(connection, "death", {})
        except OSError:
            answer = None
        return tuple(answer["words"]) if answer else None

    def line(self) -> socket.socket:
        """Return a new connection to the serial line; OSError when there is nobody any more."""
        return self._connect("console")

    def quit(self) -> None:
        """End the board's process, and return when it is gone, with QEMU and its folder; LabError when it stays."""
        # Of a socket the kernel tells who listens at its other end: a detached board need not be our child.
        pid, _, _ = struct.unpack("3i", self._control.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        with contextlib.suppress(ProcessLookupError):
            gone = os.pidfd_open(pid)
            try:
                self.ask("quit")
                if not select.select([gone], [], [], QUIT_TIMEOUT_S)[0]:
                    raise LabError(f"{self._name}: the virtual board's process {pid} was told to quit, and stays")
            finally:
                os.close(gone)
        if self.child:
            self.child.wait()

    @property
    def closed(self) -> bool:
        """Whether the connection was closed, by ``close`` or because no answer came."""
        return self._control.fileno() < 0

    def close(self) -> None:
        """Hang up; a board that was told to ``hold`` ends with that."""
        self._control.close()

    def _connect(self, name: str) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(self.folder / name))
        except OSError:
            connection.close()
            raise
        return connection


def _exchange(connection: socket.socket, do: str, more: dict[str, str]) -> dict[str, Any] | None:
    """Send one request and return its answer; None when the connection was closed instead."""
    with connection.makefile("rb") as answers:
        connection.sendall(json.dumps({"do": do, **more}).encode() + b"\n")
        line = answers.readline()
    answer: dict[str, Any] | None = json.loads(line) if line else None
    return answer


def _tail(path: Path) -> list[str]:
    """Return the last lines of a file that may not be there any more."""
    try:
        return path.read_text(errors="replace").splitlines()[-5:]
    except OSError:
        return []
