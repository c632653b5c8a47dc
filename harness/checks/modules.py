"""Every module that came by itself in the last good run has come."""

import re

ORDER = 50
INVENTORY = "modules"
TIMEOUT_S = 60.0
# At the login prompt udev may still be loading; it is asked first, for the other inventories' sake too.
COMMAND = "sudo udevadm settle --timeout=30 >/dev/null 2>&1; cat /proc/modules"
_LINE = re.compile(r"([A-Za-z0-9_]+) \d+ \d+ \S+ (?:Live|Loading|Unloading) 0x[0-9a-f]+.*")


def names(output: str) -> list[str]:
    """Return the modules that are loaded, as the kernel calls them."""
    lines = (_LINE.fullmatch(line.strip()) for line in output.splitlines())
    return sorted({line[1] for line in lines if line})
