"""Wi-Fi is up: associated, and with an address."""

from harness.checks import _interfaces
from harness.model import BoardProfile, Finding, KernelBuild
from harness.verdict.findings import finding

ORDER = 85
REQUIRES = frozenset({"wifi-link"})  # the image has been told a network that is in reach: only lab.yaml knows that
TIMEOUT_S = 60.0
COMMAND = _interfaces.waiting("wireless")


def judge(output: str, build: KernelBuild, board: BoardProfile) -> list[Finding]:
    """Object where no wireless interface has both."""
    del build
    wireless = [one for one in _interfaces.interfaces(output) if one.wireless]
    if any(one.up for one in wireless):
        return []
    state = ", ".join(f"{one.name}: {'no address' if one.link else 'not associated'}" for one in wireless)
    message = f"{board.name}: Wi-Fi is not up: {state or 'no interface'}"
    return [finding("no-network", message, fault="KERNEL", text=output.splitlines())]
