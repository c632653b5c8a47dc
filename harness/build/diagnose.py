"""What make's output tells: why it failed and whose fault that was, and what the compiler objected to; no I/O.

A full disk, a compiler killed for want of memory, or a missing host program say nothing about the tree: LabError.
"""

import re
import signal
from collections.abc import Iterator, Sequence

from harness.errors import BuildError, LabError
from harness.host import PACKAGES

TAIL = 8  # lines shown when nothing better is known

BENCH = (
    (
        r"No space left on device|Disk quota exceeded|File size limit exceeded|File too large|: \*\*\* .*\bError 153$",
        "the disk is full",
        "free some space (`pi64 cache prune`), or point PI64_CACHE at a larger disk",
    ),
    (
        (
            r"Killed signal terminated|terminated with signal 9|internal compiler error: Killed|: \*\*\* .*\bKilled$|"
            r"virtual memory exhausted|memory exhausted$|out of memory allocating|[Cc]annot allocate memory|"
            r"LLVM ERROR: out of memory|unable to execute command: Killed"
        ),
        "the compiler was killed: not enough memory",
        "use fewer jobs, or add swap",
    ),
    (
        r"fork: (?:retry: )?Resource temporarily unavailable|Too many open files",
        "this host is out of processes or files",
        "see `ulimit -a`, or use fewer jobs",
    ),
    (r"fatal error: openssl/\S+: No such file", "headers of OpenSSL are missing", "apt-get install libssl-dev"),
    (
        r"fatal error: (?:gelf|libelf|elf)\.h: No such file",
        "headers of libelf are missing",
        "apt-get install libelf-dev",
    ),
    (
        r"Read-only file system|Input/output error|Stale file handle",
        "the disk cannot be read or written",
        "see `dmesg` of this host",
    ),
    (
        r"(?:can(?:no|')t|unable to|failed to) (?:create|open output|mkdir|write)\b.*: Permission denied",
        "a file of the build cannot be written",
        "see who owns the cache folder",
    ),
)
"""(pattern, what happened, what helps)."""
QUOTED = re.compile(r"\s*\d*\s*\||.*:\d+: (?:warning|note): ")
"""A line of source that the compiler shows, or its opinion of one: the text in it is the tree's."""

TOOLS = PACKAGES | {
    "openssl": "openssl", "pahole": "dwarves", "cpio": "cpio", "rsync": "rsync", "perl": "perl", "python3": "python3",
    "gcc": "gcc", "bc": "bc", "bison": "bison", "flex": "flex", "xz": "xz-utils", "zstd": "zstd", "gzip": "gzip",
    "lz4": "lz4", "lzop": "lzop", "gawk": "gawk", "awk": "mawk", "ld": "binutils", "ar": "binutils", "as": "binutils",
    "clang": "clang", "ld.lld": "lld", "llvm-ar": "llvm", "git": "git", "tar": "tar", "cmp": "diffutils",
    "aarch64-linux-gnu-ld": "binutils-aarch64-linux-gnu",
}  # fmt: skip
"""Host programs a kernel build calls -> package."""

MISSING = re.compile(
    r"(?:(?:/bin/)?(?:ba)?sh: (?:line )?(?:\d+: )?|make(?:\[\d+\])?: |env: '?|\S+: \d+: (?:exec: )?)"
    r"(?:\S*/)?(?P<said>[\w.+-]+)'?: (?:not found|command not found|No such file or directory)"
    r"|\S*Kconfig\.include:\d+: C compiler '(?:\S+ )*(?P<kconfig>\S+)' not found"
    r"|ccache: error: [Cc]ould not find compiler \"(?P<ccache>[^\"]+)\""
)
FIRST = (
    re.compile(r"^[^\s:]+:\d+:(?:\d+:)? (?:fatal )?error: .+"),  # compiler, with file and line
    re.compile(r"^[^\s:]+:\d+: Error: .+"),  # assembler
    re.compile(r"^(?:\S+:)?\S*Kconfig\S*:\d+: .*(?:error|undefined|can't|unknown).*"),
    re.compile(r"^Error: \S+\.dtsi?:[\d.-]+ .+"),  # dtc
    re.compile(r"^ERROR: modpost: .+"),
    re.compile(r".*undefined reference to .+|.*relocation truncated to fit.+|.*undefined symbol: .+"),
    re.compile(r"^make(?:\[\d+\])?: \*\*\* .+|^\S*Makefile\S*:\d+: \*\*\* .+|^\*\*\* .+"),
)
"""What the first error may look like, the most telling kind first."""
COLOUR = re.compile(r"\x1b\[[0-9;]*[mK]")
WARNING = (
    re.compile(r"^(?P<file>[^\s:]+):[\d.-]+(?::\d+)?: (?P<text>[Ww]arning\b.+)"),  # compiler, assembler, dtc, Kconfig
    re.compile(r"^(?P<file>)(?P<text>WARNING: .+)"),  # modpost
    re.compile(r"^(?P<file>)(?P<text>\S*ld(?:\.bfd|\.lld)?: warning: .+)"),
)


def failure(log: str, *, what: str, status: int, hint: str) -> BuildError | LabError:
    """Return the error to raise for a make that ended with *status* and said *log*.

    *what* names tree and step; *hint* names the full log and the command that repeats the step.
    """
    lines = COLOUR.sub("", log).splitlines()
    if trouble := _bench(lines):
        line, fact, remedy = trouble
        return LabError(f"{what}: {fact}", hint=f"{remedy}; {hint}", evidence=[line])
    if status < 0:
        name = signal.Signals(-status).name
        return LabError(f"{what}: make was ended by {name}", hint=hint, evidence=lines[-TAIL:])
    first = first_error(lines)
    evidence = [*lines[first : first + 4], *_tail(lines, after=first + 4)] if first is not None else lines[-TAIL:]
    message = lines[first] if first is not None else f"make returned {status}"
    return BuildError(f"{what}: {message.strip()}", hint=hint, evidence=evidence)


def _bench(lines: Sequence[str]) -> tuple[str, str, str] | None:
    """Return the first line that speaks of the host and not of the tree, what it means and what helps."""
    for line in lines:
        if QUOTED.match(line):
            continue
        for pattern, fact, remedy in BENCH:
            if re.search(pattern, line):
                return line, fact, remedy
        if (found := MISSING.match(line)) and (tool := next(filter(None, found.groups()))) in TOOLS:
            return line, f"program `{tool}` is missing", f"apt-get install {TOOLS[tool]}"
    return None


def first_error(lines: Sequence[str]) -> int | None:
    """Return the index of the line where the trouble began; None if no line looks like an error."""
    for pattern in FIRST:
        for index, line in enumerate(lines):
            if pattern.match(line):
                return index
    return None


def _tail(lines: Sequence[str], *, after: int) -> Sequence[str]:
    return lines[max(after, len(lines) - TAIL // 2) :]


# --- warnings --------------------------------------------------------------------------------------------------------
def warnings(log: str, *, tree: str) -> list[str]:
    """Return the warnings in *log*, each once, in order: ``FILE: warning: TEXT``, with *tree* cut off and no line.

    A warning whose line has moved is not a new one.
    """
    return list(dict.fromkeys(_warnings(COLOUR.sub("", log).splitlines(), tree)))


def _warnings(lines: Sequence[str], tree: str) -> Iterator[str]:
    for line in lines:
        for pattern in WARNING:
            if found := pattern.match(line):
                file = found["file"].removeprefix(f"{tree}/").removeprefix("source/").removeprefix("./")
                yield f"{file}: {found['text']}" if file else found["text"]
                break


def compiled(log: str) -> set[str]:
    """Return the objects that *log* says were made, without suffix: ``kernel/fork``."""
    return set(re.findall(r"^  (?:CC|AS|DTC|DTCO|HOSTCC)(?: \[M\])? +(\S+?)\.\w+$", log, re.MULTILINE))


def still(before: Sequence[str], done: set[str]) -> list[str]:
    """Return those warnings of *before* that hold still: their file was not among the objects that are *done* anew."""
    return [warning for warning in before if warning.partition(":")[0].rpartition(".")[0] not in done]
