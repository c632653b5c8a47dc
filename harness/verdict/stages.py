"""How far a boot came: firmware, kernel, rootfs, init, login; and how often it began again."""

import re

import attrs

from harness.model import STAGES
from harness.verdict.lines import clean, payload
from harness.verdict.sieve import Sieve

_MESSAGE = re.compile(r"MESS:(\d\d):(\d\d):(\d\d\.\d+)")
_BOOTING = re.compile(r"Booting Linux on (?:physical CPU|hart)")
_VERSION = re.compile(r"(?<![\w ])\s?Linux version \d+\.\S+ \(")
_HANDED_OVER = re.compile(r"(?<!boot)console \[\w+\d+\] enabled|bootconsole \[\w+\] disabled")
_ENDED = re.compile(r"reboot: (?:Restarting system|Power down|System halted)")
_TYPED_DMESG = re.compile(r"\bdmesg\b|journalctl")
# fmt: off
_MARKS = (
    ("rootfs", ("Mounted root", "mounted filesystem"),
     re.compile(r"VFS: Mounted root|EXT4-fs \(\S+\): mounted filesystem")),
    ("init", ("as init process", "systemd[1]: ", "INIT: version", "init started"),
     re.compile(r"Run \S+ as init process|^(?:\S* )?systemd\[1\]: |^INIT: version |^init started: BusyBox")),
    ("login", ("login:",),
     re.compile(r"(?:^|\r)\s*(?!(?:Last|last|Login|Incorrect)\b)[\w.()-]*\s?login:(?=\s|\[|<|$)")),
    ("login", (":~$", ":~#"),  # a shell, logged in already
     re.compile(r"(?:^|\r)[\w-]+@[\w.-]+:~[$#](?: |$)")),
)
# fmt: on
LITERALS = (
    "RPi: BOOTLOADER",
    "MESS:",
    "Booting Linux on",
    "Linux version",
    "console [",
    "dmesg",
    "journalctl",
    "reboot: ",
    *(literal for _, literals, _ in _MARKS for literal in literals),
)  # fmt: skip
"""Each line that means something here holds one of these."""

_SIEVE = Sieve(LITERALS)


@attrs.define
class Boot:
    """One boot as seen on the console."""

    first_line: int
    """1-based."""
    stages: dict[str, float] = attrs.field(factory=dict)
    """Boot stage -> seconds of its first line, on the clock of whoever feeds the tracker."""

    ended: str = ""
    """The kernel's last word when it was told to reboot or to power down."""

    @property
    def last_stage(self) -> str:
        """The furthest boot stage seen, or ``none``."""
        return next((stage for stage in reversed(STAGES) if stage in self.stages), "none")


class StageTracker:
    """Reads a console line by line and keeps count of boots and their stages.

    It may be fed an unfinished line again when more of it has come: pass ``number`` then. Do not feed it the output of
    commands: ``dmesg`` looks like a boot. (One typed by hand is recognised.)
    """

    def __init__(self, *, first_line: int = 1) -> None:
        self.boots: list[Boot] = []
        self._number = first_line - 1
        self._firmware_clock: float | None = None
        self._firmware_line = self._kernel_line = -1
        self._handed_over = self._replayed = self._began = -(10**9)  # line numbers; long ago

    @property
    def stages(self) -> dict[str, float]:
        """Stages of the boot that runs now."""
        return self.boots[-1].stages if self.boots else {}

    @property
    def last_stage(self) -> str:
        """The furthest stage of the boot that runs now, or ``none``."""
        return self.boots[-1].last_stage if self.boots else "none"

    @property
    def banners(self) -> int:
        """How many boots reached a kernel: 2 where one was expected is a boot loop."""
        return sum("kernel" in boot.stages for boot in self.boots)

    def feed(self, seconds: float, line: str, *, number: int | None = None) -> tuple[str, ...]:
        """Take a line that came at *seconds*; return the stages it shows for the first time in this boot.

        *number* is the line's 1-based number where lines are skipped, or fed twice because they grew.
        """
        self._number = self._number + 1 if number is None else number
        line = clean(line)
        return self._take(seconds, line) if _SIEVE.of_line(line) else ()

    def _take(self, seconds: float, line: str) -> tuple[str, ...]:
        said = payload(line)[1]
        if "console [" in said and _HANDED_OVER.search(said):
            self._handed_over = self._number
        elif "reboot: " in said and self.boots and _ENDED.match(said):
            self.boots[-1].ended = said.strip()
        elif _TYPED_DMESG.search(line):
            self._replayed = self._number
        new = self._firmware(seconds, line) + self._kernel(seconds, said)
        for stage, literals, mark in _MARKS:
            if stage in self.stages or not any(literal in line for literal in literals):
                continue
            if mark.search(line) or mark.search(said):
                new += self._reach(stage, seconds)
        return tuple(new)

    def _firmware(self, seconds: float, line: str) -> list[str]:
        if self._number == self._firmware_line:  # the same line, grown
            return []
        message = _MESSAGE.search(line) if "MESS:" in line else None
        if message:
            now = int(message[1]) * 3600 + int(message[2]) * 60 + float(message[3])
            before, self._firmware_clock = self._firmware_clock, now
            again = "kernel" in self.stages and (before is None or now <= before)  # its clock starts at zero each time
        elif "RPi: BOOTLOADER release" in line:
            again, self._firmware_clock = bool(self.stages), None
        else:
            return []
        self._firmware_line = self._number
        if again or not self.boots:
            self.boots.append(Boot(self._number))
        return self._reach("firmware", seconds)

    def _kernel(self, seconds: float, said: str) -> list[str]:
        if "Linux" not in said:
            return []
        booting = _BOOTING.search(said)
        if not booting and not _VERSION.search(said):
            return []
        # When a console other than the last one named is registered, printk prints everything again on it.
        replay = self._number - self._handed_over <= 4 or self._number - self._replayed <= 3
        grown = self._number == self._kernel_line
        self._kernel_line = self._number
        again = "kernel" in self.stages and not replay and not grown and (booting or self._began < self._number - 4)
        if again or not self.boots:
            self.boots.append(Boot(self._number))
        if "kernel" not in self.stages:
            self._began = self._number
        return self._reach("kernel", seconds)

    def _reach(self, stage: str, seconds: float) -> list[str]:
        if not self.boots:
            self.boots.append(Boot(self._number))
        if stage in self.stages:
            return []
        self.stages[stage] = seconds
        return [stage]
