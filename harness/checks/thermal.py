"""The board knows how warm it is, and it is not too warm."""

import re

from harness.model import BoardProfile, Finding, KernelBuild
from harness.verdict.findings import finding

ORDER = 80
REQUIRES = frozenset({"thermal"})
COMMAND = "cat /sys/class/thermal/thermal_zone*/temp 2>&1 || true"
COLDEST, HOTTEST = -20.0, 120.0  # °C; what is outside was not measured. The firmware switches off long before
THROTTLES = 80.0  # °C; from here on the firmware slows the cores down
# https://www.raspberrypi.com/documentation/computers/raspberry-pi.html#frequency-management-and-thermal-control


def judge(output: str, build: KernelBuild, board: BoardProfile) -> list[Finding]:
    """Object to no thermal zone, to a temperature that cannot be, and, to the bench, to one that is too high."""
    del build
    zones = [line.strip() for line in output.splitlines()]
    told = [int(zone) / 1000 for zone in zones if re.fullmatch(r"-?\d{1,9}", zone)]
    if not told:
        return [finding("no-temperature", f"{board.name} has no thermal zone that answers", fault="KERNEL", text=zones)]
    odd = [degrees for degrees in told if not COLDEST < degrees < HOTTEST]
    hot = [degrees for degrees in told if THROTTLES <= degrees < HOTTEST]
    return [
        *(finding("odd-temperature", f"{one:g} °C is no temperature", fault="KERNEL", text=zones) for one in odd),
        *(finding("overheated", f"{one:g} °C: the cores are slowed down", fault="LAB", text=zones) for one in hot),
    ]
