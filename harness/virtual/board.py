"""The labgrid driver of a virtual Pi: power, reset and console of a board that runs in a process of its own."""

import contextlib
import hashlib
import select
import socket
import tempfile
from pathlib import Path
from typing import Any

import attr
from labgrid.driver.common import Driver
from labgrid.driver.consoleexpectmixin import ConsoleExpectMixin
from labgrid.exceptions import NoSupplierFoundError
from labgrid.factory import target_factory
from labgrid.protocol import ConsoleProtocol, PowerProtocol, ResetProtocol
from labgrid.step import step
from pexpect import TIMEOUT

from harness import host
from harness.card.slot import CardImage
from harness.errors import LabError
from harness.virtual.netboot import Netboot
from harness.virtual.process import BoardProcess
from harness.virtual.qemu import Network


def _network(_: object, field: Any, value: Any) -> None:
    """Validate ``network``: an empty mapping, or ``{ssh: PORT}``; port 0 leads nowhere."""
    ports = value if isinstance(value, dict) else {"": ""}
    if any(key != "ssh" or type(port) is not int or not 0 <= port < 65536 for key, port in ports.items()):
        shown = dict(value) if isinstance(value, dict) else value
        raise ValueError(f"`{field.name}` must be {{}} or {{ssh: PORT}}, not {shown!r}")


def _netboot(_: object, __: Any, value: Any) -> None:
    Netboot.parse(value)


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
        network: plug a USB network adapter in (it costs boot time): ``{}``, or ``{ssh: PORT}`` to lead that TCP port of
            the loopback interface to the board's port 22
        netboot: boot by network, with an adapter and without a card: ``{server: ADDRESS, port: PORT, serial: HEX}``
            are the TFTP server's and, in quotes, the board's own
        qemu_args: further arguments for QEMU
    """

    bindings = {"slot": {CardImage, None}}  # noqa: RUF012 - labgrid's own way to say it
    own_deadline = True
    """Whoever switches it need not watch the clock: the copy of a large card may take a while, and has its limit."""
    model: str = attr.ib(default="", validator=attr.validators.instance_of(str))
    port: int | None = attr.ib(default=None, validator=attr.validators.optional(attr.validators.instance_of(int)))
    detached: bool = attr.ib(default=False, validator=attr.validators.instance_of(bool))
    network: dict[str, int] | None = attr.ib(default=None, validator=attr.validators.optional(_network))
    netboot: dict[str, Any] | None = attr.ib(default=None, validator=attr.validators.optional(_netboot))
    qemu_args: list[str] = attr.ib(factory=list, validator=attr.validators.instance_of(list))

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.slot is None and self.netboot is None:
            raise NoSupplierFoundError("binding VirtualPiDriver failed: no CardImage, and no `netboot` either")
        self.txdelay = 0.0
        self.txchunk = 1
        self._process: BoardProcess | None = None
        self._line: socket.socket | None = None
        self._inserted: tuple[str, int, int] | None = None

    # --- labgrid's life cycle -----------------------------------------------------------------------------------------
    def on_activate(self) -> None:
        """Start the board's process; of a detached board, join the one that runs, if one does."""
        if self.detached:
            self._join()
        else:
            self._start()

    def on_deactivate(self) -> None:
        """Let go of the board; unless it is detached its process ends, and with it QEMU and the copy of the card."""
        if self._process and not self.detached:
            with contextlib.suppress(LabError, OSError):
                self._ask("quit")
        self._hang_up()

    # --- power and reset ----------------------------------------------------------------------------------------------
    @Driver.check_active
    @step()
    def on(self) -> None:
        """Switch on; returns when QEMU runs. LabError with QEMU's own words when it does not."""
        if self._process is None:
            self._start()
        self._connect_line()
        self._insert()
        self._ask("on")

    @Driver.check_active
    @step()
    def off(self) -> None:
        """Cut the power; the process of a detached board ends with that."""
        if self._process is None:
            return
        self._ask("off")
        if self.detached:
            try:
                self._process.quit()  # else the next one would start in a folder that this one is about to remove
            finally:
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
        if self._process is None:
            return
        self._connect_line()
        self._ask("reset")

    @Driver.check_active
    def get(self) -> bool:
        """Return whether the power is on; a board that powered itself off still has power, as on iron."""
        return self._process is not None and self.status()["state"] != "off"

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
        self._connected(
            BoardProcess.start(
                self.target.name,
                folder,
                model=model,
                port=self.port,
                network=self._adapter(),
                netboot=self.netboot,
                qemu_args=self.qemu_args,
            )
        )

    def _adapter(self) -> Network | None:
        """Return the network adapter, with an address of its own for each target."""
        if self.network is None and self.netboot is None:
            return None
        own = hashlib.sha256(str(self.target.name).encode()).digest()[:3]
        return Network(
            ":".join(["52:54:00", *(f"{byte:02x}" for byte in own)]), (self.network or {}).get("ssh") or None
        )

    def _insert(self) -> None:
        """Put a copy of the target's card into the slot if the card is not the one that was copied last."""
        if self.netboot:
            return
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
            self._connected(BoardProcess(self.target.name, self._fixed_folder()))
        except OSError:
            self._hang_up()

    def _hang_up(self) -> None:
        for end in (self._line, self._process):
            if end:
                end.close()
        self._line = self._process = self._inserted = None

    def _fixed_folder(self) -> Path:
        """Where the process of a detached board can be found again."""
        return host.cache_dir("boards") / str(self.target.name)

    def _connected(self, process: BoardProcess) -> None:
        self._process = process
        self._connect_line()
        if not self.detached:
            self._ask("hold")

    @property
    def _folder(self) -> Path | None:
        return self._process.folder if self._process else None

    def _connect_line(self) -> None:
        """Open the serial line, again if it was hung up: listen before the power comes."""
        assert self._process is not None
        if self._line and not _hung_up(self._line):
            return
        if self._line:
            self._line.close()
        self._line = self._process.line()

    def _ask(self, do: str, **more: str) -> dict[str, Any]:
        if self._process is None:
            raise LabError(f"{self.target.name}: the virtual board is not connected")
        try:
            return self._process.ask(do, **more)
        except LabError:
            if self._process.closed:
                self._hang_up()
            raise

    def _lost(self) -> LabError:
        try:
            words = self._ask("status")["words"]
        except LabError as error:
            return error
        return LabError(f"{self.target.name}: the serial line was hung up", evidence=words)


def _hung_up(line: socket.socket) -> bool:
    """Whether the other end has closed; what still waits to be read is left there."""
    try:
        return line.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
