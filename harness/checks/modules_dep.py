"""The kernel can find its modules: there is a modules.dep for its release."""

from harness.model import BoardProfile, Finding, KernelBuild
from harness.verdict.findings import finding

ORDER = 50
COMMAND = 'f="/lib/modules/$(uname -r)/modules.dep"; if [ -e "$f" ]; then wc -c <"$f"; else echo "no $f"; fi'


def judge(output: str, build: KernelBuild, board: BoardProfile) -> list[Finding]:
    """Object to a missing or empty file; a kernel without modules needs none."""
    del board
    answer = output.strip()
    if not build.modules or (answer.isdecimal() and int(answer) > 0):
        return []
    what = "is empty" if answer == "0" else "is missing"
    message = f"/lib/modules/{build.release}/modules.dep {what}: depmod has not run for this kernel"
    return [finding("modules-missing", message, fault="DEPLOY", text=output.splitlines())]
