"""Every module that was built loads, and unloads again; of a distribution's thousands, a choice of them."""

import re
import shlex

from harness.model import BoardProfile, Finding, KernelBuild
from harness.verdict.findings import finding

ORDER = 70
TIMEOUT_S = 900.0
# Answers one line a module: name, how loading ended, how unloading ended (`-`: not tried), what modprobe said. What was
# loaded before we came stays: the network, and with it our own shell, may hang on it. Of more than a hundred, those are
# tried that a device here asks for, and each k-th file system and protocol. A driver for hardware that is not there may
# reach for it all the same (those of ISA cards do: an oops, and nobody's fault), and tests run when they are loaded.
SCRIPT = (
    'l() { find "/lib/modules/$(uname -r)/" -name "*.ko*" -type f 2>/dev/null | sort; }; set -- $(l); k=$(($#/100+1));'
    ' if [ $k -gt 1 ]; then l | sed "s,.*/\\(.*\\)\\.ko.*,\\1 - -,";'
    " w=$(sort -u /sys/bus/*/devices/*/modalias 2>/dev/null"
    ' | while read -r a; do modprobe -R "$a" 2>/dev/null; done | sort -u);'
    ' set -- $(l | grep -E "/kernel/(fs|net)/" | sed -n "$k~${k}p") $(for n in $w; do modinfo -n $n 2>/dev/null; done);'
    " fi; for f; do m=${f##*/}; m=${m%%.ko*}; n=$(echo $m | tr - _);"
    ' if grep -q "^$n " /proc/modules; then echo "$m 0 -"; continue; fi;'
    ' said=$(modprobe "$m" 2>&1); loaded=$?; gone=-;'
    ' if [ $loaded = 0 ]; then modprobe -r "$m" >/dev/null 2>&1; gone=$?; fi;'
    ' echo "$m $loaded $gone" $said; done'
)
COMMAND = f"sudo sh -c {shlex.quote(SCRIPT)}"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_LINE = re.compile(rf"({_NAME.pattern}) (\d+|-) (\d+|-)(?: (.*))?")
_NO_HARDWARE = re.compile(r"No such device|Operation not supported|Function not implemented")
_DOES_NOT_FIT = re.compile(
    r"Exec format error|[Uu]nknown symbol|[Ii]nvalid module format|not found in directory|Key was rejected"
)


def judge(output: str, build: KernelBuild, board: BoardProfile) -> list[Finding]:
    """Object to modules that did not load, or were built and are not there.

    A driver may refuse for want of its hardware, and a module in use, or without an exit, stays: neither is a fault.
    """
    asked: set[str] = set()
    objections: list[Finding] = []
    for number, line in enumerate(output.splitlines(), start=1):
        answer = _LINE.fullmatch(line.strip())
        if answer:
            asked.add(_canonical(answer[1]))
            objections += _load_failure(number, answer)
    absent = [name for name in build.modules if _canonical(name) not in asked]
    if absent:
        message = (
            f"{len(absent)} of {len(build.modules)} modules built are not on {board.name}: {', '.join(absent[:8])}"
        )
        objections.append(finding("modules-missing", message, fault="DEPLOY", text=absent))
    return objections


def _load_failure(number: int, answer: re.Match[str]) -> list[Finding]:
    name, status, said = answer[1], answer[2], answer[4] or "modprobe said nothing"
    if status in {"0", "-"} or _NO_HARDWARE.search(said):
        return []
    unfit = _DOES_NOT_FIT.search(said)
    kind, fault = ("module-mismatch", "DEPLOY") if unfit else ("module-load", "KERNEL")
    return [finding(kind, f"{name} does not load: {said}", fault=fault, first_line=number, text=(answer[0],))]


def _canonical(name: str) -> str:
    """``snd-bcm2835`` and ``snd_bcm2835`` are one module: file names have the first, the kernel the second."""
    return name.replace("-", "_")
