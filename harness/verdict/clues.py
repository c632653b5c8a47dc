"""What speaks for whom: clues, made of findings, of boots that stopped and of errors; and what may explain what.

What the bench did wrong may look like a kernel's mistake, and what was deployed wrongly too; so before a kernel is
blamed, the table EXPLAINS says what else explains the symptom. Nothing a kernel printed about itself is explained by a
lost cable; a lack of power explains everything.
"""

import re
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import attrs

from harness.model import BootRecord, Finding
from harness.verdict.lines import payload

ANYTHING = frozenset({"*"})

_IN_CARD_DRIVER = re.compile(  # drivers/mmc: a card that goes away in a transfer leads where few have been before
    r"drivers/mmc/|\b(?:sdhci|mmc|mmcblk|sdhost)_\w+"
    r"|\bbcm2835_(?:request|irq|threaded_irq|block_irq|busy_irq|data_irq|(?:finish|send|transfer|prepare|dma_complete)_\w+"
    r"|set_transfer_irqs|set_ios|set_clock|timeout|wait_transfer_complete|read_wait_sdcmd|check_cmd_error|reset_internal"
    r"|dumpcmd|dumpregs)\b"
)
_PRINTED = frozenset({"oops", "warning", "call-trace", "bug"})

BEGAN_AGAIN = "it began again"
"""Why a recorded boot stopped, when that is all there is to say."""

BLIND = frozenset({"console-garbage", "firmware-loop", "power-not-cut"})
"""Kinds that end the watch before a kernel could be seen to do anything wrong."""

# fmt: off
_CARD_DRIVER = "card-driver"
_NEEDS_CARD = frozenset({
    "boot-stopped", "root-missing", "root-wait", "init-missing", "init-noexec", "init-killed", "emergency", "error",
    "mount-failed", "hung-task", "module-mismatch", "modules-missing", "exec-format", "firmware-refused", "dterror",
    "fell-silent", "fell-silent-again", _CARD_DRIVER,
})
# fmt: on
EXPLAINS: dict[str, frozenset[str]] = {
    # cause -> the symptoms it may have caused. A kernel's printed mistake (oops, WARNING, stall) is
    # explained by bad power or heat only; by a bad card too when it is the card's driver that made it.
    "under-voltage": ANYTHING,  # a sagging 5 V rail corrupts reads, resets cores, and hangs what it does not reset
    "throttled": ANYTHING,  # the firmware's memory of the same
    "overheated": ANYTHING,
    "mmc-error": _NEEDS_CARD,  # a card that does not answer; elsewhere no card ever made a WARNING
    "io-error": _NEEDS_CARD,
    "fs-error": _NEEDS_CARD,
    "card-unreadable": _NEEDS_CARD,
    "nfs-silent": _NEEDS_CARD,  # what needs its root filesystem needs that, wherever it lies
    "nfs-root": frozenset({"boot-stopped", "root-missing", "init-missing"}),
    "no-address": frozenset({"boot-stopped", "nfs-root", "root-missing", "init-missing"}),
    "console-garbage": frozenset({"boot-stopped", "error", "fell-silent"}),  # what we could read stands
    "firmware-loop": frozenset({"boot-stopped"}),  # a board that restarts before any kernel restarts after one too
    "power-not-cut": ANYTHING,  # who knows which kernel that was, and since when it ran
    "bench": frozenset({"boot-stopped", "fell-silent", "fell-silent-again"}),  # we heard nothing; what we heard stands
    "wrong-kernel": ANYTHING,  # whatever failed, it was not the kernel under test
    "module-mismatch": frozenset(
        {"emergency", "mount-failed", "boot-stopped", "error", "modules-missing", "exec-format"}
    ),
    "modules-missing": frozenset({"emergency", "mount-failed", "boot-stopped", "error"}),
    "firmware-refused": frozenset({"boot-stopped", "dterror"}),
    "dterror": frozenset({"boot-stopped"}),
    "init-missing": frozenset({"boot-stopped"}),
    "root-missing": frozenset({"boot-stopped"}),
    "console-lost": frozenset({"boot-stopped"}),
    "no-console": frozenset({"boot-stopped"}),
}


class Raised(NamedTuple):
    """An error that ended a test; a plain (fault, message) will do."""

    fault: str
    """Verdict that it alone would lead to."""
    message: str
    kind: str = "error"
    """Also ``bench`` (any LabError), ``usage``, ``fell-silent``, ``fell-silent-again``, ``booted-again``."""


@attrs.frozen
class Clue:
    """One piece of evidence: a finding, a boot that stopped, or an error somebody raised."""

    kind: str
    """A finding's kind, that of what was Raised, or a boot's: ``boot-stopped``, ``silence``, ``control-failed`` ..."""
    fault: str
    severity: str
    line: str
    """For people."""
    raised: bool = False
    """Whether it is an exception of ours rather than something seen on the console."""
    unbooted: bool = False
    """Whether it is about a boot that did not reach its login."""
    symptom: str = ""
    """What EXPLAINS calls it, where that is not its kind."""

    def explains(self, other: "Clue") -> bool:
        """Tell whether this may be why *other* happened."""
        kinds = EXPLAINS.get(self.kind, frozenset())
        return other is not self and (kinds is ANYTHING or (other.symptom or other.kind) in kinds)


def gather(
    boots: Sequence[BootRecord], findings: Sequence[Finding], errors: Sequence[tuple[str, ...]] = ()
) -> list[Clue]:
    """Return all evidence, errors first, in the order in which it came; the same error raised again counts once.

    When a boot stopped, tests that needed it fail for no other reason: such errors are no evidence of their own.
    """
    tested, control = [boot for boot in boots if not boot.control], [boot for boot in boots if boot.control]
    raised = [Raised(*error) for error in dict.fromkeys(map(tuple, errors))]
    stopped = any(not boot.reached for boot in tested)
    bench = [error.message for error in raised if error.fault == "LAB"]
    spoke = any(boot.reached for boot in control)
    clues = [_error(error) for error in raised if not (stopped and error.fault == "KERNEL" and error.kind == "error")]
    clues += [Clue("control-failed", "LAB", "error", boot_line(boot)) for boot in control if not boot.reached]
    for boot in tested:
        own = [_clue(found) for found in boot.findings if found.severity != "info"]
        own += [] if boot.reached else [_stopped(Stop(boot, bench, spoke))]
        clues += [attrs.evolve(clue, unbooted=not boot.reached) for clue in own]
    known = {found for boot in boots for found in boot.findings}
    return clues + [_clue(found) for found in findings if found.severity != "info" and found not in known]


def boot_line(boot: BootRecord) -> str:
    """Say of a control boot how far it came."""
    if boot.reached:
        return f"control boot of {boot.release}: login after {boot.stages.get('login', 0.0):.1f} s"
    return f"control boot of {boot.release} stopped at stage {boot.last_stage}: {boot.reason}"


def _error(error: Raised) -> Clue:
    kind = "bench" if error.fault == "LAB" else error.kind
    return Clue(kind, error.fault, "error", error.message.partition("\n")[0] or error.fault, raised=True)


def _clue(found: Finding) -> Clue:
    symptom = _CARD_DRIVER if found.kind in _PRINTED and in_card_driver(found) else ""
    line = f"line {found.first_line}: {found.message}"
    return Clue(found.kind, blame(found), found.severity, line, symptom=symptom)


def in_card_driver(found: Finding) -> bool:
    """Tell whether a trace comes from the driver of the card slot: by its place, or by the work that was being done."""
    work = (line.partition("Workqueue: ")[2] for line in found.text if "Workqueue: " in line)
    return any(_IN_CARD_DRIVER.search(text) for text in (found.message, *work))


def blame(found: Finding) -> str:
    """Return whose fault a finding is; a missing root tells more in its lines than in its headline."""
    if found.kind != "root-missing":
        return found.fault
    text = "\n".join(found.text)
    if re.search(r'Cannot open root device "(?:\(null\))?"', text):
        return "DEPLOY"  # no root= on the command line
    if "unknown-block(0,0)" in text and re.search(r"\b[0-9a-f]{4} +\d+ (?:mmcblk|sd|nvme)\w+", text):
        return "DEPLOY"  # disks are there, the one that root= names is not
    tried = text.partition("No filesystem could mount root, tried:")[2]
    return "DEPLOY" if re.search(r"\bext4\b", tried) else found.fault  # it can read ext4: the card holds none


_DISK = re.compile(r" ?(mmcblk\d+|sd[a-z]|vd[a-z]|nvme\d+n\d+):((?: (?:[a-z]+\d*)?p?\d+)+)$")
_PARTITION = re.compile(r"(mmcblk\d+|nvme\d+n\d+|[sv]d[a-z])(p?\d+)")


# --- boots without a login, first that holds --------------------------------------------------------------------------
@attrs.frozen
class Stop:
    """A boot that stopped, and what else is known about the bench."""

    boot: BootRecord
    bench: Collection[str]
    """The words of the bench's own errors."""
    spoke: bool
    """Whether the known-good kernel was heard on the same wires."""

    @property
    def blind(self) -> bool:
        """Whether it was we who stopped, for there was nothing more to see."""
        lost = bool(self.boot.reason) and any(self.boot.reason in words for words in self.bench)
        return lost or any(found.severity == "fatal" and found.kind in BLIND for found in self.boot.findings)

    @property
    def silent(self) -> bool:
        """Whether not one readable line came."""
        return self.boot.last_stage == "none"

    @property
    def handed_over(self) -> bool:
        """Whether the last that was heard is that another console takes over.

        When that stands there twice, both were heard: the new one is on this line too, and what follows is a hang. The
        control boot had the same command line; where it spoke on, so would this one.
        """
        tail = [payload(line)[1] for line in self.boot.tail if line.strip()]
        last = tail[-1] if tail else ""
        return "bootconsole [" in last and "disabled" in last and tail.count(last) == 1 and not self.spoke

    @property
    def waiting(self) -> Finding | None:
        """The root device that is waited for still; None when the wait ended in words of its own."""
        waits = [found for found in self.boot.findings if found.kind == "root-wait"]
        given_up = any(found.kind == "root-missing" for found in self.boot.findings)
        return waits[0] if waits and self.boot.last_stage == "kernel" and not given_up else None

    @property
    def no_such_root(self) -> bool:
        """Whether the disk of the root device that is waited for came, with its partitions, and that one is not there.

        Of a disk that did not come, its driver may be missing.
        """
        wanted = self.waiting.message.removeprefix("Waiting for root device ").rstrip(".") if self.waiting else ""
        disks = {match[1]: match[2].split() for line in self.boot.tail if (match := _DISK.match(payload(line)[1]))}
        if not wanted or not disks or self.spoke:  # the control boot found its root by the same name
            return False
        device = _PARTITION.fullmatch(wanted.removeprefix("/dev/"))
        if not device:
            return not wanted.startswith("/dev/")  # a PARTUUID, UUID or LABEL of none of them
        return device[1] in disks and not {device[0], device[2]}.intersection(disks[device[1]])

    @property
    def unsaid(self) -> bool:
        """Whether a recorded log just ends, or somebody may have switched the board off and on; no death."""
        return self.boot.reason in {"", BEGAN_AGAIN}


# fmt: off
STOPS: tuple[tuple[Callable[[Stop], object], str, str, str], ...] = (
    # what holds, kind and fault of the clue, what is said besides
    (lambda stop: stop.blind, "boot-stopped", "LAB", ""),
    (lambda stop: stop.silent and stop.spoke, "mute", "KERNEL", ""),
    (lambda stop: stop.silent, "silence", "LAB", " (not one readable line: power, cable, pins, baud)"),
    (lambda stop: stop.handed_over, "console-lost", "DEPLOY", " (console= names a port nobody listens to)"),
    (lambda stop: stop.no_such_root, "root-wait", "DEPLOY", "; line {first_line}: {message} (the disk has none such)"),
    (lambda stop: stop.waiting, "root-wait", "KERNEL", "; line {first_line}: {message}"),
    (lambda stop: stop.unsaid, "boot-stopped", "INCONCLUSIVE", ""),
    (lambda _: True, "boot-stopped", "KERNEL", ""),
)
# fmt: on


def _stopped(stop: Stop) -> Clue:
    """Return the clue of a boot without login: who is to blame when nothing else is known."""
    boot, waiting = stop.boot, stop.waiting
    kind, fault, more = next(row for holds, *row in STOPS if holds(stop))
    line = f"boot from line {boot.first_line} stopped at stage {boot.last_stage}: {boot.reason or 'the log ends here'}"
    more = more.format(first_line=waiting.first_line, message=waiting.message) if waiting else more
    return Clue(kind, fault, "warning" if fault == "INCONCLUSIVE" else "error", line + more)
