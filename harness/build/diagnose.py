"""Why make failed, and whose fault that was: a build log in, one error out; no I/O.

A full disk, a compiler killed for want of memory, or a missing host program say nothing about the tree: LabError.
"""

import re
from collections.abc import Sequence

from harness.errors import BuildError, LabError

TAIL = 8  # lines shown when nothing better is known

BENCH = (
    (r"No space left on device", "the disk is full", "free some space, or point PI64_CACHE at a larger disk"),
    (
        r"Killed signal terminated|internal compiler error: Killed|virtual memory exhausted|[Cc]annot allocate memory",
        "the compiler was killed: not enough memory",
        "use fewer jobs, or add swap",
    ),
    (r"fatal error: openssl/\S+: No such file", "headers of OpenSSL are missing", "apt-get install libssl-dev"),
    (
        r"fatal error: (?:gelf|libelf|elf)\.h: No such file",
        "headers of libelf are missing",
        "apt-get install libelf-dev",
    ),
    (r"Read-only file system|Input/output error", "the disk cannot be written", "see `dmesg` of this host"),
)
"""(pattern, what happened, what helps)."""

TOOLS = {
    "openssl": "openssl", "pahole": "dwarves", "cpio": "cpio", "rsync": "rsync", "perl": "perl", "python3": "python3",
    "gcc": "gcc", "bc": "bc", "bison": "bison", "flex": "flex", "xz": "xz-utils", "zstd": "zstd", "gzip": "gzip",
}  # fmt: skip
"""Host programs a kernel build calls -> package."""

MISSING = re.compile(
    r"(?:/bin/sh: \d+: |/bin/(?:ba)?sh: (?:line \d+: )?|make(?:\[\d+\])?: )([\w.+-]+): "
    r"(?:not found|command not found|No such file or directory)"
)
FIRST = (
    re.compile(r"^[^\s:]+:\d+:(?:\d+:)? (?:fatal )?error: .+"),  # compiler, with file and line
    re.compile(r"^(?:\S+:)?\S*Kconfig\S*:\d+: .*(?:error|undefined|can't|unknown).*"),
    re.compile(r"^Error: \S+\.dtsi?:[\d.-]+ .+"),  # dtc
    re.compile(r"^ERROR: modpost: .+"),
    re.compile(r".*undefined reference to .+|.*relocation truncated to fit.+"),
    re.compile(r"^make(?:\[\d+\])?: \*\*\* .+|^\*\*\* .+"),
)
"""What the first error may look like, the most telling kind first."""


def failure(log: str, *, what: str, status: int, hint: str) -> BuildError | LabError:
    """Return the error to raise for a make that ended with *status* and said *log*.

    *what* names tree and step; *hint* names the full log and the command that repeats the step.
    """
    lines = log.splitlines()
    for line in lines:
        for pattern, fact, remedy in BENCH:
            if re.search(pattern, line):
                return LabError(f"{what}: {fact}", hint=f"{remedy}; {hint}", evidence=[line])
        if (found := MISSING.match(line)) and found[1] in TOOLS:
            remedy = f"apt-get install {TOOLS[found[1]]}"
            return LabError(f"{what}: program `{found[1]}` is missing", hint=f"{remedy}; {hint}", evidence=[line])
    first = first_error(lines)
    evidence = [*lines[first : first + 4], *_tail(lines, after=first + 4)] if first is not None else lines[-TAIL:]
    message = lines[first] if first is not None else f"make returned {status}"
    return BuildError(f"{what}: {message.strip()}", hint=hint, evidence=evidence)


def first_error(lines: Sequence[str]) -> int | None:
    """Return the index of the line where the trouble began; None if no line looks like an error."""
    for pattern in FIRST:
        for index, line in enumerate(lines):
            if pattern.match(line):
                return index
    return None


def _tail(lines: Sequence[str], *, after: int) -> Sequence[str]:
    return lines[max(after, len(lines) - TAIL // 2) :]
