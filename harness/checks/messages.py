"""The kernel warns of nothing that it did not warn of in a good run before."""

import re

from harness.verdict.findings import scan, signature

ORDER = 52
INVENTORY = "messages"
MORE_IS_WORSE = True
# Raw, for the level; without it `dmesg` is the same everywhere. What systemd and others write there has a facility,
# and with it a number above 7.
COMMAND = "o=$(sudo dmesg -r) && { printf '%s\\n' \"$o\" | grep '^<[0-4]>' || [ $? = 1 ]; }"
LEVELS = ("emerg", "alert", "crit", "err", "warn")
LONGEST = 200  # characters of a message; a line may come from a device's own descriptor, and be of any length
_LINE = re.compile(r"<([0-4])>(?:\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? ?)?(.*)")
_PID = re.compile(r"\b(\S{1,15})\[\d+\]")
_PASSING = re.compile(
    r"Volume was not properly unmounted"  # the power was cut; that is our trade
    r"|interrupt took (?:too long|\d+ ns)|hogged CPU for|RT throttling activated|callbacks suppressed"
    r"|missed due to ratelimiting"
)
"""What comes of how the board was treated, and of how busy it or its lab host was at that moment."""


def names(output: str) -> list[str]:
    """Return ``level: message`` for each line of level warning and above, without numbers and addresses.

    What is known to be the bench's doing (low voltage, a bad card) is left to those who blame it for that.
    """
    lines = (_LINE.fullmatch(line.strip()) for line in output.splitlines())
    kernels = (line for line in lines if line and line[2] and not _of_the_bench(line[2]))
    return sorted({signature(LEVELS[int(line[1])], _PID.sub(r"\1", line[2])[:LONGEST]) for line in kernels})


def _of_the_bench(said: str) -> bool:
    return bool(_PASSING.search(said[:LONGEST])) or any(found.fault == "LAB" for found in scan([said]))
