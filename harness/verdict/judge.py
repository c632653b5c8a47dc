"""Decide whose fault a run was: evidence in, the first rule that holds out.

``clues`` says what counts as evidence, and which of it explains which.
"""

from collections.abc import Callable, Sequence

from harness.model import BootRecord, Finding, Verdict, VerdictName
from harness.verdict.clues import EXPLAINS, Clue, boot_line, gather

EVIDENCE_LINES = 6


def judge(boots: Sequence[BootRecord], findings: Sequence[Finding], errors: Sequence[tuple[str, ...]] = ()) -> Verdict:
    """Return the verdict of a run.

    *findings* are those of checks and tests; those of *boots* are taken from there. *errors* are what was Raised.
    Severity ``info`` counts for nothing, save a root device still waited for at the end. A control boot among *boots*
    accuses the bench when it failed; when it reached its login, a boot without a line was the kernel's.
    """
    clues = gather(boots, findings, errors)
    control = tuple(boot_line(boot) for boot in boots if boot.control and boot.reached)
    for name, rule, choose in RULES:
        evidence = choose(clues)
        if evidence:
            lines = tuple(clue.line for clue in evidence[:EVIDENCE_LINES])
            return Verdict(name, _because(rule, clues, evidence), tuple(dict.fromkeys([*lines, *control])))
    if any(boot.reached for boot in boots if not boot.control):
        return Verdict(VerdictName.PASS, "every boot reached its login and nothing was found")
    return Verdict(VerdictName.INCONCLUSIVE, "no boot was seen")


# --- the rules, first that holds -------------------------------------------------------------------------------------
Choose = Callable[[Sequence[Clue]], Sequence[Clue]]


def _raised(fault: str) -> Choose:
    return lambda clues: [clue for clue in clues if clue.raised and clue.fault == fault]


def _kind(kind: str) -> Choose:
    return lambda clues: [clue for clue in clues if clue.kind == kind]


def _bench_broke(clues: Sequence[Clue]) -> Sequence[Clue]:
    """Our own bench said that it failed, and there is nothing else."""
    return _raised("LAB")(clues) if all(clue.fault == "LAB" for clue in clues) else []


def _of_boots(kind: str) -> Choose:
    """Take clues of *kind* for the last word about boots that stopped; what was found elsewhere is another matter."""

    def choose(clues: Sequence[Clue]) -> Sequence[Clue]:
        word, unbooted = _kind(kind)(clues), [clue for clue in clues if clue.unbooted]
        rest = [clue for clue in clues if clue.fault != "LAB" and clue not in [*word, *unbooted]]
        return [*word, *unbooted] if all(clue.kind == "fell-silent" for clue in rest) and word else []

    return choose


def _ambiguous(clues: Sequence[Clue]) -> Sequence[Clue]:
    """Every symptom has an explanation on the bench."""
    causes = [clue for clue in clues if clue.fault == "LAB" and clue.kind in EXPLAINS]
    symptoms = [clue for clue in clues if clue.fault in {"KERNEL", "DEPLOY", "INCONCLUSIVE"}]
    if not causes or not symptoms or not all(any(cause.explains(it) for cause in causes) for it in symptoms):
        return []
    telling = [cause for cause in causes if any(cause.explains(it) for it in symptoms)]
    return [*telling[:3], *symptoms]


def _deployed_wrongly(clues: Sequence[Clue]) -> Sequence[Clue]:
    """Something does not fit together, and no error is left that this would not explain; a warning left is told."""
    causes = [clue for clue in clues if clue.fault == "DEPLOY"]
    left = [clue for clue in clues if clue.fault == "KERNEL" and not any(cause.explains(clue) for cause in causes)]
    if not causes or any(clue.severity != "warning" for clue in left):
        return []
    return [*causes[: max(EVIDENCE_LINES - len(left), 1)], *left]


def _by(fault: str) -> Choose:
    return lambda clues: sorted((clue for clue in clues if clue.fault == fault), key=_weight)


def _weight(clue: Clue) -> int:
    """In log order, for the first trouble leads to the next; warnings behind, and that a boot stopped, last of all."""
    return (clue.severity == "warning") + 2 * (clue.kind in {"boot-stopped", "error"})


RULES: tuple[tuple[VerdictName, str, Choose], ...] = (
    (VerdictName.BUILD, "the build failed", _raised("BUILD")),
    (VerdictName.DEPLOY, "deploying failed", _raised("DEPLOY")),
    (VerdictName.DEPLOY, "another kernel answered than the one deployed", _kind("wrong-kernel")),
    (VerdictName.LAB, "the known-good kernel does not boot on this rig either", _of_boots("control-failed")),
    (
        VerdictName.INCONCLUSIVE,
        "the kernel under test came to its login when it was tried again",
        _of_boots("booted-again"),
    ),
    (VerdictName.LAB, "the bench failed", _bench_broke),
    (VerdictName.INCONCLUSIVE, "{lab} may explain {symptom}", _ambiguous),
    (
        VerdictName.KERNEL,
        "the board fell silent twice at the same test, and the console spoke in between",
        _kind("fell-silent-again"),
    ),
    (VerdictName.DEPLOY, "{symptom}: what was deployed does not fit together", _deployed_wrongly),
    (VerdictName.KERNEL, "not one line, and the known-good kernel speaks on the same rig", _kind("mute")),
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
        "usage": "an error",
        "bench": "a fault of the bench",
        "fell-silent": "a board that fell silent",
        "fell-silent-again": "a board that fell silent twice",
        "silence": "a board without a word",
        "boot-stopped": "a boot that stopped",
        "restart": "a restart that nobody had asked for",
        "root-wait": "a root device that never came",
    }.get(kind, kind)
