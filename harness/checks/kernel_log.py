"""The kernel's own log is free of oopses, warnings and call traces."""

from harness.model import BoardProfile, Finding, KernelBuild
from harness.verdict.findings import scan

ORDER = 90
COMMAND = "sudo dmesg"


def judge(output: str, build: KernelBuild, board: BoardProfile) -> list[Finding]:
    """Object to all that the table of ``harness.verdict.rules`` knows, whoever is to blame for it."""
    del build, board
    return [found for found in scan(output.splitlines()) if found.severity != "info"]
