"""What is asked of a board over SSH, in words of ours: ``remote.sh`` is the other half, run there as root."""

import base64
import hashlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import IO

import attrs

from harness.bootfs.tryboot import Facts
from harness.deploy.openssh import Ssh
from harness.deploy.session import Session
from harness.deploy.trees import There, parse, parse_free, parse_sums
from harness.errors import LabError

SCRIPT = Path(__file__).with_name("remote.sh").read_text()
ANSWER_S = 90.0  # a virtual Pi on a busy host takes 10 for what it reads back
READ_S = 600.0  # for the sums of all modules on a slow card
WRITE_S = 1800.0  # for all of a kernel over a slow network onto a slow card
READ_BACK, OTHER_KERNEL = 65, 66  # exit statuses of remote.sh


class OtherKernel(Exception):
    """Another kernel answers than the one that should be committed."""


@attrs.frozen
class Survey:
    """What a running board says about itself."""

    boot: str
    """The folder where its boot partition is mounted."""
    release: str
    cmdline: str
    facts: Facts
    texts: Mapping[str, bytes]
    """The text files of the boot partition."""
    slots: Mapping[str, str]
    """Release in each slot that has been written over SSH, or begun to be: ``pi64/``, ``pi64-b/``."""
    modules: tuple[str, ...]
    """Releases whose modules came over SSH."""


@attrs.frozen
class Look:
    """What lies in a slot, at a glance."""

    key: str
    """Of the list in the slot; empty when there is none, or something was touched since it was written."""
    foreign: bool
    """Whether there are modules of this release that pi64 has not put there."""


def command(user: str, root: str, function: str, *arguments: str) -> list[str]:
    """Return the command with which *user* runs *function* of remote.sh as root."""
    sudo = [] if user == "root" else ["sudo", "-n"]
    return [*sudo, "sh", "-c", SCRIPT, "pi64", function, root, *arguments]


class Remote:
    """One board, asked over *ssh*; *root* is the folder of its root filesystem, empty on a board."""

    def __init__(self, ssh: Ssh, *, root: str = "") -> None:
        self.target = ssh.target
        self._ssh, self._root = ssh, root
        self._session = Session(ssh, self.command("serve"))

    def command(self, function: str, *arguments: str) -> list[str]:
        """Return the command that runs *function* on this board, as root."""
        return command(self._ssh.address.user, self._root, function, *arguments)

    def close(self) -> None:
        """Let the program at the far end go."""
        self._session.close()

    # --- asking -------------------------------------------------------------------------------------------------------
    def survey(self, boot: str) -> Survey:
        """Return what runs there; *boot* is the boot partition's folder, or empty: find it. LabError."""
        output = self._ask("survey", boot or "-")
        said: dict[str, str] = {}
        more: dict[str, list[str]] = {"slot": [], "modules": [], "text": []}
        for record in output.decode(errors="replace").split("\0"):
            what, _, value = record.partition(" ")
            if what in more:
                more[what].append(value)
            else:
                said.setdefault(what, value)
        if not said.get("boot"):
            raise LabError(
                f"{self.target}: no boot partition with a config.txt is mounted on {boot or '/boot/firmware or /boot'}",
                hint="mount it there, or name its folder: `SshDeployDriver: {boot: /boot}`",
            )
        texts = {name: _unpacked(packed) for name, _, packed in (text.partition(" ") for text in more["text"])}
        read = {name: _unpacked(said.get(name, "")).decode(errors="replace") for name in _FILES}
        facts = Facts(
            model=read["model"].strip("\0\n "),
            compatible=read["compatible"].replace("\0", " ").strip(),
            kernel=read["osrelease"].strip(),
            mailbox="mailbox" in said,
            vcmailbox="vcmailbox" in said,
            flag="flag" in said,
            firmware=said.get("firmware", ""),
            bootloader=said.get("bootloader", ""),
            autoboot=texts.get("autoboot.txt", b"").decode("latin-1"),
        )
        return Survey(
            said["boot"],
            facts.kernel,
            read["cmdline"],
            facts,
            texts,
            {slot: first.split()[-1] for slot, _, first in (line.partition(" ") for line in more["slot"]) if first},
            tuple(more["modules"]),
        )

    def look(self, slot: str, release: str) -> Look:
        """Return what lies in *slot* (below the root), at a glance: one program for all of it."""
        records = self._ask("look", f"/{slot}", release).decode(errors="replace").split("\0")
        listed = next((record.split() for record in records if record.startswith("listed # pi64 ")), [])
        whole = len(listed) == 5 and "same " in records
        return Look(listed[3] if whole else "", "modules foreign" in records)

    def detail(self, slot: str, release: str) -> There:
        """Return all that is known about *slot* and the modules of *release*."""
        return parse(self._ask("detail", f"/{slot}", release, timeout_s=READ_S))

    def sums(self, names: Collection[str]) -> dict[str, str]:
        """Return the SHA-256 of those of *names* that can be read."""
        return parse_sums(self._ask("sums", _packed(names), timeout_s=READ_S)) if names else {}

    # --- writing ------------------------------------------------------------------------------------------------------
    def begin(self, slot: str, release: str, gone: Collection[str], *, own: bool) -> list[tuple[str, int]]:
        """Take the list away and what is *gone*, make the folders; return mount point and free bytes of both.

        *own*: the modules of this release are ours to write.
        """
        answer = self._ask("begin", f"/{slot}", release, "own" if own else "leave", _packed(gone), timeout_s=READ_S)
        return parse_free(answer)

    def receive(self, slot: str, release: str, feed: Callable[[IO[bytes]], None]) -> None:
        """Send a packed tar, which *feed* writes, and have it read back there. LabError."""
        command = self.command("receive", f"/{slot}", release)
        status, _, errors = self._ssh.run(command, timeout_s=WRITE_S, feed=feed)
        self._judge("receive", status, errors)

    def place(self, name: str, content: bytes) -> None:
        """Replace file *name* (below the root): there it is the old one or the new one, never a part."""
        packed = base64.b64encode(content).decode() or "-"
        said = self._ask("place", f"/{name}", packed).decode(errors="replace").split()
        if said[:1] != [hashlib.sha256(content).hexdigest()]:
            raise LabError(
                f"{self.target}: /{name} reads back otherwise than it was written", evidence=[" ".join(said)]
            )

    def remove(self, names: Collection[str]) -> None:
        """Remove *names* (below the root), folders with all that is in them."""
        if names:
            self._ask("remove", _packed(names), timeout_s=READ_S)

    # --- the next start -----------------------------------------------------------------------------------------------
    def restart(self, *, tryboot: bool) -> None:
        """Restart the board; that the connection breaks meanwhile is what was asked for."""
        self._ask("restart", "tryboot" if tryboot else "-")

    def commit(self, boot: str, release: str, slot: str) -> None:
        """Let config.txt start what tryboot.txt did; OtherKernel, with its words, when it is another that runs."""
        self._ask("commit", boot, release, slot)

    def _ask(self, function: str, *arguments: str, timeout_s: float = ANSWER_S) -> bytes:
        status, output, errors = self._session.ask(function, *arguments, timeout_s=timeout_s)
        self._judge(function, status, errors)
        return output

    def _judge(self, function: str, status: int, errors: list[str]) -> None:
        if status == OTHER_KERNEL:
            raise OtherKernel(" ".join(errors))
        if status == READ_BACK:
            raise LabError(
                f"{self.target}: what was written to the board's card reads back otherwise",
                evidence=errors[-6:],
                hint="a worn or counterfeit card, or bad power; another card will tell",
            )
        if status:
            full = any("No space left" in line for line in errors)
            what = "its card is full" if full else f"`{function}` returned {status} there"
            raise LabError(f"{self.target}: deploying over SSH: {what}", evidence=errors[-6:])


_FILES = ("osrelease", "cmdline", "model", "compatible")


def _packed(names: Collection[str]) -> str:
    joined = "".join(f"{name}\0" for name in names).encode("utf-8", "surrogateescape")
    return base64.b64encode(joined).decode() or "-"


def _unpacked(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""
