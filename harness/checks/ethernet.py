"""There is a network interface for the Ethernet port."""

from harness.checks import _interfaces
from harness.model import BoardProfile, Finding, KernelBuild
from harness.verdict.findings import finding

ORDER = 82
REQUIRES = frozenset({"ethernet"})
COMMAND = _interfaces.COMMAND


def judge(output: str, build: KernelBuild, board: BoardProfile) -> list[Finding]:
    """Object where the kernel has made none."""
    if any(not one.wireless for one in _interfaces.interfaces(output)):
        return []
    message = f"{board.name}: no Ethernet interface under {build.release}: is its driver built, and loaded?"
    return [finding("no-interface", message, fault="KERNEL", text=output.splitlines())]
