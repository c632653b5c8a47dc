"""Decide whose fault a run was: evidence in, the first rule that holds out.

What the bench did wrong may look like a kernel's mistake, and what was deployed wrongly too; so before a kernel is
blamed, the table below says what else explains the symptom. Nothing a kernel printed about itself is explained by a
lost cable; a lack of power explains everything.
"""

import re
from collections.abc import Callable, Sequence

import attrs

from harness.model import BootRecord, Finding, Verdict, VerdictName

EVIDENCE_LINES = 6
ANYTHING = frozenset({"*"})

# fmt: off
_NEEDS_CARD = frozenset({
    "boot-stopped", "root-missing", "root-wait", "init-missing", "init-noexec", "init-killed", "emergency", "error",
    "mount-failed", "hung-task", "module-mismatch", "modules-missing", "exec-format", "firmware-refused", "dterror",
})
# fmt: on
EXPLAINS: dict[str, frozenset[str]] = {
    # cause -> the symptoms it may have caused. A kernel's printed mistake (oops, WARNING, stall) is
    # explained by bad power or heat only.
    "under-voltage": ANYTHING,  # a sagging 5 V rail corrupts reads, resets cores, and hangs what it does not reset
    "throttled": ANYTHING,  # the firmware's memory of the same
    "overheated": ANYTHING,
    "mmc-error": _NEEDS_CARD,  # a card that does not answer; no card ever made a WARNING out of nothing
    "io-error": _NEEDS_CARD,
    "fs-error": _NEEDS_CARD,
    "card-unreadable": _NEEDS_CARD,
    "console-garbage": frozenset({"boot-stopped", "error"}),  # we could not read; what we could read stands
    "wrong-kernel": ANYTHING,  # whatever failed, it was not the kernel under test
    "module-mismatch": frozenset({"emergency", "mount-failed", "boot-stopped", "error", "modules-missing"}),
    "modules-missing": frozenset({"emergency", "mount-failed", "boot-stopped", "error"}),
    "firmware-refused": frozenset({"boot-stopped", "dterror"}),
    "dterror": frozenset({"boot-stopped"}),
    "init-missing": frozenset({"boot-stopped"}),
    "root-missing": frozenset({"boot-stopped"}),
    "console-lost": frozenset({"boot-stopped"}),
    "no-console": frozenset({"boot-stopped"}),
}


@attrs.frozen
class Clue:
    """One piece of evidence: a finding, a boot that stopped, or an error somebody raised."""

    kind: str
    """A finding's kind, ``boot-stopped``, or ``error``."""
    fault: str
    severity: str
    line: str
    """For people."""
    raised: bool = False
    """Whether it is an exception of ours rather than something seen on the console."""

    def explains(self, other: "Clue") -> bool:
        """Tell whether this may be why *other* happened."""
        kinds = EXPLAINS.get(self.kind, frozenset())
        return other is not self and (kinds is ANYTHING or other.kind in kinds)


def judge(boots: Sequence[BootRecord], findings: Sequence[Finding], errors: Sequence[tuple[str, str]] = ()) -> Verdict:
    """Return the verdict of a run.

    *findings* are those of checks and tests; those of *boots* are taken from there. *errors* are what was raised, as
    (verdict, message). Severity ``info`` counts for nothing, save a root device still waited for at the end.
    """
    clues = gather(boots, findings, errors)
    for name, rule, choose in RULES:
        evidence = choose(clues)
        if evidence:
            return Verdict(
                name, _because(rule, clues, evidence), tuple(clue.line for clue in evidence[:EVIDENCE_LINES])
            )
    if any(boot.reached for boot in boots):
        return Verdict(VerdictName.PASS, "every boot reached its login and nothing was found")
    return Verdict(VerdictName.INCONCLUSIVE, "no boot was seen")


def gather(
    boots: Sequence[BootRecord], findings: Sequence[Finding], errors: Sequence[tuple[str, str]] = ()
) -> list[Clue]:
    """Return all evidence, errors first, in the order in which it came; the same error raised again counts once.

    When a boot stopped, tests that needed it fail for no other reason: such errors are no evidence of their own.
    """
    stopped = any(not boot.reached for boot in boots)
    clues = [
        Clue("error", fault, "error", message.splitlines()[0] if message else fault, raised=True)
        for fault, message in dict.fromkeys(errors)
        if not (stopped and fault == "KERNEL")
    ]
    for boot in boots:
        clues += [_clue(found) for found in boot.findings if found.severity != "info"]
        if not boot.reached:
            clues.append(_stopped(boot))
    known = {found for boot in boots for found in boot.findings}
    return clues + [_clue(found) for found in findings if found.severity != "info" and found not in known]


def _clue(found: Finding) -> Clue:
    return Clue(found.kind, blame(found), found.severity, f"line {found.first_line}: {found.message}")


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


def _stopped(boot: BootRecord) -> Clue:
    """Return the clue of a boot without login: who is to blame when nothing else is known."""
    waiting = next((found for found in boot.findings if found.kind == "root-wait"), None)
    last = boot.tail[-1] if boot.tail else ""
    line = f"boot from line {boot.first_line} stopped at stage {boot.last_stage}: {boot.reason or 'the log ends here'}"
    if boot.last_stage == "none":
        return Clue("silence", "LAB", "error", f"{line} (not one readable line: power, cable, pins, baud)")
    if "bootconsole [" in last and "disabled" in last:
        return Clue("console-lost", "DEPLOY", "error", f"{line} (console= names a port nobody listens to)")
    if waiting and boot.last_stage == "kernel":
        return Clue("root-wait", "KERNEL", "error", f"{line}; line {waiting.first_line}: {waiting.message}")
    if boot.last_stage == "init" and not boot.reason:
        return Clue("boot-stopped", "INCONCLUSIVE", "warning", line)  # a file's end is no death
    return Clue("boot-stopped", "KERNEL", "error", line)


# --- the rules, first that holds -------------------------------------------------------------------------------------
Choose = Callable[[Sequence[Clue]], Sequence[Clue]]


def _raised(fault: str) -> Choose:
    return lambda clues: [clue for clue in clues if clue.raised and clue.fault == fault]


def _wrong_kernel(clues: Sequence[Clue]) -> Sequence[Clue]:
    return [clue for clue in clues if clue.kind == "wrong-kernel"]


def _bench_broke(clues: Sequence[Clue]) -> Sequence[Clue]:
    """Our own bench said that it failed, and all else we have is that nothing more came."""
    bench = _raised("LAB")(clues)
    rest = [clue for clue in clues if clue not in bench and clue.fault != "LAB" and clue.kind != "boot-stopped"]
    return [] if rest else bench


def _ambiguous(clues: Sequence[Clue]) -> Sequence[Clue]:
    """Every symptom has an explanation on the bench."""
    causes = [clue for clue in clues if clue.fault == "LAB" and clue.kind in EXPLAINS]
    symptoms = [clue for clue in clues if clue.fault in {"KERNEL", "DEPLOY", "INCONCLUSIVE"}]
    if not causes or not symptoms or not all(any(cause.explains(it) for cause in causes) for it in symptoms):
        return []
    return [*causes[:3], *symptoms]


def _deployed_wrongly(clues: Sequence[Clue]) -> Sequence[Clue]:
    """Something does not fit together, and no symptom is left that this would not explain."""
    causes = [clue for clue in clues if clue.fault == "DEPLOY"]
    hard = [clue for clue in clues if clue.fault == "KERNEL" and clue.severity != "warning"]
    return causes if all(any(cause.explains(it) for cause in causes) for it in hard) else []


def _by(fault: str) -> Choose:
    return lambda clues: sorted((clue for clue in clues if clue.fault == fault), key=_weight)


def _weight(clue: Clue) -> int:
    """In log order, for the first trouble leads to the next; warnings behind, and that a boot stopped, last of all."""
    return (clue.severity == "warning") + 2 * (clue.kind in {"boot-stopped", "error"})


RULES: tuple[tuple[VerdictName, str, Choose], ...] = (
    (VerdictName.BUILD, "the build failed", _raised("BUILD")),
    (VerdictName.DEPLOY, "deploying failed", _raised("DEPLOY")),
    (VerdictName.DEPLOY, "another kernel answered than the one deployed", _wrong_kernel),
    (VerdictName.LAB, "the bench failed", _bench_broke),
    (VerdictName.INCONCLUSIVE, "{lab} may explain {symptom}", _ambiguous),
    (VerdictName.DEPLOY, "{symptom}: what was deployed does not fit together", _deployed_wrongly),
    (VerdictName.KERNEL, "{symptom} that nothing on the bench explains", _by("KERNEL")),
    (VerdictName.LAB, "{lab} on the bench", _by("LAB")),
    (VerdictName.INCONCLUSIVE, "{symptom}, and nothing says whose fault it is", _by("INCONCLUSIVE")),
)


def _because(rule: str, clues: Sequence[Clue], evidence: Sequence[Clue]) -> str:
    lab = next((clue.kind for clue in evidence if clue.fault == "LAB"), "a lab fault")
    symptom = next((clue.kind for clue in evidence if clue.fault != "LAB"), clues[0].kind)
    return rule.format(lab=_words(lab), symptom=_words(symptom))


def _words(kind: str) -> str:
    return {
        "error": "an error",
        "boot-stopped": "a boot that stopped",
        "root-wait": "a root device that never came",
    }.get(kind, kind)
