"""A logged-in command line on the target: a command runs exactly once, its output comes back exact.

The far end is a POSIX shell that has been taught three functions. A command travels as base64 with its MD5 sum and a
number; the far end runs it only if the sum fits and the number is new, keeps output and status in a file, and sends
them framed, as base64 with their sum. So whatever the kernel prints in between, a damaged request is typed again, a
damaged answer is asked for again, and neither ever runs the command a second time.
"""

import base64
import binascii
import hashlib
import re
import time
from collections.abc import Sequence

import pexpect

from harness.console.expect import ConsoleExpect
from harness.console.login import Account, login
from harness.errors import CommandFailed, LabError
from harness.model import CommandResult

LINE_LIMIT = 3500  # characters; the tty's line discipline takes 4,095 and drops the rest without a word
ASK_AGAIN_S = 4.0  # without an answer the request, or the answer, may have been lost; asking again is harmless
READY_TIMEOUT_S = 20.0

# The markers are computed by the shell, so that the echo of these lines cannot be mistaken for the answer. The first
# line goes alone: readline would by then have taken what came behind it, and drop it when it is switched off.
QUIET = (
    " set +o emacs 2>/dev/null; set +o history 2>/dev/null; stty -echo;"
    " PS1='pi64$ ' PS2= PROMPT_COMMAND= TERM=dumb; export TERM;"
    " printf '\\n<pi64 %s>\\n' $((40+1))-quiet"
)
TEACH = (
    " _d=$(mktemp -d /dev/shm/pi64.XXXXXX 2>/dev/null || mktemp -d); _i= _s= _c=",
    # Answer: status and sum of the output, the output, the end.
    (
        r""" _g(){ printf '\n<pi64 out %s %s %s>\n' "$_i" "$_s" "$(md5sum <$_d/o)"; base64 $_d/o;"""
        r""" printf '<pi64 end %s>\n' "$_i"; }"""
    ),
    # Run: a number that is new, if what was typed has the sum it should have; then answer.
    (
        r""" _p(){ if [ "$1" != "$_i" ]; then _e=$(printf %s "$_c"|base64 -d 2>/dev/null; echo .); _e=${_e%.}; _c=;"""
        r""" case $(printf %s "$_e"|md5sum) in "$2"*) ;; *) printf '\n<pi64 bad %s>\n' "$1"; return;; esac;"""
        r""" _i=$1; printf '\n<pi64 run %s>\n' "$1"; (eval "$_e") >$_d/o 2>&1 </dev/null; _s=$?; fi; _g; }"""
    ),
    r" printf '\n<pi64 %s>\n' $((40+2))-ready",
)
ANSWER = re.compile(rb"<pi64 (?:(bad|run|end) (\d+)|out (\d+) (\d+) ([0-9a-f]{32})[^>]*)>")


class Shell:
    """A shell on the target's console; ``run`` never raises for what the command does, ``check`` does."""

    def __init__(self, console: ConsoleExpect, account: Account, *, target: str) -> None:
        self.target = target
        self.dead = False
        """Whether the last command left the far end in a state that nobody knows."""
        self.console = console
        self._account = account
        self._number = 0

    def open(self, *, timeout_s: float) -> None:
        """Log in and teach the shell; LabError within *timeout_s* (plus one set-up deadline) when that fails."""
        login(self.console, self._account, target=self.target, timeout_s=timeout_s)
        self._teach([QUIET], rb"<pi64 41-quiet>")
        self._teach(TEACH, rb"<pi64 42-ready>")

    def run(self, command: str, *, timeout: float = 30.0) -> CommandResult:
        """Run *command* and return its exact output (stdout and stderr together) and status.

        Raises LabError when no whole answer came within *timeout* s, CheckFailed when the kernel died meanwhile; the
        command may then have run, but never twice, and the shell is ``dead``.
        """
        self._number += 1
        started = time.monotonic()
        self.dead = True
        self.console.forget()
        self._type(command)
        output, status = self._answer(command, deadline=started + timeout, timeout=timeout)
        self.dead = False
        return CommandResult(command, output, status, time.monotonic() - started)

    def check(self, command: str, *, timeout: float = 30.0) -> str:
        """Run *command* and return its output without the last newline; CommandFailed when its status is not 0."""
        result = self.run(command, timeout=timeout)
        if result.status != 0:
            raise CommandFailed(
                f"{self.target}: `{command}` returned {result.status} after {result.seconds:.1f} s",
                evidence=result.output.splitlines()[-10:],
                hint=f"full console log: {self.console.recorder.log}",
            )
        return result.output.removesuffix("\n")

    def send(self, command: str) -> None:
        """Type *command* and do not wait for it: for what takes the shell away, such as ``sudo reboot``."""
        self._number += 1
        self.console.forget()
        self._type(command)

    def _teach(self, lines: Sequence[str], marker: bytes) -> None:
        for line in lines:
            self.console.sendline(line.encode())
        try:
            self.console.expect(marker, timeout=READY_TIMEOUT_S)
        except pexpect.TIMEOUT:
            raise LabError(
                f"{self.target}: the shell did not answer within {READY_TIMEOUT_S:g} s of the login",
                evidence=(self.console.buffer or b"").decode(errors="replace").splitlines()[-3:],
            ) from None

    def _type(self, command: str) -> None:
        raw = command.encode()
        coded = base64.b64encode(raw).decode()
        self.console.send(b"\x15")  # a line half typed by somebody else is gone
        self.console.sendline(b" _c=")
        for start in range(0, len(coded), LINE_LIMIT):
            self.console.sendline(f" _c=${{_c}}{coded[start : start + LINE_LIMIT]}".encode())
        self.console.sendline(f" _p {self._number} {hashlib.md5(raw).hexdigest()}".encode())  # noqa: S324 - no secret

    def _answer(self, command: str, *, deadline: float, timeout: float) -> tuple[str, int]:
        acknowledged, patience = False, ASK_AGAIN_S
        head: re.Match[bytes] | None = None
        while True:
            wait = min(patience, deadline - time.monotonic())
            try:
                self.console.expect(ANSWER, timeout=max(wait, 0))
            except pexpect.TIMEOUT:
                if time.monotonic() >= deadline:
                    raise self._no_answer(command, timeout, acknowledged=acknowledged) from None
                head, patience = None, patience * 2  # each time it is asked the answer comes once more, in the end
                self.console.sendline(b"\x15 _g") if acknowledged else self._type(command)
                continue
            match = self.console.match
            assert isinstance(match, re.Match)
            kind, number = match[1] or b"out", int(match[2] or match[3])
            if number != self._number:
                continue
            if kind == b"bad":
                self._type(command)
            elif kind == b"run":
                acknowledged = True
            elif kind == b"out":
                acknowledged, head = True, match
            else:
                output = _decode(self.console.before or b"", head[5]) if head else None
                if output is not None and head is not None:
                    return output, int(head[4])
                self.console.sendline(b"\x15 _g")
                head = None

    def _no_answer(self, command: str, timeout: float, *, acknowledged: bool) -> LabError:
        state = "runs, or its answer was lost" if acknowledged else "was never acknowledged"
        tail = (self.console.buffer or b"").decode(errors="replace").splitlines()[-5:]
        return LabError(
            f"{self.target}: no answer to `{command}` within {timeout:g} s; the command {state}",
            evidence=tail,
            hint=f"full console log: {self.console.recorder.log}",
        )


def _decode(framed: bytes, digest: bytes) -> str | None:
    """Return the output between the frame's marks; None when bytes were lost or kernel lines stand inside of it."""
    lines = re.findall(rb"^[A-Za-z0-9+/=]+\r*$", framed, re.MULTILINE)
    try:
        output = base64.b64decode(b"".join(line.strip() for line in lines), validate=True)
    except binascii.Error:
        return None
    if hashlib.md5(output).hexdigest().encode() != digest:  # noqa: S324 - no secret
        return None
    return output.decode("utf-8", errors="surrogateescape")
