"""Faults for `verdicts.py`: a virtual Pi whose bench breaks at a given word of the console, and a clock for the answer.

Loaded twice by name: by pytest (``-p _faults``), whose reports it times, and by lab.yaml (``imports: [_faults]``), for
the driver. What it strikes belongs to its own board: the QEMU of its own folder, its own serial line.
"""

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attr
import pytest
from labgrid.factory import target_factory
from pexpect import TIMEOUT

from harness.virtual.board import VirtualPiDriver

MARKS = "PI64_FAULT_MARKS"
"""Environment variable: the file that gets seconds on CLOCK_MONOTONIC, by name: ``on``, ``fault``, ``known``."""
DISK = "PI64_FAULT_DISK"
"""Environment variable: the folder of runs, on a disk of its own that may be filled."""
TAIL = 4096  # bytes looked back for the word
BAUD_RATIO = 400 / 250  # a mini-UART whose core clock is 400 MHz where the divisor was made for 250 MHz


def mark(name: str, path: Path | None = None) -> None:
    """Note in *path*, by default the one in the environment, when *name* happened for the first time."""
    path = path or Path(os.environ[MARKS])
    known: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({name: time.monotonic()} | known))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """The first test that ends badly, or is to be repeated, is the moment from which somebody at the terminal knows."""
    if report.outcome not in {"passed", "skipped"} and MARKS in os.environ:
        mark("known")


@target_factory.reg_driver
@attr.s(eq=False)
class FaultyPiDriver(VirtualPiDriver):
    """A virtual Pi that breaks when its console says *at*.

    Args:
        at: text on the console at which the fault strikes, at every power-on anew
        fault: what breaks, a key of ``FAULTS``; empty: nothing does
        monitor: path of a unix socket on which QEMU takes commands (QMP)
        times: after so many strikes the bench is whole again; 0: never
        stuck: the power relay sticks: ``off`` says that it cut, and does not
    """

    at: str = attr.ib(default="", validator=attr.validators.instance_of(str))
    fault: str = attr.ib(default="", validator=attr.validators.instance_of(str))
    monitor: str = attr.ib(default="", validator=attr.validators.instance_of(str))
    times: int = attr.ib(default=0, validator=attr.validators.instance_of(int))
    stuck: bool = attr.ib(default=False, validator=attr.validators.instance_of(bool))

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self._tail, self._struck, self._strikes = b"", False, 0
        if self.monitor:
            self.qemu_args = [*self.qemu_args, "-qmp", f"unix:{self.monitor},server=on,wait=off"]

    def on(self) -> None:
        """Switch on, whole again."""
        if not self.stuck:
            self._tail, self._struck = b"", False
        mark("on")
        super().on()

    def off(self) -> None:
        """Cut the power, or claim to."""
        if not self.stuck:
            super().off()

    def _read(self, size: int = 1, timeout: float = 0.0, max_size: int | None = None) -> bytes:
        data = super()._read(size, timeout, max_size)
        spoilt = self._struck or not self.at
        if self.fault and not self._struck and (not self.times or self._strikes < self.times):
            self._tail = (self._tail + data)[-TAIL:]
            if self.at.encode() in self._tail:
                self._struck, self._strikes = True, self._strikes + 1
                mark("fault")
                FAULTS[self.fault](self)
        if self._struck and spoilt and self.fault in SPOILS:
            data = SPOILS[self.fault](data)
        if not data:
            time.sleep(timeout)  # a line on which nothing is heard is no line that is lost
            raise TIMEOUT("nothing is heard")
        return data


# --- what breaks -----------------------------------------------------------------------------------------------------
def _kill(board: FaultyPiDriver) -> None:
    """End the QEMU that has this board's serial line on its command line, as a segmentation fault would."""
    line = f"path={board._folder}/uart".encode()  # noqa: SLF001 - a fault reaches where nobody else may
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            argv = (folder / "cmdline").read_bytes().split(b"\0")
            if b"qemu" in argv[0] and any(line in arg for arg in argv):
                os.kill(int(folder.name), signal.SIGSEGV)


def _hang_up(board: FaultyPiDriver) -> None:
    """Close the serial line as an adapter does that is unplugged."""
    if board._line:  # noqa: SLF001
        board._line.shutdown(socket.SHUT_RDWR)  # noqa: SLF001


def _eject(board: FaultyPiDriver) -> None:
    """Take the card out of the slot."""
    _monitor(board, {"execute": "eject", "arguments": {"device": "sd0", "force": True}})


def _stop(board: FaultyPiDriver) -> None:
    """Stop all processors: a board that hangs, with the power on."""
    _monitor(board, {"execute": "stop"})


def _fill(_: FaultyPiDriver) -> None:
    """Fill the disk on which the records of runs lie, to the last byte."""
    with Path(os.environ[DISK], "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        for size in (65536, 512, 1):
            with contextlib.suppress(OSError):
                while True:
                    ballast.write(b"\0" * size)


def _monitor(board: FaultyPiDriver, command: dict[str, Any]) -> None:
    with socket.socket(socket.AF_UNIX) as line, line.makefile("rwb") as both:
        line.connect(board.monitor)
        for request in ({"execute": "qmp_capabilities"}, command):
            both.readline()  # the greeting, and the first answer
            both.write(json.dumps(request).encode() + b"\n")
            both.flush()
        both.readline()


def _resample(data: bytes) -> bytes:
    """Return what a receiver hears at its own baud rate when the sender's is ``BAUD_RATIO`` times as high.

    Eight bits, no parity, one stop bit; the line is idle between two calls.
    """
    bits = [bit for byte in data for bit in (0, *((byte >> place) & 1 for place in range(8)), 1)] + [1] * 20
    heard, at = bytearray(), 0.0
    while int(at) < len(bits) - 20:
        if bits[int(at)]:  # idle: look for the next start bit
            at = int(at) + 1.0
            continue
        middle = [at + (place + 1.5) * BAUD_RATIO for place in range(8)]
        heard.append(sum(bits[min(int(when), len(bits) - 1)] << place for place, when in enumerate(middle)))
        at += 9.5 * BAUD_RATIO
    return bytes(heard)


FAULTS: dict[str, Callable[[FaultyPiDriver], None]] = {
    "qemu-killed": _kill,
    "hung-up": _hang_up,
    "card-ejected": _eject,
    "stopped": _stop,
    "disk-full": _fill,
    "wrong-baud": lambda _: None,
    "silent": lambda _: None,
}
SPOILS: dict[str, Callable[[bytes], bytes]] = {"wrong-baud": _resample, "silent": lambda _: b""}
"""What the line makes of the bytes from then on."""
