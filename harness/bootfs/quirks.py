"""What a board needs of us because the firmware on its card is old; text and bytes in, config.txt lines out.

The guide for the Pi 4 of July 2019 asks for ``armstub=``, ``enable_gic=1``, ``arm_64bit=1`` and ``total_mem=1024``. It
contradicts itself: it builds and copies ``armstub8.bin``, but its config.txt names ``armstub8-gic.bin``. The latter is
meant: without it the kernel gets no interrupts from the GIC, and ``enable_gic=1`` is of no use.
"""

import re
from collections.abc import Mapping

import attrs

from harness.bootfs import compose, config_txt
from harness.bootfs.partition import BootPartition, Files
from harness.errors import UsageError
from harness.model import BoardProfile, FirmwareHistory

BUILT = re.compile(rb"VC_BUILD_ID_TIME: ([A-Z][a-z]{2}) +(\d{1,2}) (\d{4})")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
DATE = re.compile(r"20\d\d-[01]\d-[0-3]\d")


@attrs.frozen
class Quirks:
    """What an old firmware asks for, and why each thing is there or not."""

    config: tuple[str, ...] = ()
    """Lines for config.txt."""
    armstub: str = ""
    """Name of the stub to deploy, in the root of the boot partition; empty for none."""
    reasons: tuple[str, ...] = ()


def firmware_date(card: BootPartition, board: BoardProfile) -> str:
    """Return the ISO date on which the start*.elf that *board* takes was built; empty when it does not say."""
    elf = next((name for name in board.start_elf if card.exists(name)), "")
    found = BUILT.search(card.read(elf) or b"") if elf else None
    if found is None or found[1].decode() not in MONTHS:
        return ""
    return f"{int(found[3])}-{MONTHS.index(found[1].decode()) + 1:02}-{int(found[2]):02}"


def needed(board: BoardProfile, base: Mapping[str, bytes], *, release: str, firmware: str | None = None) -> Quirks:
    """Return what *board* with kernel *release* needs beside an ordinary config.txt.

    *base* holds files of the boot partition as it is: the text files, and start*.elf. *firmware* is an ISO date and
    overrules what start*.elf says of itself; one that says nothing is taken for a current one. UsageError for a
    *firmware* that is no date.
    """
    if firmware is not None and not DATE.fullmatch(firmware):
        raise UsageError(f"firmware {firmware!r}: not a date", hint='when it was built, e.g. `firmware: "2019-06-20"`')
    history = board.history
    if history is None:
        return Quirks(reasons=(f"armstub left out: no firmware for {board.title} needs one",))
    card = Files(base)
    date = firmware or firmware_date(card, board)
    if not date:
        told = f"armstub left out: {' or '.join(board.start_elf)} on the card does not say when it was built"
        return Quirks(reasons=(f"{told}, and is taken for a current one (`firmware: DATE` says otherwise)",))
    wide = ("arm_64bit=1",) if date < history.arm_64bit_since else ()
    if date >= history.armstub_until:
        told = f"armstub left out: firmware of {date} brings its own (since {history.armstub_until})"
        return Quirks(config=wide, reasons=(told,))
    stock = config_txt.applied(compose.stock(base), board, card.read)
    return _early(history, date, stock, release, wide)


def _early(
    history: FirmwareHistory, date: str, stock: config_txt.Config, release: str, wide: tuple[str, ...]
) -> Quirks:
    limited, told = _total_mem(history, release)
    if own := stock.last("armstub"):
        kept = f"armstub left alone: the card's own {own.file}:{own.line} has `{own.text}`"
        return Quirks(config=(*wide, *limited), reasons=(kept, told))
    why = f"{history.armstub}: firmware of {date} is older than {history.armstub_until} and brings none like it"
    lines = (f"armstub={history.armstub}", *history.armstub_config, *wide, *limited)
    return Quirks(config=lines, armstub=history.armstub, reasons=(why, told))


def _total_mem(history: FirmwareHistory, release: str) -> tuple[tuple[str, ...], str]:
    """Return the line that keeps a kernel of that time below the memory it cannot use, and why."""
    line = f"total_mem={history.total_mem_mib}"
    if _series(release) <= _series(history.total_mem_kernels):
        return (line,), f"{line}: SD card drivers up to {history.total_mem_kernels} may not reach further"
    return (), f"{line} left out: kernel {release} is newer than {history.total_mem_kernels}"


def _series(release: str) -> tuple[int, ...]:
    """``4.19.56-v8+`` -> (4, 19)."""
    return tuple(int(number) for number in re.findall(r"\d+", release)[:2])
