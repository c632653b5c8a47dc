"""From a login prompt, or whatever else the console shows, to a shell that talks to a program instead of a person."""

import time

import attrs
import pexpect

from harness.console.expect import ConsoleExpect
from harness.errors import LabError

LOGIN = rb"(?<!Last )login: "
PASSWORD = rb"[Pp]assword: ?"
INCORRECT = rb"Login incorrect"
PROMPT = rb"[$#] (?:\x1b\[[0-9;?]*[a-zA-Z])*$"  # at the end of what has come, so that a `# ` inside a line is no prompt

NUDGE_S = 3.0  # silence after which Enter is pressed: getty answers within 0.1 s on iron, 1 s in QEMU
SETTLE_S = 0.3  # after Enter was pressed there may be a second prompt behind the first; only the last one is answered


@attrs.frozen
class Account:
    """Who logs in; the password is not shown by ``repr``."""

    user: str
    password: str = attrs.field(repr=False)


def login(console: ConsoleExpect, account: Account, *, target: str, timeout_s: float) -> None:
    """Log in on the serial console; returns at a shell prompt.

    Takes a login prompt overlaid by kernel lines, a password prompt left over, and a shell that is logged in already.
    Raises LabError when the password is refused twice (a first time may be a user name that met a password prompt) or
    no prompt comes within *timeout_s*.
    """
    deadline = time.monotonic() + timeout_s
    refused, nudged = 0, False
    while True:
        try:
            wait = max(0.0, min(NUDGE_S, deadline - time.monotonic()))
            match console.expect([LOGIN, PASSWORD, INCORRECT, PROMPT], timeout=wait):
                case 0:
                    if nudged:
                        _settle(console)
                    console.sendline(account.user.encode())
                case 1:
                    console.send_secret(account.password.encode() + b"\r")
                case 2:
                    refused += 1
                    if refused == 2:
                        raise LabError(
                            f"{target}: the login of user `{account.user}` was refused",
                            hint="check `login:` of this target in lab.yaml and the environment variable it names",
                        )
                case _:
                    return
        except pexpect.TIMEOUT:
            if time.monotonic() >= deadline:
                seen = (console.buffer or b"").decode(errors="replace").splitlines()[-3:]
                raise LabError(f"{target}: no shell prompt within {timeout_s:g} s", evidence=seen) from None
            console.send(b"\x03\r")  # out of a half-typed line; getty shows its prompt again
            nudged = True


def _settle(console: ConsoleExpect) -> None:
    """Read on until nothing comes."""
    try:
        while True:
            console.expect(LOGIN, timeout=SETTLE_S)
    except pexpect.TIMEOUT:
        return
