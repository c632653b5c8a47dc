"""Who is at the other end: the host keys of a board, and the key by which it knows us.

The serial console is the wire that nobody else holds. So the first time the board's host keys are read over it, and our
own public key is put there: no key is ever believed because it came over the network, and no password is ever sent
over it, nor handed to a program.
"""

import re
import shlex
from pathlib import Path

from harness import host
from harness.deploy.live import Console
from harness.deploy.openssh import Credentials
from harness.errors import ConfigError, LabError, TargetError

PUBLIC_KEY = re.compile(r"(?:ssh-(?:ed25519|rsa)|ecdsa-sha2-nistp\d{3}) [A-Za-z0-9+/]{40,}={0,3}(?: [^\n]*)?")
HOST_KEYS = "cat /etc/ssh/ssh_host_*_key.pub 2>&1 || true"
INSTALL = (
    'umask 077; mkdir -p "$HOME/.ssh" && cd "$HOME/.ssh" && touch authorized_keys'
    ' && { grep -qxF "$1" authorized_keys || printf "\\n%s\\n" "$1" >>authorized_keys; }'
)
CONSOLE_S = 60.0


class Trust:
    """The host keys of one target, in a folder of its own, and the identity of this lab host, one for all boards."""

    def __init__(self, target: str, folder: Path, *, host_key: str = "", keyfile: str = "") -> None:
        """*host_key*: a line of /etc/ssh/ssh_host_*_key.pub, from lab.yaml; *keyfile*: a private key of one's own."""
        self._target, self._folder = target, folder
        self._host_key = host_key
        self._keyfile = Path(keyfile).expanduser() if keyfile else None
        if host_key and not PUBLIC_KEY.fullmatch(host_key):
            raise ConfigError(
                f"{target}: `host_key` is not a public key",
                hint="a line as in /etc/ssh/ssh_host_ed25519_key.pub: `ssh-ed25519 AAAA...`",
            )

    def credentials(self) -> Credentials:
        """Return the files for ssh, made where they are missing; the host may still be unknown."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._host_key:
            self._note([self._host_key])
        self._known_hosts.touch(mode=0o600)
        return Credentials(self._target, self._known_hosts, self._identity())

    def learn(self, console: Console) -> None:
        """Read the board's host keys over its console; LabError when it has none, or lab.yaml names another."""
        if self._host_key:
            raise LabError(
                f"{self._target}: the host key that lab.yaml names is not among those of the board",
                hint="`host_key:` is a line of /etc/ssh/ssh_host_*_key.pub on it",
            )
        said = _ask(console, HOST_KEYS, self._target)
        keys = [line for line in said.splitlines() if PUBLIC_KEY.fullmatch(line)]
        if not keys:
            raise LabError(
                f"{self._target}: no host keys on the board: no sshd has ever started there",
                evidence=said.splitlines()[-3:],
                hint="on its console: `sudo apt-get install openssh-server`, or `sudo ssh-keygen -A`",
            )
        self._note(keys)

    def introduce(self, console: Console, user: str) -> None:
        """Put our public key onto the board, over its console, for *user* to log in with."""
        key = _public(self._identity())
        install = shlex.join(["sh", "-c", INSTALL, "sh", key])
        name = shlex.quote(user)
        _ask(
            console,
            f'if [ "$(id -un)" = {name} ]; then {install}; else sudo -n -H -u {name} {install}; fi',
            self._target,
        )

    @property
    def _known_hosts(self) -> Path:
        return self._folder / "known_hosts"

    def _note(self, keys: list[str]) -> None:
        lines = [" ".join([self._target, *key.split()[:2]]) for key in keys]
        host.write_atomic(self._known_hosts, "".join(f"{line}\n" for line in lines).encode())

    def _identity(self) -> Path:
        if self._keyfile:
            if not self._keyfile.exists():
                raise ConfigError(f"{self._target}: `keyfile` {self._keyfile} is not there")
            return self._keyfile
        identity = host.cache_dir("ssh") / "id_ed25519"
        with host.locked(identity.with_suffix(".lock")):
            if not identity.exists():
                host.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "pi64", "-f", identity])
        return identity


def _public(identity: Path) -> str:
    """Return the public half of *identity*: of one that has a passphrase too, as long as its .pub lies beside it."""
    beside = identity.with_name(f"{identity.name}.pub")
    return (beside.read_text() if beside.exists() else host.run(["ssh-keygen", "-y", "-f", identity]).decode()).strip()


def _ask(console: Console, command: str, target: str) -> str:
    """Run *command* on the console; what goes wrong there is the bench's matter, not the kernel's under test."""
    try:
        done = console.run(command, timeout=CONSOLE_S)
    except TargetError as error:
        words, hint = (error.message, *error.evidence), error.hint
        raise LabError(f"{target}: first contact for SSH, over the console", evidence=words, hint=hint) from error
    if done.status:
        words = (f"returned {done.status}", *done.output.splitlines()[-4:])
        raise LabError(f"{target}: first contact for SSH, over the console: `{command[:60]}`", evidence=words)
    return done.output
