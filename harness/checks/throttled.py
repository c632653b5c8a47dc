"""The supply holds: since power-on the firmware has seen no under-voltage, and slowed nothing down."""

import re

from harness.model import BoardProfile, Finding, KernelBuild
from harness.verdict.findings import finding

ORDER = 81
REQUIRES = frozenset({"throttled"})
# The firmware's own program; the file that Raspberry Pi's kernels have; and, of any kernel, whether the voltage is low.
COMMAND = (
    "{ sudo vcgencmd get_throttled 2>/dev/null | grep -F throttled=; }"
    ' || { f=/sys/devices/platform/soc/soc:firmware/get_throttled; [ -r $f ] && echo "throttled=0x$(cat $f)"; }'
    ' || { f=$(grep -ls rpi_volt /sys/class/hwmon/hwmon*/name | head -n 1); [ "$f" ]'
    ' && echo "alarm=$(cat "${f%name}in0_lcrit_alarm")"; } || echo unknown'
)
BITS = {  # https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
    0: ("under-voltage", "under-voltage now"),
    1: ("overheated", "ARM frequency capped now"),
    2: ("throttled", "throttled now"),
    3: ("overheated", "soft temperature limit now"),
    16: ("under-voltage", "under-voltage has occurred since power-on"),
    17: ("overheated", "ARM frequency was capped since power-on"),
    18: ("throttled", "was throttled since power-on"),
    19: ("overheated", "soft temperature limit was reached since power-on"),
}
"""Bit -> kind of finding, and what it says. All of them are the bench's: supply, cable, or cooling."""
_ANSWER = re.compile(r"(throttled|alarm)=(?:0x)*([0-9a-fA-F]{1,8})")


def judge(output: str, build: KernelBuild, board: BoardProfile) -> list[Finding]:
    """Object, to the bench, to each bit that is set; where nothing tells, there is nothing to object to."""
    del build
    text = output.splitlines()
    if any(line.strip() == "unknown" for line in text):
        return []
    answer = next(filter(None, (_ANSWER.fullmatch(line.strip()) for line in text)), None)
    if answer is None:
        message = f"{board.name}: get_throttled says {output.strip()[:80] or 'nothing'}"
        return [finding("odd-answer", message, fault="KERNEL", text=text)]
    value = int(answer[2], 16)
    return [
        finding(kind, f"{board.name}: {said}", fault="LAB", severity="warning", text=text)
        for bit, (kind, said) in BITS.items()
        if value >> bit & 1
    ]
