"""Whether a board can start another kernel for one boot only (``tryboot``), judged by what its system says of itself.

After ``reboot '0 tryboot'`` the firmware reads tryboot.txt instead of config.txt, once: a kernel that hangs is gone
after a power cycle. The wish goes from the kernel to the firmware through the mailbox, on a Pi 4 by way of its EEPROM.

Source: drivers/firmware/raspberrypi.c of Raspberry Pi's kernel (mainline's does not pass it on), the release notes of
rpi-eeprom, and the documentation of ``tryboot`` and of the device tree's ``/chosen/bootloader``.
"""

import re
from collections.abc import Callable

import attrs

from harness.bootfs import config_txt

TRYBOOT = "tryboot.txt"
FIRMWARE_SINCE = "2020-12-01"  # start*.elf; the kernel's side of it is of 2020-10-20
EEPROM_SINCE = "2021-04-19"  # bootloader of a Pi 4: its release notes
KERNEL_SINCE = (5, 10)  # the first series that passes it on from its first release
EEPROM_SOC = "brcm,bcm2711"
VIRTUAL = "(QEMU "  # in the model that pi64's own firmware gives a virtual board

_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"
_SPELT = re.compile(r"^([A-Z][a-z]{2}) +(\d{1,2}) (20\d\d) \d", re.MULTILINE)
_NUMBERS = re.compile(r"^(20\d\d)/(\d\d)/(\d\d) \d", re.MULTILINE)


@attrs.frozen
class Facts:
    """What was read from a running board; empty where it has no such thing."""

    model: str
    """``/proc/device-tree/model``."""
    compatible: str
    """``/proc/device-tree/compatible``, its texts separated by blanks."""
    kernel: str
    """Release of the kernel that runs."""
    mailbox: bool
    """Whether there is ``/dev/vcio``, which only Raspberry Pi's own kernels have."""
    vcmailbox: bool
    """Whether there is the program that speaks through it."""
    flag: bool
    """Whether the firmware left ``/chosen/bootloader/tryboot`` in the device tree, as one that knows of it does."""
    firmware: str
    """What ``vcgencmd version`` says."""
    bootloader: str
    """What ``vcgencmd bootloader_version`` says; on a Pi 3 an error."""
    autoboot: str
    """``autoboot.txt`` of the boot partition."""


@attrs.frozen
class Answer:
    """Whether a kernel can be tried for one boot, and why not, or how that is known."""

    possible: bool
    reason: str
    by_kernel: bool = False
    """Whether it is only for the kernel that runs: from below another one it may be possible."""


def judge(facts: Facts) -> Answer:
    """Return the answer of the first rule that has one."""
    return next(answer for rule in RULES if (answer := rule(facts)))


def firmware_date(said: str) -> str:
    """Return the ISO date in the words of ``vcgencmd version`` or ``bootloader_version``; empty when none is there."""
    if found := _NUMBERS.search(said):
        return "-".join(found.groups())
    found = _SPELT.search(said)
    if found is None or found[1] not in _MONTHS:
        return ""
    return f"{found[3]}-{_MONTHS.index(found[1]) // 4 + 1:02}-{int(found[2]):02}"


# --- the rules, first that has an answer -----------------------------------------------------------------------------
def _virtual(facts: Facts) -> Answer | None:
    told = "a virtual board's firmware reads the wish off the console, whatever the kernel"
    return Answer(True, told) if VIRTUAL in facts.model else None


def _raspberry(facts: Facts) -> Answer | None:
    told = f"not a Raspberry Pi: /proc/device-tree/model says `{facts.model or 'nothing'}`"
    return None if "Raspberry Pi" in facts.model else Answer(False, told)


def _two_partitions(facts: Facts) -> Answer | None:
    found = any(setting.key == "tryboot_a_b" and setting.number for setting in config_txt.parse(facts.autoboot))
    told = "autoboot.txt has tryboot_a_b=1: tryboot would start another partition, and not by its tryboot.txt"
    return Answer(False, told) if found else None


def _firmware(facts: Facts) -> Answer | None:
    date = firmware_date(facts.firmware)
    if facts.flag or date >= FIRMWARE_SINCE:
        return None
    of = f"of {date}" if date else "does not say how old it is (`vcgencmd version`), and"
    return Answer(False, f"the firmware {of} knows no tryboot; it came at the end of 2020")


def _eeprom(facts: Facts) -> Answer | None:
    date = firmware_date(facts.bootloader)
    if EEPROM_SOC not in facts.compatible or date >= EEPROM_SINCE:
        return None
    of = f"of {date}" if date else "does not say how old it is (`vcgencmd bootloader_version`), and"
    return Answer(
        False, f"the EEPROM's bootloader {of} may drop it; {EEPROM_SINCE} keeps it: sudo rpi-eeprom-update -a"
    )


def _kernel(facts: Facts) -> Answer | None:
    if not facts.mailbox:
        told = f"kernel {facts.kernel} has no /dev/vcio: it is not Raspberry Pi's own and passes nothing on"
        return Answer(False, told, by_kernel=True)
    series = tuple(int(number) for number in re.findall(r"\d+", facts.kernel)[:2])
    if facts.vcmailbox or series >= KERNEL_SINCE:
        return None
    told = f"kernel {facts.kernel} may not pass it on, and there is no `vcmailbox` to do so"
    return Answer(False, told, by_kernel=True)


def _able(facts: Facts) -> Answer:
    known = "the device tree shows the flag" if facts.flag else f"firmware of {firmware_date(facts.firmware)}"
    return Answer(True, f"{known}, kernel {facts.kernel}")


RULES: tuple[Callable[[Facts], Answer | None], ...] = (
    _virtual,
    _raspberry,
    _two_partitions,
    _firmware,
    _eeprom,
    _kernel,
    _able,
)
