"""The exception tree, split by whose fault it is.

::

    Pi64Error                 message, hint, evidence; never a traceback for the user
    |-- UsageError            what was asked for: an option, lab.yaml, a file the user named     -> pytest error, exit 2
    |-- LabError              the bench: host programs, disk, power, serial line, card, QEMU     -> LAB, pytest *error*
    |-- Unresponsive          the board fell silent: a hung kernel and a pulled cable look alike -> INCONCLUSIVE, error
    |-- TargetError           what is under test                                                 -> pytest *failed*
    |   |-- BuildError        the tree does not configure or compile                             -> BUILD
    |   |-- DeployError       the boot files or modules do not fit together                      -> DEPLOY
    |   |-- BootFailed        the board did not reach its login; carries the BootRecord          -> KERNEL
    |   |-- CommandFailed     a command on the target returned non-zero                          -> KERNEL
    |   `-- CheckFailed       the kernel answered wrongly, or complained; carries the findings   -> by its findings

A message names target, fact, number and evidence; ``hint`` names the next step.
"""

from collections.abc import Sequence

from harness.model import BootRecord, Finding


class Pi64Error(Exception):
    """Root of the tree. ``str(error)`` is ready to print: message, evidence lines behind `` | ``, hint."""

    verdict = "INCONCLUSIVE"

    def __init__(self, message: str, *, hint: str = "", evidence: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.evidence = tuple(evidence)

    def __str__(self) -> str:
        lines = [self.message, *(f"  | {line}" for line in self.evidence)]
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)


class UsageError(Pi64Error):
    """What was asked for cannot be: an unknown board, a misspelt key, a file that is not what its name says."""


class ConfigError(UsageError):
    """A file that a person wrote (lab.yaml, a board profile, config.txt) says something it must not."""


class LabError(Pi64Error):
    """The bench failed, not what is tested on it."""

    verdict = "LAB"


class Unresponsive(Pi64Error):
    """The board fell silent and nothing wakes it; whether the kernel hangs or the line is dead, a cold start tells."""


class TargetError(Pi64Error):
    """What is under test failed."""

    verdict = "KERNEL"


class BuildError(TargetError):
    """The kernel tree does not configure or compile."""

    verdict = "BUILD"


class DeployError(TargetError):
    """Boot files or modules are missing, damaged, or do not fit together."""

    verdict = "DEPLOY"


class BootFailed(TargetError):
    """The board did not reach its login prompt; says at which stage it stopped, and what the console said last."""

    def __init__(self, boot: BootRecord, *, brief: bool = False) -> None:
        """Say it all, or *brief*: without the evidence, when it has been shown already."""
        last = boot.last_stage
        when = f", at {boot.stages[last]:.1f} s" if last in boot.stages else ""
        fatal = [finding for finding in boot.findings if finding.severity == "fatal"]
        evidence = [line for finding in fatal for line in finding.text[:3]] or boot.tail[-6:]
        super().__init__(
            f"{boot.target}: no login prompt: {boot.reason}; last stage: {last}{when}",
            evidence=() if brief else evidence[:9],
            hint="see the first failure" if brief else f"full console log: {boot.log}, from line {boot.first_line}",
        )
        self.boot = boot


class CommandFailed(TargetError):
    """A command on the target returned non-zero."""


class CheckFailed(TargetError):
    """The kernel answered wrongly, or complained on the console; carries the findings, which say whose fault it is."""

    def __init__(self, target: str, asked: str, findings: Sequence[Finding], *, hint: str = "") -> None:
        super().__init__(
            f"{target}: {asked}: {findings[0].message}" + (f" (and {len(findings) - 1} more)" if findings[1:] else ""),
            evidence=[line for finding in findings[:3] for line in finding.text[:6]],
            hint=hint,
        )
        self.findings = tuple(findings)
        self.verdict = findings[0].fault


def demand_healthy(boot: BootRecord) -> None:
    """Judge a boot: BootFailed unless it reached its login, CheckFailed if the kernel complained on the way."""
    if not boot.reached:
        raise BootFailed(boot)
    complaints = [finding for finding in boot.findings if finding.severity != "info"]
    if complaints:
        raise CheckFailed(boot.target, "the boot", complaints, hint=f"full console log: {boot.log}")
