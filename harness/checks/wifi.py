"""There is a network interface for Wi-Fi."""

from harness.checks import _interfaces
from harness.model import BoardProfile, Finding, KernelBuild
from harness.verdict.findings import finding

ORDER = 84
REQUIRES = frozenset({"wifi"})
COMMAND = _interfaces.COMMAND


def judge(output: str, build: KernelBuild, board: BoardProfile) -> list[Finding]:
    """Object where there is none: the kernel's doing, unless its log says that the image has no firmware for it."""
    if any(one.wireless for one in _interfaces.interfaces(output)):
        return []
    if missing := _interfaces.firmware_missing(output):
        message = f"{board.name}: no Wi-Fi interface: the base image has no firmware for it"
        return [finding("no-firmware", message, fault="LAB", text=missing)]
    message = f"{board.name}: no Wi-Fi interface under {build.release}: is its driver built, and loaded?"
    return [finding("no-interface", message, fault="KERNEL", text=output.splitlines())]
