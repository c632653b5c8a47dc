"""Two folders of the boot partition take turns, so that no file of the kernel that boots now is written over.

What boots is decided by one line of config.txt, ``os_prefix=``: who replaces that file at last has switched at once.
"""

import re
from pathlib import PurePosixPath

import attrs

from harness.bootfs.compose import BEGIN, END
from harness.bootfs.partition import clean
from harness.model import BootFile, BootFiles

CONFIG = "config.txt"
SECOND = "-b"
_PREFIX = re.compile(rb"^(%b\r?\n(?:(?!%b).*\n)*?os_prefix=)([^\r\n]*)" % (BEGIN.encode(), END.encode()), re.MULTILINE)
"""The line in our block."""


def other(prefix: str) -> str:
    """Return the other slot: ``pi64-b/`` for ``pi64/``, and back."""
    stem = prefix.rstrip("/")
    turned = stem.removesuffix(SECOND) if stem.endswith(SECOND) else f"{stem}{SECOND}"
    return turned + prefix[len(stem) :]


def live(config: bytes) -> str:
    """Return the ``os_prefix`` in our block of config.txt, the slot that boots now; empty where there is none."""
    found = _PREFIX.search(config)
    return found[2].decode("latin-1").strip() if found else ""


def holds(prefix: str, name: str) -> bool:
    """Tell whether the boot file *name* lies in the slot *prefix*."""
    return bool(prefix) and name.startswith(_start(prefix))


def moved(files: BootFiles, prefix: str) -> BootFiles:
    """Return *files* as they are in the slot *prefix*; in-place files, which have no slot, as they are."""
    if not files.os_prefix or prefix == files.os_prefix:
        return files
    return attrs.evolve(
        files, files=tuple(_moved(file, files.os_prefix, prefix) for file in files.files), os_prefix=prefix
    )


def _moved(file: BootFile, old: str, new: str) -> BootFile:
    name = str(file.path)
    if name == CONFIG:
        text = _PREFIX.sub(lambda found: found[1] + new.encode("latin-1"), file.read())
        return attrs.evolve(file, data=text, source=None)
    if not holds(old, name):
        return file
    return attrs.evolve(file, path=PurePosixPath(_start(new) + name.removeprefix(_start(old))))


def _start(prefix: str) -> str:
    """Return what the names of the files in a slot begin with."""
    return clean(prefix) + "/" * prefix.endswith("/")
