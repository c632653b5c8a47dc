"""The kernel's command line as ``cmdline.txt`` holds it: one line of parameters, edited by value.

Source: https://www.raspberrypi.com/documentation/computers/configuration.html (UARTs, ``serial0``) and
Documentation/admin-guide/kernel-parameters.rst of the kernel.
"""

import re
from collections.abc import Collection, Mapping, Sequence

from harness.errors import ConfigError
from harness.model import BoardProfile

LENGTH_LIMIT = 2047  # characters; arm64's COMMAND_LINE_SIZE is 2048 with the closing zero
SERIAL_CONSOLE = "console=serial0,115200"
QUIETING = ("quiet", "splash")  # parameters that hide the boot from the console

PL011_OVERLAYS = frozenset({"disable-bt", "miniuart-bt", "pi3-disable-bt", "pi3-miniuart-bt"})
"""Overlays that take the PL011 from Bluetooth and put it on the header's pins 8 and 10."""


def first_line(text: str) -> str:
    """Return what the firmware reads of a cmdline.txt: its first line."""
    return text.replace("\0", "").replace("\r", "\n").lstrip("\n").partition("\n")[0].strip()


def split(line: str) -> list[str]:
    """Return the parameters of *line*; blanks inside double quotes belong to the parameter, as for the kernel.

    A quote left open reaches to the end, as for the kernel; it is closed here, lest what is put behind falls into it.
    """
    closed = line + '"' * (line.count('"') % 2)
    return re.findall(r'(?:"[^"]*"|[^\s"])+', closed)


def join(parameters: Sequence[str]) -> str:
    """Return *parameters* as one line; ConfigError when the kernel would cut it."""
    line = " ".join(parameters)
    if len(line) > LENGTH_LIMIT:
        raise ConfigError(
            f"cmdline.txt: {len(line)} characters, the kernel reads {LENGTH_LIMIT}", hint="leave out what is not needed"
        )
    return line


def key(parameter: str) -> str:
    """Return the name of a parameter: ``root`` of ``root=/dev/sda``."""
    return parameter.partition("=")[0]


def get(parameters: Sequence[str], name: str) -> str | None:
    """Return the value of the last parameter *name*, which is the one that counts; None if there is none."""
    values = [parameter.partition("=")[2] for parameter in parameters if key(parameter) == name]
    return values[-1] if values else None


def remove(parameters: Sequence[str], *names: str) -> list[str]:
    """Return *parameters* without those called one of *names*."""
    return [parameter for parameter in parameters if key(parameter) not in names]


def put(parameters: Sequence[str], parameter: str) -> list[str]:
    """Return *parameters* with *parameter* in the place of the one of its name, else at the end.

    Several ``console=`` may stand beside one another: each names a device, so only the same device is replaced, and the
    new one goes to the end, because the last one becomes /dev/console.
    """
    if key(parameter) == "console":
        device = _device(parameter)
        return [old for old in parameters if key(old) != "console" or _device(old) != device] + [parameter]
    places = [index for index, old in enumerate(parameters) if key(old) == key(parameter)]
    if not places:
        return [*parameters, parameter]
    return [
        parameter if index == places[0] else old
        for index, old in enumerate(parameters)
        if index == places[0] or index not in places
    ]


def serial_names(board: BoardProfile, overlays: Collection[str] = ()) -> dict[str, str]:
    """Return what ``serial0`` (header pins 8 and 10) and ``serial1`` are called in a Raspberry Pi kernel.

    *overlays* are the names given with ``dtoverlay=``. A mainline DTB numbers the mini-UART ttyS1 instead.
    """
    mini_uart = board.mini_uart_primary and not PL011_OVERLAYS.intersection(overlays)
    primary, secondary = ("ttyS0", "ttyAMA0") if mini_uart else ("ttyAMA0", "ttyS0")
    return {"serial0": primary, "serial1": secondary}


def uart_enabled(board: BoardProfile, overlays: Collection[str] = (), *, enable_uart: bool | None = None) -> bool:
    """Tell whether the primary UART works: the setting, or else only if it is the PL011, whose clock is its own."""
    return serial_names(board, overlays)["serial0"] == "ttyAMA0" if enable_uart is None else enable_uart


def replace_serial(line: str, names: Mapping[str, str]) -> str:
    """Return *line* with serial0 and serial1 of each ``console=`` (and kgdboc=) replaced by *names*."""
    return re.sub(
        r"(?<!\S)(console=|kgdboc=)(serial[01])(?=[,\s]|$)",
        lambda found: found[1] + names.get(found[2], found[2]),
        line,
    )


def as_started(
    line: str, board: BoardProfile, *, overlays: Collection[str] = (), enable_uart: bool | None = None
) -> str:
    """Return the command line the kernel gets: the firmware's own parameters first, then *line* with real names.

    Without ``8250.nr_uarts=1`` a Raspberry Pi kernel makes no mini-UART device at all.
    """
    mini_uart = serial_names(board, overlays)["serial0"] == "ttyS0"
    bluetooth = not mini_uart and any("miniuart-bt" in name for name in overlays)
    wanted = bluetooth or (mini_uart and uart_enabled(board, overlays, enable_uart=enable_uart))
    return f"8250.nr_uarts={int(wanted)} {replace_serial(line, serial_names(board, overlays))}".rstrip()


def for_lab(line: str, *, root: str | None = None, extra: Sequence[str] = ()) -> str:
    """Return *line* as the lab wants it: audible, with the serial console last, so that it is /dev/console.

    *root* replaces ``root=``; *extra* parameters replace those of the same name; a ``console=`` among them goes behind
    ours. Everything else of the stock line stays, ``init=`` included.
    """
    wanted = split(" ".join([*([] if root is None else [f"root={root}"]), *extra]))
    consoles = [parameter for parameter in wanted if key(parameter) == "console"]
    parameters = remove(split(line), *QUIETING)
    for parameter in [*remove(wanted, "console"), SERIAL_CONSOLE, *consoles]:
        parameters = put(parameters, parameter)
    return join(parameters)


def _device(console: str) -> str:
    """Return the device of ``console=ttyS0,115200``."""
    return console.partition("=")[2].partition(",")[0]
