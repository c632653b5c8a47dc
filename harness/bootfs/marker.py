"""Which slot a running kernel came from: its command line tells, for only the cmdline.txt of the slot names it.

config.txt does not tell: the firmware falls back to the stock kernel, without a word, when a slot lacks something.
"""

import attrs

from harness.bootfs import cmdline_txt
from harness.bootfs.partition import clean
from harness.model import BootFile, BootFiles

MARKER = "pi64.slot"  # a parameter with a dot is a module's: no kernel complains about it, nor hands it to init
CMDLINE = "cmdline.txt"


def marked(files: BootFiles) -> BootFiles:
    """Return *files* with the name of their slot in its command line."""
    name = clean(f"{files.os_prefix}{CMDLINE}")
    return attrs.evolve(
        files, files=tuple(_marked(file, files) if str(file.path) == name else file for file in files.files)
    )


def _marked(file: BootFile, files: BootFiles) -> BootFile:
    parameters = cmdline_txt.split(cmdline_txt.first_line(file.read().decode("latin-1")))
    line = cmdline_txt.join(cmdline_txt.put(parameters, f"{MARKER}={clean(files.os_prefix)}"))
    return attrs.evolve(file, data=f"{line}\n".encode("latin-1"), source=None)


def started_from(cmdline: str) -> str:
    """Return the slot that the kernel with this command line came from, ``pi64/`` say; empty for any other system."""
    value = cmdline_txt.get(cmdline_txt.split(cmdline_txt.first_line(cmdline)), MARKER)
    return f"{value}/" if value else ""
