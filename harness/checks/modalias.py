"""A module that a device asks for is loaded, if it was so in the last good run."""

import re
import shlex

ORDER = 53
TIMEOUT_S = 120.0
INVENTORY = "unanswered"
MORE_IS_WORSE = True
# One modprobe for all: of a Pi's hundred devices each asks by its MODALIAS, and to start a program for each takes
# seconds. What is loaded or built in comes first, then an empty line, then what was asked for.
SCRIPT = (
    'd="/lib/modules/$(uname -r)"; { cut -d" " -f1 /proc/modules; sed "s,.*/,,;s/[.]ko.*//" "$d/modules.builtin";'
    ' echo; find /sys/devices -name modalias -exec cat {} + 2>/dev/null | sort -u | tr "\\n" "\\000"'
    " | xargs -0 -r modprobe -R -a -q 2>/dev/null; } | tr - _"
    " | awk '!NF { asked = 1; next } !asked { there[$1]; next } !($1 in there) && !told[$1]++ { print $1 }'"
)
COMMAND = f"sudo sh -c {shlex.quote(SCRIPT)}"
_NAME = re.compile(r"[A-Za-z0-9_.+]+")


def names(output: str) -> list[str]:
    """Return the modules that a device here asks for, and that are neither loaded nor built in."""
    return sorted({line.strip() for line in output.splitlines() if _NAME.fullmatch(line.strip())})
