"""One long-running program of a build: its environment, its output line by line, and how all of it is stopped."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from harness import host

GRACE_S = 5.0
"""How long make may take to remove half-written targets when it is told to stop."""
FOREIGN = re.compile(
    r"MAKE|KBUILD_|KCONFIG_|CONFIG_|INSTALL_|GCC_|LANG|LC_|\w*FLAGS$|\w*_OPTIONS$"
    r"|CCACHE_(?:BASEDIR|COMPILER\w*|EXTRAFILES|IGNORE\w*|NO?HASH\w*|PREFIX\w*|SLOPPINESS|STATSLOG)$"
)
FOREIGN_NAMES = frozenset(
    {
        "ARCH", "CROSS_COMPILE", "O", "V", "C", "W", "M", "LLVM", "LLVM_IAS", "LOCALVERSION", "DEPMOD",
        "CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "OBJC_INCLUDE_PATH", "COMPILER_PATH", "LIBRARY_PATH",
        "SOURCE_DATE_EPOCH", "DEPENDENCIES_OUTPUT", "SUNPRO_DEPENDENCIES", "GZIP", "XZ_OPT", "XZ_DEFAULTS", "TZ",
    }
)  # fmt: skip
"""Variables that would reach makefiles, compiler or ccache from outside, e.g. from a `make hw` around this: not in the
key. What only says where ccache keeps things, ``CCACHE_DIR`` or ``CCACHE_REMOTE_STORAGE``, is passed on."""


def environment(outside: Mapping[str, str]) -> dict[str, str]:
    """Return *outside* without what would change a build behind the key's back; one ccache for all builds."""
    kept = {name: value for name, value in outside.items() if not (FOREIGN.match(name) or name in FOREIGN_NAMES)}
    shared = outside.get("CCACHE_DIR") or str(host.cache_dir("ccache"))
    return {**kept, "CCACHE_DIR": shared, "LC_ALL": "C"}


@contextmanager
def group(
    command: Sequence[str], mark: Path, *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run *command* in a process group of its own and leave none of it behind, however the block ends.

    *mark* lies there while it runs; what lies there afterwards was killed, and left half-written files. *env* is added
    to `environment`.
    """
    # With setpriv the kernel stops make even when this process is killed outright.
    guard = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
    argv = [*guard, host.find(command[0]), *command[1:]]
    mark.touch()
    process = subprocess.Popen(
        argv, cwd=cwd, env={**environment(os.environ), **(env or {})}, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is not None or _stop(process):
            mark.unlink(missing_ok=True)
        if process.stdout is not None:
            process.stdout.close()


def clock(seconds: float) -> str:
    """Return e.g. ``2:31``: minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _stop(process: subprocess.Popen[bytes]) -> bool:
    """Ask the group to stop, so that make removes half-written targets; False if it had to be killed."""
    os.killpg(process.pid, signal.SIGTERM)
    orderly = False
    try:
        process.wait(timeout=GRACE_S)
        orderly = True
    except subprocess.TimeoutExpired:
        pass
    finally:  # also after a second Ctrl-C
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # children that outlived make
        process.wait()
    return orderly
