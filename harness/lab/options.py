"""What lab.yaml says about one target under ``options:``; labgrid's own words stand beside it."""

import os
from pathlib import Path
from typing import Literal

import attrs

from harness.build import stubs
from harness.errors import UsageError
from harness.model import Account, Deadlines

Layout = Literal["side-by-side", "in-place"]
Depmod = Literal["host", "target"]


@attrs.frozen
class KernelOptions:
    """Which kernel is built, from what and how."""

    source: str = "package:linux-source-*"
    """A folder, a tarball, a git URL, or ``package:`` and a pattern of the distribution's source packages."""
    ref: str | None = None
    """Branch, tag or commit, for git."""
    branch: str | None = None
    """What the history is to call the branch, where *ref* is one commit of it."""
    toolchain: str = "system"
    config: str | None = None
    """A defconfig, or ``allnoconfig``; by default the one that fits board and source."""
    fragments: tuple[str, ...] = ()
    """Names in ``harness/build/fragments``, paths of files, or ``KEY=value``."""
    requires: tuple[str, ...] | None = None
    """Names in ``harness/build/requirements``; by default what userland and root filesystem need; ``[none]``: none."""
    prebuilt: tuple[str, ...] = ()
    """Paths of a kernel that somebody else has built; then nothing above counts but ``requires``."""


@attrs.frozen
class StubOptions:
    """Where boot stubs come from, for a board whose firmware is so old that it needs one."""

    source: str = stubs.SOURCE
    """A folder, or ``git+URL``."""
    ref: str | None = None


@attrs.frozen
class ImageOptions:
    """Which system lies under the kernel."""

    file: str | None = None
    """A Raspberry Pi OS image (.img, .img.xz); None: the armhf Debian that pi64 makes itself."""
    sha256: str | None = None
    """Of *file* as it is given."""
    suite: str = "bookworm"
    """Of the Debian that pi64 makes."""
    prepare: Literal["as-needed", "never"] = "as-needed"
    """Whether *file*, or a card made from it, gets user, ssh and serial console, and loses its first-boot dialog."""


@attrs.frozen
class LoginOptions:
    """Who logs in on the console."""

    user: str = "pi"
    password: str | None = attrs.field(default=None, repr=False)
    password_env: str | None = None
    """Name of the environment variable that holds the password: for boards whose password is a secret."""
    password_file: str | None = None
    """A file whose first line is the password, for the same; ``~`` is the home folder."""

    @property
    def secret(self) -> bool:
        """Whether the password is one that must not be shown."""
        return self.password_env is not None or self.password_file is not None

    def account(self, target: str) -> Account:
        """Return who logs in; UsageError when the environment, or the file, lacks what was named."""
        if self.password_file is not None:
            return Account(self.user, _first_line(target, self.user, Path(self.password_file).expanduser()))
        if self.password_env is None:
            return Account(self.user, self.password or "")
        password = os.environ.get(self.password_env)
        if password is None:
            raise UsageError(
                f"{target}: the environment variable {self.password_env} is not set",
                hint=f"it holds the password of user `{self.user}`: export {self.password_env}=...",
            )
        return Account(self.user, password)


def _first_line(target: str, user: str, path: Path) -> str:
    try:
        line = path.read_text().partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(
            f"{target}: the password file {path} cannot be read: {why}",
            hint=f"its first line is the password of user `{user}`; let it be readable by you alone: chmod 600",
        ) from None
    if not line:
        raise UsageError(f"{target}: the first line of the password file {path} is empty")
    return line


@attrs.frozen
class TargetOptions:
    """All that pi64 itself wants to know of a target."""

    model: str
    """A board model: a file in ``harness/boards``."""
    kernel: KernelOptions = KernelOptions()
    image: ImageOptions = ImageOptions()
    login: LoginOptions = LoginOptions()
    firmware: str | None = None
    """ISO date of the firmware on the card, where its start*.elf does not tell."""
    stubs: StubOptions = StubOptions()
    stock: KernelOptions | None = None
    """The kernel of the system that is there already, where the lab makes the card and deploys over SSH."""
    layout: Layout = "side-by-side"
    depmod: Depmod = "host"
    """``host``, or ``target`` as the guide does."""
    root: str | None = None
    """Replaces ``root=`` of the stock command line."""
    config_txt: tuple[str, ...] = ()
    """Further lines for config.txt."""
    cmdline: tuple[str, ...] = ()
    """Further parameters for the kernel."""
    deadlines: Deadlines = Deadlines()
    reserve: tuple[str, ...] = ()
    """Tags, ``board=rpi4``, of the place that a coordinator is asked for, where ``RemotePlace`` names none (``+``)."""
