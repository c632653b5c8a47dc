"""What changes in boot files for a board without a card, and the record of what its TFTP tree is made of."""

import hashlib
import json
import re

import attrs

from harness.bootfs import cmdline_txt, slots
from harness.deploy import netboot_folder
from harness.errors import DeployError
from harness.model import BootFiles

FIRST_BOOT = re.compile(r"init=\S*/(?:firstboot|init_resize\.sh)")  # would repartition the card that is not there
ON_THE_CARD = frozenset({"root", "rootfstype", "rootwait", "fsck.repair", "ro", "rw", "ip", "nfsroot"})
"""Parameters of a stock command line that say where the root filesystem is; ours take their place."""
ROOT_NAME = re.compile(r"\w{1,12}-\d+", re.ASCII)
"""Name of a root filesystem's folder: beginning of the base image's digest, and which copy of it."""


@attrs.frozen
class Kernel:
    """One kernel of a tree: the folder of its boot files (empty: the tree itself), and that of its modules."""

    os_prefix: str
    release: str


@attrs.frozen
class Record:
    """What a TFTP tree is made of."""

    base: str = ""
    """Digest of the base image."""
    root: str = ""
    """Name of the root filesystem's folder."""
    kernels: tuple[Kernel, ...] = ()
    """The one that boots first, then those whose files are kept."""

    def to_json(self) -> bytes:
        """Return it as a file's content."""
        return json.dumps(attrs.asdict(self), indent=1).encode()

    @classmethod
    def from_json(cls, text: str) -> "Record":
        """Read what ``to_json`` wrote; ValueError, KeyError, TypeError or LabError for anything else."""
        given = json.loads(text)
        kernels = tuple(Kernel(one["os_prefix"], netboot_folder.checked(one["release"])) for one in given["kernels"])
        if not ROOT_NAME.fullmatch(given["root"]):
            raise ValueError(f"root {given['root']!r}")
        return cls(given["base"], given["root"], kernels)


def for_nfs(line: str, nfsroot: str) -> str:
    """Return the stock command line *line* as it must be without a card: root by NFS, an address by DHCP."""
    parameters = cmdline_txt.split(cmdline_txt.first_line(line))
    own = [one for one in parameters if cmdline_txt.key(one) not in ON_THE_CARD and not FIRST_BOOT.fullmatch(one)]
    return cmdline_txt.join([*own, "root=/dev/nfs", f"nfsroot={nfsroot}", "ip=dhcp", "rw"]) + "\n"


def by_content(files: BootFiles) -> BootFiles:
    """Return *files* with the folder of their ``os_prefix`` named after its content.

    So no name ever changes its content: a board that fetched config.txt before a switch still finds all that belongs
    to it. In-place files have no such folder. DeployError when config.txt does not say where they are.
    """
    if not files.os_prefix:
        return files
    own = [file for file in files.files if slots.holds(files.os_prefix, str(file.path))]
    told = sorted(f"{file.path} {hashlib.sha256(file.read()).hexdigest()}" for file in own)
    name = hashlib.sha256("\n".join(told).encode()).hexdigest()[:8]
    moved = slots.moved(files, f"{files.os_prefix.rstrip('/')}-{name}/")
    if not any(str(file.path) == slots.CONFIG and slots.live(file.read()) == moved.os_prefix for file in moved.files):
        raise DeployError(f"config.txt does not say os_prefix={files.os_prefix}, where the kernel's files are")
    return moved
