"""Where Debian's packages come from: the environment, this host's own apt, or mmdebstrap's default."""

import os
import shutil

from harness import host

FORMAT = "$(ORIGIN)|$(CODENAME)|$(SITE)"


def mirror() -> str | None:
    """Return the address of a Debian mirror; None to leave it to mmdebstrap, on a host that is no Debian."""
    given = os.environ.get("PI64_MIRROR")
    if given or shutil.which("apt-get") is None:
        return given or None
    return from_index_targets(host.run(["apt-get", "indextargets", "--format", FORMAT]).decode())


def from_index_targets(text: str) -> str | None:
    """Find the mirror in what ``apt-get indextargets`` prints with FORMAT.

    Security, updates and backports have a codename of their own, with a dash, and may lie elsewhere.
    """
    for line in text.splitlines():
        origin, codename, site = line.split("|", 2)
        if origin == "Debian" and "-" not in codename:
            return site
    return None
