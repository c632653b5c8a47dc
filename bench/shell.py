"""What a command on the console costs: pi64's Shell and labgrid's ShellDriver, on the same line, in the same run.

Both run ``uname -m`` through labgrid's own SerialDriver, on a pty with bash behind it (``_serial.py``).
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from _common import Figure, main, median, repeats, say, scratch
from _serial import PROMPT, Line, line
from labgrid import Target
from labgrid.driver import SerialDriver, ShellDriver
from labgrid.resource import RawSerialPort

from harness.console.expect import ConsoleExpect
from harness.console.recorder import Recorder
from harness.console.shell import Shell
from harness.model import Account

COMMAND, ANSWER = "uname -m", "x86_64"
KERNEL = "[   12.345678] usb 1-1.3: new high-speed USB device number 5 using dwc_otg\\n"
BAUD = 115200


def _driver(serial: Line) -> tuple[Target, Any]:
    target = Target("bench")
    RawSerialPort(target, name=None, port=serial.port)
    return target, SerialDriver(target, name=None)


def _of_labgrid(baud: int, number: int) -> float:
    with line(baud) as serial:
        target, driver = _driver(serial)
        shell = ShellDriver(
            target, name=None, prompt=PROMPT.replace("~", "[^ ]+"), login_prompt=" login: ", username="root"
        )
        target.activate(driver)
        target.activate(shell)
        seconds = _median("labgrid", serial, number, lambda: shell.run(COMMAND)[0][0])
        target.deactivate_all_drivers()
    return seconds


def _of_pi64(baud: int, number: int, folder: Path, kernel: str = "") -> float:
    with line(baud, kernel) as serial:
        target, driver = _driver(serial)
        target.activate(driver)
        with Recorder(driver, folder) as recorder:
            shell = Shell(ConsoleExpect(recorder, driver), Account("root", ""), target="bench")
            shell.open(timeout_s=30)
            name = "pi64, a kernel line in each" if kernel else "pi64"
            seconds = _median(name, serial, number, lambda: shell.check(COMMAND))
        target.deactivate_all_drivers()
    return seconds


def _median(name: str, serial: Line, number: int, run: Callable[[], str]) -> float:
    serial.counts()
    took = []
    for _ in range(number):
        started = time.monotonic()
        assert run() == ANSWER
        took.append(time.monotonic() - started)
    down, up = serial.counts()
    slow = sorted(took)[int(number * 0.95)]
    say(
        f"{name}: median {median(took) * 1e3:.1f} ms, p95 {slow * 1e3:.1f} ms,"
        f" {down / number:.0f} bytes sent and {up / number:.0f} received a command"
    )
    return median(took)


def figures() -> Iterator[Figure]:
    """Yield the figures."""
    number = repeats(200)
    with scratch() as folder:
        for name, baud, share in (("unthrottled", 0, 1.0), (f"at {BAUD} baud", BAUD, 0.6)):
            say(f"{name}:")
            theirs = _of_labgrid(baud, number)
            ours = _of_pi64(baud, number, folder / f"{baud}")
            disturbed = _of_pi64(baud, number, folder / f"{baud}-disturbed", KERNEL)
            yield Figure(f"shell.{'paced' if baud else 'free'}", ours * 1e3, unit="ms")
            yield Figure(f"shell.{'paced' if baud else 'free'}.of_labgrid", ours / theirs, unit="x", limit=share)
            yield Figure(f"shell.{'paced' if baud else 'free'}.disturbed", disturbed / ours, unit="x", limit=2.0)


if __name__ == "__main__":
    main(figures())
