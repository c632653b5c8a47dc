"""The folder of a run: one of its own for each, and ``latest`` pointing to the newest."""

import datetime
import os
from pathlib import Path

from harness.errors import UsageError


def make(parent: Path, target: str) -> Path:
    """Make and return the folder of a new run on *target* below *parent*; UsageError when that cannot be.

    Without a *target* its name is the time alone.
    """
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H-%M-%S")
    try:
        folder = _new_folder(parent, f"{stamp}-{target}" if target else stamp)
        _point(parent / "latest", folder)
    except OSError as error:
        raise UsageError(f"{parent}: no folder for the record of this run: {error}", hint="--runs DIR") from error
    return folder


def _new_folder(parent: Path, name: str) -> Path:
    """Make and return a folder that no other process has made: two runs may start within one second."""
    number = 1
    while True:
        folder = parent / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1


def _point(link: Path, folder: Path) -> None:
    beside = link.with_name(f".{link.name}.{os.getpid()}")
    beside.symlink_to(folder.name)
    beside.replace(link)
