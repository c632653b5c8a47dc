"""Ethernet is up: a link, and an address."""

from harness.checks import _interfaces
from harness.model import BoardProfile, Finding, KernelBuild
from harness.verdict.findings import finding

ORDER = 83
TIMEOUT_S = 60.0
REQUIRES = frozenset({"ethernet-link"})  # a cable is plugged in, and somebody gives addresses: only lab.yaml knows that
COMMAND = _interfaces.waiting("wired")


def judge(output: str, build: KernelBuild, board: BoardProfile) -> list[Finding]:
    """Object where no wired interface has both; the cable was promised, so it is the kernel that is asked why."""
    del build
    wired = [one for one in _interfaces.interfaces(output) if not one.wireless]
    if any(one.up for one in wired):
        return []
    state = ", ".join(f"{one.name}: {'no address' if one.link else 'no link'}" for one in wired) or "no interface"
    return [
        finding("no-network", f"{board.name}: Ethernet is not up: {state}", fault="KERNEL", text=output.splitlines())
    ]
