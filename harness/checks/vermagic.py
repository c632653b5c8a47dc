"""The modules on the target were built with this kernel."""

from harness.model import BoardProfile, Finding, KernelBuild
from harness.verdict.findings import finding

ORDER = 60
TIMEOUT_S = 120.0
MODULES_ASKED = 100  # a distribution kernel has thousands; packages that are out of step differ in all of them
COMMAND = (
    'find "/lib/modules/$(uname -r)/" -name "*.ko*" -type f 2>/dev/null | sort | head -n ' + str(MODULES_ASKED) + " | "
    'while read -r f; do echo "${f##*/} $(/sbin/modinfo -F vermagic "$f" 2>&1)"; done'
)


def judge(output: str, build: KernelBuild, board: BoardProfile) -> list[Finding]:
    """Object to each module whose vermagic does not begin with the release built, and to none being there."""
    del board
    modules = [line.split(maxsplit=1) for line in output.splitlines() if line.strip()]
    if build.modules and not modules:
        message = f"no module below /lib/modules/{build.release}, {len(build.modules)} were built"
        return [finding("modules-missing", message, fault="DEPLOY")]
    return [
        _objection(number, parts, build.release)
        for number, parts in enumerate(modules, start=1)
        if not _fits(parts, build.release)
    ]


def _fits(parts: list[str], release: str) -> bool:
    return len(parts) == 2 and parts[1].split()[0] == release


def _objection(number: int, parts: list[str], release: str) -> Finding:
    magic = parts[1].strip() if len(parts) == 2 else "no vermagic"
    message = f"{parts[0]}: {magic}; the kernel is {release}"
    return finding("module-mismatch", message, fault="DEPLOY", first_line=number, text=(" ".join(parts),))
