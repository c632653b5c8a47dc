"""A pytest plugin: notes the processor time of this very process, without that of the programs that it starts."""

import os
import resource
from pathlib import Path

FOLDER = "PI64_BENCH_USAGE"
"""Environment variable: where each process leaves a file with its seconds."""


def pytest_unconfigure() -> None:
    """Write it down at the very end."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    Path(os.environ[FOLDER], str(os.getpid())).write_text(str(used.ru_utime + used.ru_stime))
