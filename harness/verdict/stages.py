"""How far a boot came: firmware, kernel, rootfs, init, login; and how often it began again."""

import re
from collections.abc import Sequence

import attrs

from harness.model import STAGES, Finding
from harness.verdict.findings import finding
from harness.verdict.lines import clean, payload
from harness.verdict.sieve import Sieve

_MESSAGE = re.compile(r"MESS:(\d\d):(\d\d):(\d\d\.\d+)")
_BOOTING = re.compile(r"Booting Linux on (?:physical CPU|hart)")
_VERSION = re.compile(r"(?<![\w ])\s?Linux version \d+\.\S+ \(")
_HANDED_OVER = re.compile(r"(?<!boot)console \[\w+\d+\] enabled|bootconsole \[\w+\] disabled")
_BOOTCONSOLE = re.compile(r"bootconsole \[\w+\] enabled")
_CONSOLE = re.compile(r"(?<!boot)console \[(?!tty\d)\w+\] enabled")  # tty1 is the screen
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
_LITERALS_OF = {
    stage: frozenset(literal for at, literals, _ in _MARKS if at == stage for literal in literals)
    for stage in STAGES
}  # fmt: skip


@attrs.define
class Boot:
    """One boot as seen on the console."""

    first_line: int
    """1-based."""
    stages: dict[str, float] = attrs.field(factory=dict)
    """Boot stage -> seconds of its first line, on the clock of whoever feeds the tracker."""

    ended: str = ""
    """The kernel's last word when it was told to reboot or to power down."""

    bootconsole: tuple[int, str] | None = None
    """Number and text of the line with which an early console came up."""
    console: bool = False
    """Whether a console came up that stays, and is no screen."""

    @property
    def last_stage(self) -> str:
        """The furthest boot stage seen, or ``none``."""
        return next((stage for stage in reversed(STAGES) if stage in self.stages), "none")

    @property
    def early_only(self) -> Finding | None:
        """The finding when only an early console was heard, up to init and no further: programs use another one."""
        if self.console or self.bootconsole is None or self.last_stage != "init" or self.ended:
            return None
        number, line = self.bootconsole
        message = "only the early console speaks: console= names no serial port that this kernel has"
        return finding("no-console", message, fault="DEPLOY", severity="warning", first_line=number, text=[line])


def restart(number: int, line: str) -> Finding:
    """Return the finding of a board that began again with *line*: a kernel that dies without a word, or its supply."""
    message = "the board restarted, and nobody had asked for it"
    return finding("restart", message, fault="INCONCLUSIVE", severity="fatal", first_line=number, text=[line])


class StageTracker:
    """Reads a console line by line and keeps count of boots and their stages.

    It may be fed an unfinished line again when more of it has come: pass ``number`` then. Do not feed it the output of
    commands: ``dmesg`` looks like a boot. (One typed by hand is recognised.)
    """

    def __init__(self, *, first_line: int = 1) -> None:
        self.boots: list[Boot] = []
        self._number = first_line - 1
        self._passed: set[str] = set()
        """Literals of stages that this boot has reached: a line that holds no other has no news."""
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
        literals = _SIEVE.of_line(line)
        return self._take(seconds, line, literals) if literals else ()

    def feed_many(self, seconds: float, chunk: list[str], joined: str) -> None:
        """Take a few hundred lines at once, *joined* by newlines too: the same boots, many times faster."""
        base = self._number
        for index, literals in _SIEVE.of_chunk(joined).items():
            self._number = base + index + 1
            self._take(seconds, clean(chunk[index]), literals)
        self._number = base + len(chunk)

    def _take(self, seconds: float, line: str, literals: Sequence[str]) -> tuple[str, ...]:
        if self._passed.issuperset(literals):
            return ()
        if literals == ["MESS:"]:  # a dozen lines a boot
            return tuple(self._firmware(seconds, line))
        said = payload(line)[1]
        if "console [" in said:
            self._console(line, said)
        elif "reboot: " in said and self.boots and _ENDED.match(said):
            self.boots[-1].ended = said.strip()
        elif ("dmesg" in line or "journalctl" in line) and _TYPED_DMESG.search(line):
            self._replayed = self._number
        new = self._firmware(seconds, line) + self._kernel(seconds, said)
        for stage, words, mark in _MARKS:
            if stage in self.stages or not any(word in line for word in words):
                continue
            if mark.search(line) or mark.search(said):
                new += self._reach(stage, seconds)
        return tuple(new)

    def _console(self, line: str, said: str) -> None:
        if _HANDED_OVER.search(said):
            self._handed_over = self._number
        if self.boots and _CONSOLE.search(said):
            self.boots[-1].console = True
        elif self.boots and self.boots[-1].bootconsole is None and _BOOTCONSOLE.search(said):
            self.boots[-1].bootconsole = self._number, line

    def _firmware(self, seconds: float, line: str) -> list[str]:
        if self._number == self._firmware_line:  # the same line, grown
            return []
        message = _MESSAGE.search(line) if "MESS:" in line else None
        if message:
            now = int(message[1]) * 3600 + int(message[2]) * 60 + float(message[3])
            before, self._firmware_clock = self._firmware_clock, now
            # Its clock starts at zero each time; without a kernel in between, lines out of order are no new start.
            kernel = "kernel" in self.stages
            again = kernel if before is None else now <= before - (0.0 if kernel else 1.0)
        elif "RPi: BOOTLOADER release" in line:
            again, self._firmware_clock = bool(self.stages), None
        else:
            return []
        self._firmware_line = self._number
        if again or not self.boots:
            self._begin()
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
            self._begin()
        if "kernel" not in self.stages:
            self._began = self._number
        return self._reach("kernel", seconds)

    def _reach(self, stage: str, seconds: float) -> list[str]:
        if not self.boots:
            self._begin()
        if stage in self.stages:
            return []
        self._passed |= _LITERALS_OF[stage]
        self.stages[stage] = seconds
        return [stage]

    def _begin(self) -> None:
        self.boots.append(Boot(self._number))
        self._passed.clear()
