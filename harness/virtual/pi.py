"""The virtual Pi as a process of its own: power switch, reset line, card slot and serial line on unix sockets.

A process, not a thread of the tests, because a board stays what it is when the one who drives it stops for breath, and
because it must end when that one is killed: it takes QEMU, and its copy of the card, with it.

In its folder: ``control`` takes one JSON object a line (``{"do": "on"}``) and answers with one; ``console`` passes the
bytes of the serial line, to everybody who listens, and drops them while nobody does, as a wire would.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import boards, host
from harness.card.copy import copy_sparse
from harness.errors import LabError, Pi64Error
from harness.model import BoardProfile
from harness.virtual import firmware, qemu
from harness.virtual.netboot import Netboot

TELNET = re.compile(rb"\xff(?:[\xfb-\xfe].|\xfa.*?\xff\xf0)", re.DOTALL)  # RFC 854: options, subnegotiations
UNREAD_LIMIT = 16 * 2**20  # bytes; a listener this far behind is gone
TRYBOOT = re.compile(rb"reboot: Restarting system with command '[^'\r\n]* tryboot[^'\r\n]*'\s*\Z")
LAST_WORDS = 256  # bytes before a reset in which that line is looked for
LAST_WORDS_S = 2.0  # QEMU is dead then: what is left in the socket comes at once


class Serial:
    """The serial line: one board at one end, any number of listeners at the other."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.StreamWriter] = set()
        self._board: asyncio.StreamWriter | None = None
        self._tail = b""
        self.opened = asyncio.Event()
        self.closed = asyncio.Event()

    async def listener(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one listener until it hangs up; what it sends is typed."""
        await self._serve(reader, writer, bytes)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, typed: Callable[[bytes], bytes]
    ) -> None:
        self._listeners.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while data := await reader.read(4096):
                if self._board:
                    self._board.write(typed(data))
                    await self._board.drain()
        self._listeners.discard(writer)
        writer.close()

    async def caller(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a listener on TCP: labgrid-client calls microcom, which speaks telnet; its options are not typed."""
        await self._serve(reader, writer, lambda data: TELNET.sub(b"", data))

    async def board(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve the board's end: QEMU connects anew at each boot."""
        self._board, self._tail = writer, b""
        self.opened.set()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while data := await reader.read(65536):
                self._tail = (self._tail + data)[-LAST_WORDS:]
                self.say(data)
        self._board = None
        self.closed.set()
        writer.close()

    async def asked_for_tryboot(self) -> bool:
        """Tell whether a board that has just been reset said, as its last word, ``reboot '0 tryboot'``.

        On iron the kernel tells the firmware so through the mailbox, which Raspberry Pi's own kernels do and a mainline
        one does not; this line every kernel prints, at a level that no console drops.
        """
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.closed.wait(), LAST_WORDS_S)
        return bool(TRYBOOT.search(self._tail))

    def say(self, data: bytes) -> None:
        """Send *data* to all who listen."""
        for writer in tuple(self._listeners):
            if writer.transport.get_write_buffer_size() > UNREAD_LIMIT:
                self._listeners.discard(writer)
                writer.transport.abort()
            else:
                writer.write(data)

    def hang_up(self) -> None:
        """Close every listener's connection: the only way to tell them that the line is dead."""
        for writer in tuple(self._listeners):
            writer.close()
        self._listeners.clear()


class Pi:
    """One board: ``off``, ``running``, ``halted`` (powered, not running) or ``dead`` (QEMU ended by itself)."""

    def __init__(
        self,
        board: BoardProfile,
        folder: Path,
        *,
        network: qemu.Network | None = None,
        netboot: Netboot | None = None,
        extra: tuple[str, ...] = (),
    ) -> None:
        self.serial = Serial()
        self.state = "off"
        self.words: tuple[str, ...] = ()
        self.boots = 0
        self._profile = board
        self._folder = folder
        self._network = network
        self._netboot = netboot
        self._extra = extra
        self._card: int | None = None
        self._qemu: qemu.Qemu | None = None
        self._life: asyncio.Task[None] | None = None
        self._death = asyncio.Event()  # of the life to come, or of the one that is

    def insert(self, card: Path) -> None:
        """Put a copy of *card* into the slot; the file itself is never written to."""
        if self.state != "off":
            raise LabError("the card cannot be changed while the board is on")
        self._eject()
        host.need_space(card.parent, card.stat().st_blocks * 512, "a run's copy of the card")
        with tempfile.TemporaryDirectory(prefix=".card-", dir=card.parent) as beside:
            copy = Path(beside, "card.img")
            copy_sparse(card, copy)
            self._card = os.open(copy, os.O_RDWR)  # nameless from here on: it ends with this process, whatever kills it

    @property
    def card(self) -> Path:
        """Where the card in the slot can be opened."""
        if self._card is None:
            raise LabError("no card in the slot", hint="deploy first: the card is made by a deploy")
        return Path(f"/proc/{os.getpid()}/fd/{self._card}")

    async def on(self) -> None:
        """Switch the power on; returns when QEMU runs or the firmware has given up."""
        if self.state == "off":
            started = asyncio.get_running_loop().create_future()
            self._life = asyncio.create_task(self._live(started))
            await started

    async def off(self) -> None:
        """Cut the power."""
        if self._life:
            self._life.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._life
        self._life, self.state, self.words = None, "off", ()

    async def reset(self) -> None:
        """Pull the RUN pin low: a restart with the power left on."""
        if self.state != "off":
            await self.off()
            await self.on()

    async def close(self) -> None:
        """Power off and let the card go."""
        await self.off()
        self._eject()

    async def death(self) -> None:
        """Wait until the running board, or else one that runs later, dies: not of a power cut."""
        await self._death.wait()

    async def _live(self, started: asyncio.Future[None]) -> None:
        """Boot, and boot again after each reset of the guest's, until it powers off."""
        try:
            reason, tryboot = "guest-reset", False
            while reason == "guest-reset":
                reason = await self._boot_once(started, tryboot=tryboot)
                tryboot = reason == "guest-reset" and await self.serial.asked_for_tryboot()  # for the next start only
            self.state = "dead" if reason == "died" else "halted"
            if self.state == "dead":
                self._hang_up()
        except (Pi64Error, OSError) as error:
            self._die(started, error if isinstance(error, Pi64Error) else LabError(f"the virtual board: {error}"))
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not leave somebody waiting for an answer
            self._die(started, LabError(f"the virtual board's own code failed: {error!r}"))
        finally:
            if self._qemu:
                await self._qemu.kill()
                self._qemu = None

    def _die(self, started: asyncio.Future[None], error: Pi64Error) -> None:
        self.state = "dead"
        self.words = (error.message, *error.evidence)
        if started.done():
            self._hang_up()
        else:
            started.set_exception(error)

    def _hang_up(self) -> None:
        self.serial.hang_up()
        self._death.set()
        self._death = asyncio.Event()

    async def _boot_once(self, started: asyncio.Future[None], *, tryboot: bool) -> str:
        self.boots += 1
        card = None if self._netboot else self.card
        loaded = await asyncio.to_thread(self._load, card, tryboot=tryboot)
        self.serial.say("".join(f"{line}\r\n" for line in loaded.lines).encode())
        if loaded.image is None:
            self.state = "halted"
            _done(started)
            return "nothing-to-boot"
        line = self._folder / "uart"
        argv = qemu.command(
            self._profile, loaded.image, card=card, console=line, network=self._network, extra=self._extra
        )
        self.serial.opened.clear()
        self.serial.closed.clear()
        self._qemu = await qemu.Qemu.start(argv)
        self.state = "running"
        _done(started)
        reason = await self._qemu.wait()
        self.words = (f"QEMU ended by itself, status {self._qemu.status}", *self._qemu.words)
        return reason

    def _load(self, card: Path | None, *, tryboot: bool) -> firmware.Started:
        if card:
            return firmware.load(card, self._profile, self._folder, tryboot=tryboot)
        assert self._netboot is not None
        return firmware.load_by_network(self._netboot, self._profile, self._folder, tryboot=tryboot)

    def _eject(self) -> None:
        if self._card is not None:
            os.close(self._card)
            self._card = None


class Control:
    """The control socket: JSON lines in, JSON lines out."""

    def __init__(self, pi: Pi) -> None:
        self._pi = pi
        self.quit = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection; one that said ``hold`` takes the board down with it."""
        held = False
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while line := await reader.readline():
                request = json.loads(line)
                held = held or request["do"] == "hold"
                writer.write(json.dumps(await self._answer(request)).encode() + b"\n")
                await writer.drain()
        writer.close()
        if held:
            self.quit.set()

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            match request["do"]:
                case "on":
                    await self._pi.on()
                case "off":
                    await self._pi.off()
                case "reset":
                    await self._pi.reset()
                case "insert":
                    await asyncio.to_thread(self._pi.insert, Path(request["card"]))
                case "death":
                    await self._pi.death()
                case "quit":
                    self.quit.set()
        except Pi64Error as error:
            return {"error": error.message, "evidence": error.evidence, "hint": error.hint}
        except OSError as error:
            return {"error": str(error), "evidence": [], "hint": ""}
        return {"state": self._pi.state, "words": self._pi.words, "boots": self._pi.boots}


async def serve(pi: Pi, folder: Path, *, port: int | None) -> None:
    """Serve *pi* in *folder* until it is told to quit, its holder hangs up, or SIGTERM; then power off."""
    control = Control(pi)
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, control.quit.set)
    servers = [
        await asyncio.start_unix_server(control.serve, folder / "control"),
        await asyncio.start_unix_server(pi.serial.listener, folder / "console"),
        await asyncio.start_unix_server(pi.serial.board, folder / "uart"),
    ]
    if port is not None:
        servers.append(await asyncio.start_server(pi.serial.caller, "127.0.0.1", port))
    print("ready", flush=True)  # noqa: T201 - the one line that whoever started this process waits for
    try:
        await control.quit.wait()
    finally:
        await pi.close()
        for server in servers:
            server.close()


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def main() -> None:
    """Run one virtual Pi: ``python -m harness.virtual.pi --model rpi-3-b --folder DIR``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--port", type=int, help="serve the serial line on this TCP port of the loopback interface too")
    parser.add_argument("--mac", help="plug in a USB network adapter with this address")
    parser.add_argument("--ssh-port", type=int, help="lead this TCP port of the loopback interface to its port 22")
    parser.add_argument("--netboot", type=json.loads, help="boot by network: JSON with server, port and serial")
    parser.add_argument("--qemu-arg", action="append", default=[])
    args = parser.parse_args()
    network = qemu.Network(args.mac, args.ssh_port) if args.mac else None
    try:
        netboot = Netboot.parse(args.netboot) if args.netboot else None
        pi = Pi(boards.load(args.model), args.folder, network=network, netboot=netboot, extra=tuple(args.qemu_arg))
        asyncio.run(serve(pi, args.folder, port=args.port))
    except Pi64Error as error:
        sys.exit(str(error))
    finally:
        shutil.rmtree(args.folder, ignore_errors=True)


if __name__ == "__main__":
    main()
