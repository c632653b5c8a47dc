"""A connection to a board's sshd with OpenSSH's own client: one connection for all that is asked, host keys checked.

labgrid's SSHDriver cannot be used for it: it calls ssh with ``UserKnownHostsFile=/dev/null`` and
``StrictHostKeyChecking=no``, and none of its arguments changes that.
"""

import contextlib
import re
import select
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import attrs

from harness import host
from harness.errors import LabError

TRY_S = 15  # one attempt to connect, the key exchange included: 7 s with a busy virtual Pi
AGAIN_S = 0.5  # between two of them
POLL_S = 0.05
ALIVE = ("ServerAliveInterval=5", "ServerAliveCountMax=4")  # a board whose power was cut closes no connection
CLOSE_S = 3.0
LOST = 255  # ssh's own status: the connection, not the command


class Refused(LabError):
    """The board's sshd answers, and does not let us in with our key."""


class UnknownHost(LabError):
    """The board's sshd answers, and its host key is not known yet."""


@attrs.frozen
class Address:
    """Where a board's sshd listens, and who logs in."""

    host: str
    port: int
    user: str
    proxy: tuple[str, ...] = ()
    """A command whose standard input and output lead there; empty for a connection of ssh's own."""

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}"


@attrs.frozen
class Credentials:
    """The files by which both ends know one another."""

    alias: str
    """The name under which the host's keys stand in *known_hosts*."""
    known_hosts: Path
    identity: Path


class Ssh:
    """One connection, from ``connect`` to ``close``."""

    def __init__(self, target: str, address: Address, credentials: Credentials) -> None:
        self.target, self.address = target, address
        self._credentials = credentials
        self._folder: Path | None = None
        self._master: subprocess.Popen[bytes] | None = None

    def connect(self, *, timeout_s: float) -> None:
        """Connect, again and again while nobody listens yet; LabError with ssh's words after *timeout_s*.

        UnknownHost and Refused at once, and LabError with both fingerprints when the host key is not the known one.
        """
        self.close()
        deadline = time.monotonic() + timeout_s
        # Not below TMPDIR: the path of a socket may have 107 characters, and ssh needs 17 of them for itself.
        self._folder = Path(tempfile.mkdtemp(prefix="pi64-ssh-", dir="/tmp"))
        while (said := self._try(deadline)) is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise LabError(
                    f"{self.target}: no SSH connection to {self.address} within {timeout_s:g} s",
                    evidence=said[-4:],
                    hint="does sshd run there (`sudo systemctl enable --now ssh`), and is the address right?",
                )
            select.select([], [], [], min(AGAIN_S, left))

    def run(
        self, command: Sequence[str], *, timeout_s: float, feed: Callable[[IO[bytes]], None] | None = None
    ) -> tuple[int, bytes, list[str]]:
        """Run *command* on the board and return its status, its output, and the last lines of its errors.

        *feed* writes its standard input. LabError when the connection is lost or it does not end within *timeout_s*.
        """
        deadline = time.monotonic() + timeout_s
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            process = self.start(command, stdout=output, stderr=errors)
            assert process.stdin is not None
            try:
                with contextlib.suppress(BrokenPipeError):  # then its status and its words tell why
                    if feed:
                        feed(process.stdin)
                    process.stdin.close()
                status = process.wait(max(deadline - time.monotonic(), POLL_S))
            except subprocess.TimeoutExpired:
                raise LabError(f"{self.target}: the board did not end `{command[-1]}` within {timeout_s:g} s") from None
            finally:
                process.kill()
                process.wait()
            output.seek(0)
            errors.seek(0)
            words = errors.read().decode(errors="replace").splitlines()[-8:]
            if status == LOST:
                raise self.lost(words)
            return status, output.read(), words

    def start(self, command: Sequence[str], *, stdout: Any, stderr: Any) -> subprocess.Popen[bytes]:
        """Start *command* on the board; it ends when the connection does."""
        # Without its socket ssh would open a connection of its own; a proxy that fails keeps it from that.
        argv = [*self._ssh("-o", "ProxyCommand=false"), "--", self.address.host, shlex.join(command)]
        return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=stdout, stderr=stderr, start_new_session=True)

    def lost(self, words: Sequence[str] = ()) -> LabError:
        """Return the error for a connection that has broken."""
        said = [*words, *self._words()][-4:]
        return LabError(f"{self.target}: the SSH connection to {self.address} was lost", evidence=said)

    def close(self) -> None:
        """Close the connection, if there is one; returns at once, also where nobody answers any more."""
        if self._master:
            self._master.terminate()
            try:
                self._master.wait(CLOSE_S)
            except subprocess.TimeoutExpired:
                self._master.kill()
                self._master.wait()
            self._master = None
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    # --- the connection itself ----------------------------------------------------------------------------------------
    def _try(self, deadline: float) -> list[str] | None:
        """Try once to connect; None when it stands, else ssh's words for what may be different a moment later."""
        assert self._folder is not None
        patience = max(1, min(TRY_S, round(deadline - time.monotonic())))
        with (self._folder / "words").open("wb") as words:
            self._master = subprocess.Popen(
                [
                    *(host.find("setpriv"), "--pdeathsig", "KILL", "--"),  # a killed harness shall leave nothing behind
                    *self._ssh("-M", "-N", "-o", f"ConnectTimeout={patience}", *self._proxy(), "--", self.address.host),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=words,
                start_new_session=True,  # Ctrl-C is ours: what it ends must end in order
            )
        while self._master.poll() is None:
            if (self._folder / "socket").exists():
                return None
            if time.monotonic() > deadline + patience:
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._master.wait(POLL_S)
        self._master.kill()
        self._master.wait()
        self._master = None
        said = self._words()
        self._explain(said)
        return said

    def _explain(self, said: Sequence[str]) -> None:
        """Raise what another attempt would not change."""
        text = "\n".join(said)
        if "HOST IDENTIFICATION HAS CHANGED" in text:
            offered = re.search(r"SHA256:[A-Za-z0-9+/]{10,}", text)
            raise LabError(
                f"{self.target}: {self.address} has another host key than the one that is known:"
                " another board answers there, somebody stands in between, or its card was written anew",
                evidence=[f"it shows {offered[0] if offered else '?'}", *(f"known is {one}" for one in self.known())],
                hint=f"if it is the board: remove {self._credentials.known_hosts}; its key is then read over the"
                " serial console (where lab.yaml has `host_key:`, correct that)",
            )
        if "host key is known" in text or "Host key verification failed" in text:
            raise UnknownHost(f"{self.target}: the host key of {self.address} is not known", evidence=said[-2:])
        if "Permission denied" in text or "Too many authentication failures" in text:
            raise Refused(f"{self.target}: {self.address} does not accept our key", evidence=said[-2:])

    def known(self) -> list[str]:
        """Return the fingerprints of the host's keys that are known."""
        listed = host.run(["ssh-keygen", "-l", "-f", self._credentials.known_hosts], accept=(0, 255)).decode()
        return [" ".join((line.split()[1], line.split()[-1])) for line in listed.splitlines() if len(line.split()) > 2]

    def _words(self) -> list[str]:
        with contextlib.suppress(OSError):
            if self._folder:
                return (self._folder / "words").read_text(errors="replace").splitlines()
        return []

    def _ssh(self, *more: str) -> list[str]:
        given = self._credentials
        # fmt: off
        options = [
            "BatchMode=yes",
            *ALIVE,
            "StrictHostKeyChecking=yes",
            f"UserKnownHostsFile={_quoted(given.known_hosts)}",
            "GlobalKnownHostsFile=none",
            f"HostKeyAlias={given.alias}",
            "CheckHostIP=no",
            "UpdateHostKeys=no",
            "PreferredAuthentications=publickey",
            "IdentitiesOnly=yes",
            f"IdentityFile={_quoted(given.identity)}",
            "LogLevel=ERROR",
        ]
        return [
            host.find("ssh"),
            "-F", "none",  # what a user's own configuration says of `*` must not loosen this
            "-a", "-x", "-T",
            "-S", f"{self._folder}/socket",
            *(word for option in options for word in ("-o", option)),
            "-l", self.address.user,
            "-p", str(self.address.port),
            *more,
        ]
        # fmt: on

    def _proxy(self) -> list[str]:
        return ["-o", f"ProxyCommand={shlex.join(self.address.proxy).replace('%', '%%')}"] if self.address.proxy else []


def _quoted(path: Path) -> str:
    """Return *path* as a value of ssh_config(5), where a blank ends a word and a percent sign begins a token."""
    return f'"{str(path).replace("%", "%%")}"'
