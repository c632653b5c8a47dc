"""The kernel warns of nothing that it did not warn of in a good run before."""

import re

from harness.verdict.findings import signature

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


def names(output: str) -> list[str]:
    """Return ``level: message`` for each line of level warning and above, without numbers and addresses."""
    lines = (_LINE.fullmatch(line.strip()) for line in output.splitlines())
    said = {signature(LEVELS[int(line[1])], _PID.sub(r"\1", line[2])[:LONGEST]) for line in lines if line and line[2]}
    return sorted(said)
