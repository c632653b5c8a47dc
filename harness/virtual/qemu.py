"""One QEMU process: from power-on or reset until the guest resets, powers off, or the process dies."""

import asyncio
import contextlib
import ctypes
import json
import shlex
import signal
from pathlib import Path

import attrs

from harness import host
from harness.errors import LabError
from harness.model import BoardProfile

START_TIMEOUT_S = 10.0  # QEMU answers on its monitor within 0.1 s; a loaded host gets a hundred times that
PR_SET_PDEATHSIG = 1


@attrs.frozen
class BootImage:
    """What lies in RAM when the firmware lets the Arm cores go."""

    kernel: Path
    dtb: Path
    cmdline: str
    initrd: Path | None = None
    mini_uart: bool = False
    """Whether pins 8 and 10 of the header carry the mini-UART instead of the PL011."""


@attrs.frozen
class Network:
    """A USB network adapter, in a network of its own in which the lab host is 10.0.2.2 and answers DHCP."""

    mac: str
    """The guest sees it with 40 for the first byte: QEMU gives the adapter's other end a number of its own."""
    ssh_port: int | None = None
    """Port of the loopback interface that leads to the guest's port 22."""


def command(
    board: BoardProfile,
    image: BootImage,
    *,
    card: Path | None,
    console: Path,
    network: Network | None = None,
    extra: tuple[str, ...] = (),
) -> list[str]:
    """Return QEMU's command line; the UART on pins 8 and 10 goes to the unix socket *console*, the other one nowhere.

    ``-no-reboot`` hands each guest reset back to the firmware model, which reads the card again; without it QEMU would
    restart the kernel that it has in memory, whatever lies on the card by then.
    """
    if board.qemu is None:
        raise LabError(f"QEMU has no machine for {board.name}", hint="models that it has: rpi-3-b, rpi-4-b")
    # fmt: off
    argv = [
        host.find("qemu-system-aarch64"),
        "-M", board.qemu.machine,
        "-kernel", str(image.kernel),
        "-dtb", str(image.dtb),
        "-append", image.cmdline,
        "-chardev", f"socket,id=console,path={_escape(console)}",
        "-serial", "null" if image.mini_uart else "chardev:console",
        "-serial", "chardev:console" if image.mini_uart else "null",
        "-qmp", "stdio",
        "-display", "none",
        "-no-reboot",
        "-S",  # a guest that resets before the monitor listens would go unheard
    ]
    # fmt: on
    if card:
        argv += ["-drive", f"if=sd,format=raw,file={_escape(card)}"]
    if image.initrd:
        argv += ["-initrd", str(image.initrd)]
    return [*argv, *(_adapter(network) if network else []), *extra]


def _adapter(network: Network) -> list[str]:
    forward = f",hostfwd=tcp:127.0.0.1:{network.ssh_port}-:22" if network.ssh_port else ""
    # fmt: off
    return [
        "-netdev", f"user,id=net{forward}",
        "-device", f"usb-net,netdev=net,mac={network.mac}",
    ]
    # fmt: on


class Qemu:
    """A running QEMU; ``wait`` tells how it ended."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._reason = ""
        self._said = b""
        self._running = asyncio.Event()
        self._tasks = [asyncio.create_task(self._monitor()), asyncio.create_task(self._listen())]

    @classmethod
    async def start(cls, argv: list[str]) -> "Qemu":
        """Start QEMU and return once the board runs; LabError with QEMU's own words if it does not."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=pipe, stdout=pipe, stderr=pipe, preexec_fn=_die_with_parent, start_new_session=True
        )
        self = cls(process)
        try:
            await self._until_it_runs(argv)
        except BaseException:  # a power cut in this very moment is a CancelledError
            await self.kill()
            raise
        return self

    async def _until_it_runs(self, argv: list[str]) -> None:
        process = self._process
        running, ended = asyncio.create_task(self._running.wait()), asyncio.create_task(process.wait())
        done, _ = await asyncio.wait({running, ended}, timeout=START_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        running.cancel()
        if not self._running.is_set():
            await self.kill()  # its words are complete then
            fact = f"ended with status {process.returncode}" if ended in done else f"silent for {START_TIMEOUT_S:g} s"
            raise LabError(f"QEMU did not start: {fact}", evidence=self.words, hint=f"try by hand: {shlex.join(argv)}")
        ended.cancel()

    @property
    def words(self) -> tuple[str, ...]:
        """The last lines that QEMU wrote to its standard error."""
        return tuple(self._said.decode(errors="replace").splitlines()[-5:])

    async def wait(self) -> str:
        """Wait for the end; ``guest-reset``, ``guest-shutdown``, or ``died``, when it was not the guest's doing."""
        await asyncio.gather(self._process.wait(), *self._tasks)
        return self._reason or "died"

    async def kill(self) -> None:
        """Cut the power: no goodbye to the guest."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await asyncio.gather(self._process.wait(), *self._tasks, return_exceptions=True)

    @property
    def status(self) -> int | None:
        """Exit status; None while it runs; negative = killed by that signal."""
        return self._process.returncode

    async def _monitor(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdin is not None
        self._process.stdin.write(b'{"execute": "qmp_capabilities"}\n{"execute": "cont"}\n')
        async for line in self._process.stdout:
            with contextlib.suppress(json.JSONDecodeError):
                message = json.loads(line)
                if message.get("event") == "RESUME":
                    self._running.set()
                elif message.get("event") == "SHUTDOWN":
                    self._reason = _guests(message.get("data", {}))

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self._said = (self._said + line)[-4096:]


def _guests(data: dict[str, object]) -> str:
    """Return the reason if the guest asked for it; QEMU's own end (a signal) is not the guest's doing."""
    return str(data.get("reason", "")) if data.get("guest") else ""


def _escape(path: Path) -> str:
    """Double the commas: a single one ends a value in QEMU's option syntax."""
    return str(path).replace(",", ",,")


def _die_with_parent() -> None:
    """Ask the kernel to kill this child with its parent, so that no QEMU survives a killed harness."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
