"""ccache: how the kernel's compilers are called through it, and how many objects of a build it had already."""

import re
import shutil
from pathlib import Path

from harness.model import CacheUse

WRAPPER = Path(__file__).with_name("ccache.sh")
TREE = "PI64_TREE"
"""Environment variable that tells the wrapper where the kernel tree lies."""
SOURCES = (".c", ".S", ".s")
HIT, REMOTE = re.compile(r"(?:direct|preprocessed)_cache_hit"), "remote_storage_hit"


def compilers(compiler: str, host_compiler: str) -> list[str]:
    """Return make's words that send both compilers through ccache; none where it is not installed."""
    if shutil.which("ccache") is None:
        return []
    # make splits these words at spaces
    ccache = "ccache" if " " in str(WRAPPER) else f"sh {WRAPPER}"
    return [f"CC={ccache} {compiler}", f"HOSTCC={ccache} {host_compiler}"]


def environment(tree: Path, log: Path) -> dict[str, str]:
    """Return what the wrapper and ccache shall find in their environment; ccache notes each call in *log*.

    The working folder does not count: it differs for each tree, and debug information does not tell it.
    """
    return {"CCACHE_NOHASHDIR": "1", "CCACHE_STATSLOG": str(log), TREE: str(tree)}


def use(log: str) -> CacheUse | None:
    """Return what the text of a statistics log tells; None if it has nothing to tell.

    What compiles no file does not count: the kernel's makefiles ask the compiler a hundred times what it can.
    Source: https://ccache.dev/manual/4.7.5.html (``stats_log``): ``# FILE``, then a line a counter that was raised.
    """
    hits = misses = remote = 0
    for call in re.split(r"^# ", log, flags=re.MULTILINE)[1:]:
        file, *counters = call.splitlines()
        if file.endswith(SOURCES):
            hits += any(HIT.fullmatch(counter) for counter in counters)
            misses += "cache_miss" in counters
            remote += REMOTE in counters
    return CacheUse(hits=hits, misses=misses, remote=remote) if hits + misses else None
