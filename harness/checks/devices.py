"""Every device that had a driver in the last good run has one."""

import re

ORDER = 51
INVENTORY = "devices"
# `module` points from a driver to its module; all other links there point to devices.
COMMAND = 'cd /sys/bus && find . -mindepth 4 -maxdepth 4 -path "./*/drivers/*" -type l ! -name module'

_LINK = re.compile(r"\./([^/]+)/drivers/([^/]+)/([^/]+)")
_VARYING: tuple[tuple[re.Pattern[str], str], ...] = (
    # The card chooses its address anew at each start; without an alias in the device tree, the host that comes first is
    # number 0.
    (re.compile(r"^mmc\d+:[0-9a-f]{4}"), "mmc*:*"),
    (re.compile(r"\.\d+\.auto$"), ".*.auto"),  # numbered in the order in which drivers made them
    (re.compile(r"^([0-9A-F]{4}:[0-9A-F]{4}:[0-9A-F]{4})\.[0-9A-F]{4}$"), r"\1"),  # HID counts what was ever plugged in
    (
        re.compile(r"^usb-\d{3}:\d{3}"),
        "usb-*",
    ),  # a PHY behind USB is named after the address, given in order of arrival
)


def names(output: str) -> list[str]:
    """Return ``bus/device driver`` for each device that has a driver; lines that are none of that are no devices."""
    links = (_LINK.fullmatch(line.strip()) for line in output.splitlines())
    return sorted({f"{link[1]}/{_stable(link[3])} {link[2]}" for link in links if link})


def _stable(device: str) -> str:
    for pattern, instead in _VARYING:
        device = pattern.sub(instead, device)
    return device
