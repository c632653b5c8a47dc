"""The kernel that answers is a 64-bit one."""

from harness.model import BoardProfile, Finding, KernelBuild
from harness.verdict.findings import finding

ORDER = 10
COMMAND = "uname -m"


def judge(output: str, build: KernelBuild, board: BoardProfile) -> list[Finding]:
    """Object to anything but aarch64: the kernel built is one, so another was started."""
    machine = output.strip()
    if machine == "aarch64":
        return []
    message = f"uname -m says {machine or 'nothing'}, not aarch64: {board.name} did not start {build.release}"
    return [finding("wrong-kernel", message, fault="DEPLOY", text=output.splitlines())]
