"""A file as a block device: for root, on a host that has loop devices; elsewhere the test that wants one is skipped."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

LOSETUP = shutil.which("losetup", path="/usr/sbin:/sbin:/usr/bin:/bin") or "losetup"


@contextmanager
def looped(file: Path, *options: str) -> Iterator[Path]:
    """Yield the loop device of *file*."""
    try:
        done = subprocess.run([LOSETUP, "-f", "--show", *options, file], capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no loop device: {error}")
    if done.returncode:
        pytest.skip(f"no loop device: {done.stderr.strip()}")
    device = Path(done.stdout.strip())
    try:
        yield device
    finally:
        subprocess.run([LOSETUP, "-d", device], check=True)
