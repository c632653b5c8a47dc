"""One virtual board as a bench serves it: a power switch, a card mux and a serial line, in front of its process."""

import contextlib
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from harness.errors import LabError
from harness.model import BoardProfile
from harness.virtual.mux import CardMux
from harness.virtual.process import BoardProcess

QUIT_TIMEOUT_S = 20.0  # a board that is told to quit kills QEMU and removes its folder: 0.1 s on an idle host


class ServedBoard:
    """One virtual board as its switches and its serial ports see it."""

    def __init__(self, name: str, board: BoardProfile, folder: Path, tell: Callable[[str], None]) -> None:
        self.name = name
        self.mux = CardMux(folder / "card.img")
        self.powered = False
        """What the relay says: a relay does not know whether a board lives."""
        self._board = board
        self._tell = tell
        self._turn = threading.RLock()  # switches; the serial line needs none
        self._ended = False
        self._inserted = 0  # which of the mux's turns brought the card in the slot; 0: it is empty
        self._process = self._start()

    def power(self, on: bool) -> None:
        """Switch; LabError with QEMU's words when the board does not start, and then it is off."""
        with self._turn:
            if on == self.powered:
                return
            if self._ended:
                raise LabError(f"{self.name}: the bench is being put away")
            if on:
                self._on()
            elif not self._gone:
                self._process.ask("off")
            self.powered = on

    def _on(self) -> None:
        if self._gone:
            self._close()
            self._process, self._inserted = self._start(), 0
        if self.mux.slot is None:
            self._tell(f"{self.name}: on, but the host has its card: nothing boots")
            return
        if self._inserted != self.mux.turns:
            self._process.ask("insert", card=str(self.mux.slot))
            self._inserted = self.mux.turns
        try:
            self._process.ask("on")
        except LabError:
            with contextlib.suppress(LabError):
                self._process.ask("off")
            raise

    @property
    def mode(self) -> str:
        """The side of the mux that has the card."""
        return self.mux.mode

    def switch(self, mode: str) -> None:
        """Hand the card over; LabError while the board is on, and for what is wrong with the card."""
        with self._turn:
            if self.powered and mode != self.mode:
                raise LabError(f"{self.name}: its power is on, and the card stays", hint="switch it off first")
            self.mux.switch(mode)

    def line(self) -> socket.socket:
        """Return a new connection to the serial line; OSError when the board's process is gone."""
        return self._process.line()

    def status(self) -> dict[str, object]:
        """Return name, model, power and card, and the ``state`` of the board: as ``pi.Pi``, or ``gone``."""
        with self._turn:
            known: dict[str, object] = {"state": "gone", "words": [], "boots": 0}
            if not self._gone:
                with contextlib.suppress(LabError):
                    known = self._process.ask("status")
            return {
                "name": self.name, "model": self._board.name, "power": int(self.powered), "card": self.mode, **known
            }  # fmt: skip

    def close(self) -> None:
        """Switch off, and end the process with all that belongs to it."""
        with self._turn:
            self._ended = True
            self._close()

    # --- its process --------------------------------------------------------------------------------------------------
    @property
    def _gone(self) -> bool:
        assert self._process.child is not None
        return self._process.closed or self._process.child.poll() is not None

    def _start(self) -> BoardProcess:
        folder = Path(tempfile.mkdtemp(prefix="pi64-"))  # not in the cache: a socket's path has 107 bytes at most
        process = BoardProcess.start(self.name, folder, model=self._board.name)
        process.ask("hold")
        threading.Thread(target=self._watch, args=(process,), name=f"watch-{self.name}", daemon=True).start()
        return process

    def _watch(self, process: BoardProcess) -> None:
        """Tell when the board dies, or its process; not of an end that was asked for."""
        while (words := process.death()) is not None:
            self._tell(f"{self.name}: dead: {' | '.join(words)}")
        assert process.child is not None
        status = process.child.wait()
        if not process.closed:
            self._tell(f"{self.name}: its process is gone, status {status}; power off and on starts a new one")

    def _close(self) -> None:
        process, child = self._process, self._process.child
        assert child is not None
        process.close()  # it holds on to this connection, and quits when that ends
        try:
            child.wait(QUIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.kill()  # QEMU dies with it
            child.wait()
        shutil.rmtree(process.folder, ignore_errors=True)
