"""The labgrid driver of a virtual Pi: power, reset and console of a board that runs in a process of its own."""

import contextlib
import json
import select
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import attr
from labgrid.driver.common import Driver
from labgrid.driver.consoleexpectmixin import ConsoleExpectMixin
from labgrid.factory import target_factory
from labgrid.protocol import ConsoleProtocol, PowerProtocol, ResetProtocol
from labgrid.step import step
from pexpect import TIMEOUT

from harness import host
from harness.card.slot import CardImage
from harness.errors import LabError

START_TIMEOUT_S = 20.0  # a Python process that imports libfdt; 0.2 s when the host is idle
ANSWER_TIMEOUT_S = 120.0  # QEMU's start may take ten, the copy of a large card on a slow disk most of the rest


@target_factory.reg_driver
@attr.s(eq=False)
class VirtualPiDriver(ConsoleExpectMixin, Driver, PowerProtocol, ConsoleProtocol, ResetProtocol):
    """A virtual board in QEMU, with our own code as its firmware.

    The card in its slot is a copy of the target's ``CardImage``, taken at the first power-on after each deploy: what
    the guest writes lasts while this driver is active, over reboots and power cuts; the deployed card never sees it.

    Args:
        model: board model; by default the ``model`` option of the target
        port: TCP port of the loopback interface on which the serial line is served as well, raw
        detached: leave the board running when this process ends (labgrid-client); off, it ends with this process
        qemu_args: further arguments for QEMU
    """

    bindings = {"slot": CardImage}  # noqa: RUF012 - labgrid's own way to say it
    model: str = attr.ib(default="", validator=attr.validators.instance_of(str))
    port: int | None = attr.ib(default=None, validator=attr.validators.optional(attr.validators.instance_of(int)))
    detached: bool = attr.ib(default=False, validator=attr.validators.instance_of(bool))
    qemu_args: list[str] = attr.ib(factory=list, validator=attr.validators.instance_of(list))

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.txdelay = 0.0
        self.txchunk = 1
        self._folder: Path | None = None
        self._control: socket.socket | None = None
        self._line: socket.socket | None = None
        self._inserted: tuple[str, int, int] | None = None
        self._turn = threading.Lock()  # the recorder's thread asks too, when the line goes dead

    # --- labgrid's life cycle -----------------------------------------------------------------------------------------
    def on_activate(self) -> None:
        """Start the board's process; of a detached board, join the one that runs, if one does."""
        if self.detached:
            self._join()
        else:
            self._start()

    def on_deactivate(self) -> None:
        """Let go of the board; unless it is detached its process ends, and with it QEMU and the copy of the card."""
        if self._control and not self.detached:
            with contextlib.suppress(LabError, OSError):
                self._ask("quit")
        self._hang_up()

    # --- power and reset ----------------------------------------------------------------------------------------------
    @Driver.check_active
    @step()
    def on(self) -> None:
        """Switch on; returns when QEMU runs. LabError with QEMU's own words when it does not."""
        if self._control is None:
            self._start()
        self._connect_line()
        self._insert()
        self._ask("on")

    @Driver.check_active
    @step()
    def off(self) -> None:
        """Cut the power; the process of a detached board ends with that."""
        if self._control is None:
            return
        self._ask("off")
        if self.detached:
            self._ask("quit")
            self._hang_up()

    @Driver.check_active
    @step()
    def cycle(self) -> None:
        """Cold start."""
        self.off()
        self.on()

    @Driver.check_active
    @step()
    def reset(self) -> None:
        """Pull the RUN pin low: a restart with the power left on; a board without power stays off."""
        if self._control is None:
            return
        self._connect_line()
        self._ask("reset")

    @Driver.check_active
    def get(self) -> bool:
        """Return whether the power is on; a board that powered itself off still has power, as on iron."""
        return self._control is not None and self.status()["state"] != "off"

    @Driver.check_active
    def status(self) -> dict[str, Any]:
        """Return ``state`` (off, running, halted, dead), ``boots`` counted, and the last ``words`` of QEMU."""
        return self._ask("status")

    # --- console ------------------------------------------------------------------------------------------------------
    def _read(self, size: int = 1, timeout: float = 0.0, max_size: int | None = None) -> bytes:  # noqa: ARG002
        """Return what is there, after at most *timeout* s; LabError when the board's process or QEMU is gone."""
        line = self._line
        if line is None or not select.select([line], [], [], timeout)[0]:
            raise TIMEOUT(f"Timeout of {timeout:.2f} seconds exceeded")
        try:
            data = line.recv(min(max_size or 65536, 65536))
        except OSError:
            data = b""
        if not data:
            raise self._lost()
        return data

    def _write(self, data: bytes) -> int:
        if self._line is None:
            raise self._lost()
        try:
            self._line.sendall(data)
        except OSError as error:
            raise self._lost() from error
        return len(data)

    # --- the board's process ------------------------------------------------------------------------------------------
    def _start(self) -> None:
        folder = self._fixed_folder() if self.detached else Path(tempfile.mkdtemp(prefix="pi64-"))
        folder.mkdir(mode=0o700, exist_ok=True)
        model = self.model or self.target.env.config.get_target_option(self.target.name, "model")
        argv = [sys.executable, "-m", "harness.virtual.pi", "--model", model, "--folder", str(folder)]
        argv += [f"--qemu-arg={arg}" for arg in self.qemu_args]
        argv += ["--port", str(self.port)] if self.port is not None else []
        with (folder / "errors").open("w+") as errors:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, start_new_session=True, text=True
            )
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], START_TIMEOUT_S)
        if not ready or process.stdout.readline() != "ready\n":
            process.kill()
            said = _tail(folder / "errors")
            status = process.wait()
            shutil.rmtree(folder, ignore_errors=True)
            raise LabError(
                f"{self.target.name}: the virtual board's process did not start (status {status})",
                evidence=said,
                hint=f"try by hand: {shlex.join(argv)}",
            )
        process.stdout.close()
        self._connect(folder)

    def _insert(self) -> None:
        """Put a copy of the target's card into the slot if the card is not the one that was copied last."""
        card: Path = self.slot.path
        if not card.exists():
            raise LabError(
                f"{self.target.name}: no card image {card}", hint="deploy first: the card is made by a deploy"
            )
        now = (str(card), card.stat().st_size, card.stat().st_mtime_ns)
        if now != self._inserted and self.status()["state"] == "off":
            self._ask("insert", card=str(card.absolute()))
            self._inserted = now

    def _join(self) -> None:
        """Connect to a detached board if one runs; else this target is off."""
        try:
            self._connect(self._fixed_folder())
        except OSError:
            self._hang_up()

    def _hang_up(self) -> None:
        for end in (self._line, self._control):
            if end:
                end.close()
        self._line = self._control = self._inserted = None

    def _fixed_folder(self) -> Path:
        """Where the process of a detached board can be found again."""
        return host.cache_dir("boards") / str(self.target.name)

    def _connect(self, folder: Path) -> None:
        self._folder = folder
        self._control = socket.socket(socket.AF_UNIX)
        self._control.settimeout(ANSWER_TIMEOUT_S)
        self._control.connect(str(folder / "control"))
        self._connect_line()
        if not self.detached:
            self._ask("hold")

    def _connect_line(self) -> None:
        """Open the serial line, again if it was hung up: listen before the power comes."""
        assert self._folder is not None
        if self._line and not _hung_up(self._line):
            return
        if self._line:
            self._line.close()
        self._line = socket.socket(socket.AF_UNIX)
        self._line.connect(str(self._folder / "console"))

    def _ask(self, do: str, **more: str) -> dict[str, Any]:
        if self._control is None:
            raise LabError(f"{self.target.name}: the virtual board is not connected")
        try:
            with self._turn, self._control.makefile("rb") as answers:
                self._control.sendall(json.dumps({"do": do, **more}).encode() + b"\n")
                line = answers.readline()
        except OSError as error:
            self._hang_up()  # an answer that comes after all would be taken for that of the next question
            raise LabError(f"{self.target.name}: the virtual board's process does not answer: {error}") from error
        if not line:
            raise LabError(f"{self.target.name}: the virtual board's process is gone")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise LabError(f"{self.target.name}: {answer['error']}", evidence=answer["evidence"], hint=answer["hint"])
        return answer

    def _lost(self) -> LabError:
        try:
            words = self._ask("status")["words"]
        except LabError as error:
            return error
        return LabError(f"{self.target.name}: the serial line was hung up", evidence=words)


def _tail(path: Path) -> list[str]:
    """Return the last lines of a file that may not be there any more."""
    try:
        return path.read_text(errors="replace").splitlines()[-5:]
    except OSError:
        return []


def _hung_up(line: socket.socket) -> bool:
    """Whether the other end has closed; what still waits to be read is left there."""
    try:
        return line.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
