"""The userland above the 64-bit kernel is still the 32-bit one."""

from harness.model import BoardProfile, Finding, KernelBuild
from harness.verdict.findings import finding

ORDER = 20
COMMAND = "getconf LONG_BIT; dpkg --print-architecture 2>/dev/null || echo no dpkg"
NOT_FOR = frozenset({"userland64"})
EXPECTED = ("32", "armhf")
WITHOUT_DPKG = ("32", "no dpkg")  # buildroot, Yocto


def judge(output: str, build: KernelBuild, board: BoardProfile) -> list[Finding]:
    """Object to another word size or package architecture; that is the base image's doing, not the kernel's."""
    del build, board
    answered = tuple(line.strip() for line in output.splitlines() if line.strip())
    if answered in {EXPECTED, WITHOUT_DPKG}:
        return []
    message = (
        f"userland is {' '.join(answered) or 'silent'}, expected {' '.join(EXPECTED)}:"
        " the base image is not a 32-bit one (a 64-bit one has the feature `userland64` in lab.yaml)"
    )
    return [finding("userland", message, fault="LAB", text=output.splitlines())]
