"""The release that answers is the one that was built."""

from harness.model import BoardProfile, Finding, KernelBuild
from harness.verdict.findings import finding

ORDER = 30
COMMAND = "uname -r"


def judge(output: str, build: KernelBuild, board: BoardProfile) -> list[Finding]:
    """Object to another release: os_prefix and tryboot fall back to the old kernel without a word."""
    release = output.strip()
    if release == build.release:
        return []
    message = f"{board.name} runs {release or 'nothing'}, built was {build.release}: another kernel was started"
    return [finding("wrong-kernel", message, fault="DEPLOY", text=output.splitlines())]
