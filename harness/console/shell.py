"""A logged-in command line on the target: a command runs exactly once, its output comes back exact.

What is spoken over the line is told in ``agent``. Here is who asks again: a damaged request is typed again, a damaged
answer is read again from the copy that the far end keeps, and neither ever runs the command a second time. What the
kernel prints meanwhile stays in the record.
"""

import contextlib
import gzip
import hashlib
import re
import shlex
import time
from typing import NoReturn

import pexpect

from harness.console import agent
from harness.console.agent import READY, Language
from harness.console.exchange import Exchange, NeverRun, ShellGone
from harness.console.expect import ConsoleExpect
from harness.console.login import login
from harness.errors import CheckFailed, CommandFailed, LabError, Unresponsive
from harness.model import Account, CommandResult

READY_TIMEOUT_S = 20.0
SETUP_ASK_S = 5.0  # then the set-up is typed once more; a Pi 3 in QEMU needs 1 s for it
PATIENCE_S = (0.05, 1.0)  # without an answer the far end is asked, at first after eight usual round trips, within these
STOP_S = 3.0  # what a program may take to die of Ctrl-C
RELOGIN_S = 20.0
SEND_S = 2.0  # for a request that takes the shell away: to be typed again if it was damaged
KEYS = ((b"\x03", "Ctrl-C"), (b"\x1c", "Ctrl-\\"))
BRIEF = 200  # characters of a command in a message


class Shell:
    """A shell on the target's console; ``run`` never raises for what the command does, ``check`` does."""

    def __init__(self, console: ConsoleExpect, account: Account, *, target: str) -> None:
        self.target = target
        self.dead = False
        """Whether the last command left the far end in a state that nobody knows."""
        self.console = console
        self._account = account
        self._number = 0
        self._quickest = 1.0
        self._language = Language(fast=False)

    def open(self, *, timeout_s: float) -> None:
        """Log in and start the program at the far end.

        LabError when that fails within *timeout_s* (and READY_TIMEOUT_S more).
        """
        login(self.console, self._account, target=self.target, timeout_s=timeout_s)
        self._teach()
        self.dead = False

    # --- commands -----------------------------------------------------------------------------------------------------
    def run(self, command: str, *, timeout: float = 30.0) -> CommandResult:
        """Run *command* and return its exact output (stdout and stderr together) and status.

        A command that does not end within *timeout* s is stopped, and CommandFailed says so; the next one works.
        Raises LabError when it ended, but its answer did not come whole by then,
        Unresponsive when nothing answers any more, neither the command nor a new login, and CheckFailed when
        the kernel died meanwhile; the command may then have run, but never twice, and the shell is ``dead``.
        """
        if agent.typeable(command):
            return self._run(command, command, timeout)
        self._carry(command.encode(), timeout)
        return self._run(". $_d/x", command, timeout)

    def check(self, command: str, *, timeout: float = 30.0) -> str:
        """Run *command* and return its output without the last newline; CommandFailed when its status is not 0."""
        result = self.run(command, timeout=timeout)
        if result.status != 0:
            raise CommandFailed(
                f"{self.target}: `{_brief(command)}` returned {result.status} after {result.seconds:.1f} s",
                evidence=result.output.splitlines()[-10:],
                hint=self._log,
            )
        return result.output.removesuffix("\n")

    def send(self, command: str) -> None:
        """Type *command* and do not wait for its end: for what takes the shell away, such as ``sudo reboot``.

        CommandFailed when it comes back with a status other than 0 at once: it has taken nothing away.
        """
        exchange = self._exchange()
        self.dead = True
        with self.console.expecting("restart"), contextlib.suppress(pexpect.TIMEOUT, ShellGone):
            self.console.forget()
            output, status = exchange.answer(f"!{command}", deadline=time.monotonic() + SEND_S)
            if status:
                self.dead = False
                seen = output.splitlines()[-10:]
                raise CommandFailed(
                    f"{self.target}: `{_brief(command)}` returned {status}", evidence=seen, hint=self._log
                )

    def _exchange(self) -> Exchange:
        self._number += 1
        least, most = PATIENCE_S
        patience = min(max(8 * self._quickest, least), most)
        return Exchange(self.console, self._language, self._number, patience)

    def _run(self, typed: str, command: str, timeout: float) -> CommandResult:
        exchange = self._exchange()
        begin, started = self.console.recorder.position, time.monotonic()
        self.dead = True
        try:
            self.console.forget()
            output, status = exchange.answer(f"!{typed}", deadline=started + timeout)
        except pexpect.TIMEOUT:
            self._stop(exchange, command, timeout)
        except ShellGone:
            self._log_in_anew(f"{self.target}: `{_brief(command)}` took its shell with it")
        except CheckFailed as error:
            raise CheckFailed(
                self.target, f"died during `{_brief(command)}`", error.findings, hint=self._log
            ) from error
        finally:
            self.console.recorder.note(command, begin)
        seconds = time.monotonic() - started
        self._quickest = min(self._quickest, seconds)
        self.dead = False
        return CommandResult(command, output, status, seconds)

    def _carry(self, data: bytes, timeout: float) -> None:
        """Bring *data* into the file ``$_d/x``, in commands of their own."""
        self.check(": >$_d/c", timeout=timeout)
        for piece in agent.pieces(data):
            self.check(f"printf %s {piece} >>$_d/c", timeout=timeout)
        self.check("base64 -d <$_d/c >$_d/x", timeout=timeout)

    # --- files: for boards without a network --------------------------------------------------------------------------
    def put(self, data: bytes, path: str, *, timeout: float = 30.0) -> None:
        """Write *data* to *path* on the target: beside it, synced, compared, then renamed into its place.

        Packed it travels with 3/4 of the line's speed: 8 KB/s at 115200 baud. *timeout* is for each of its commands.
        CommandFailed when the target cannot write it.
        """
        self._carry(gzip.compress(data, mtime=0), timeout)
        beside, place = shlex.quote(f"{path}.pi64"), shlex.quote(path)
        digest = hashlib.sha256(data).hexdigest()
        self.check(
            f"gzip -dc <$_d/x >{beside} && sync && [ \"$(sha256sum <{beside})\" = '{digest}  -' ]"
            f" && mv -f {beside} {place} && sync",
            timeout=timeout,
        )

    def get(self, path: str, *, timeout: float = 30.0) -> bytes:
        """Return the content of the file *path* on the target; CommandFailed when it cannot be read there."""
        told = self.check(f"gzip -c <{shlex.quote(path)} >$_d/x && gzip -dc <$_d/x | sha256sum", timeout=timeout)
        data = gzip.decompress(self.run("cat $_d/x", timeout=timeout).output.encode("utf-8", "surrogateescape"))
        if hashlib.sha256(data).hexdigest() != told.split()[0]:
            raise LabError(f"{self.target}: {path} did not come whole over the console", hint=self._log)
        return data

    # --- set-up -------------------------------------------------------------------------------------------------------
    def _teach(self) -> None:
        self._demand([agent.PROMPTLESS], re.compile(agent.QUIET + rb"|<pi64 (\?)>"))
        ready = self._demand(agent.lesson(), READY)
        self._language, self._number = Language(fast=ready[1] == b"fast"), 0

    def _demand(self, lines: list[str], marker: re.Pattern[bytes]) -> re.Match[bytes]:
        """Type *lines* until *marker* comes, which says that all of them arrived whole."""
        deadline, send = time.monotonic() + READY_TIMEOUT_S, self.console.send
        while True:
            for line in lines:
                send(line.encode() + b"\r")
            send = self.console.send_slowly  # a second time only if it did not arrive whole
            with contextlib.suppress(pexpect.TIMEOUT):
                self.console.expect(marker, timeout=min(SETUP_ASK_S, deadline - time.monotonic()))
                match = self.console.match
                assert isinstance(match, re.Match)
                if match[0].endswith(b"nowhere>"):
                    raise LabError(
                        f"{self.target}: the board has no folder to write into",
                        hint=f"tried {agent.FOLDERS}: full, or read-only",
                    )
                if not match[0].endswith(b"?>"):
                    return match
                self.console.sendline(agent.LEAVE.encode())  # else it is the program of an earlier session that speaks
            if time.monotonic() >= deadline:
                raise LabError(
                    f"{self.target}: the shell did not answer within {READY_TIMEOUT_S:g} s of the login",
                    evidence=self._tail,
                    hint=self._log,
                )
            self.console.send(b"\x03")

    # --- a command that does not end ----------------------------------------------------------------------------------
    def _stop(self, exchange: Exchange, command: str, timeout: float) -> NoReturn:
        """Stop a command that did not end in time: by Ctrl-C, then by what kills it, then by a new login."""
        if exchange.come:
            self.dead = False  # the far end waits for the next command
            raise LabError(
                f"{self.target}: the answer to `{_brief(command)}` did not come whole within {timeout:g} s:"
                f" {exchange.come}",
                hint=self._log,
            )
        late = f"{self.target}: `{_brief(command)}` did not end within {timeout:g} s"
        exchange.stopped = True
        for key, name in KEYS:
            self.console.send(key)
            output = ""
            try:
                output, _ = exchange.hear(deadline=time.monotonic() + STOP_S)
            except NeverRun:
                self.dead = False
                raise LabError(
                    f"{self.target}: `{_brief(command)}` was never run: it did not arrive within {timeout:g} s",
                    hint=self._log,
                ) from None
            except ShellGone:
                break
            except pexpect.TIMEOUT:
                if not exchange.come:
                    continue
            self.dead = False
            raise CommandFailed(f"{late}; {name} ended it", evidence=output.splitlines()[-10:], hint=self._log)
        self._log_in_anew(late)

    def _log_in_anew(self, what: str) -> NoReturn:
        tail = self._tail
        try:
            self.open(timeout_s=RELOGIN_S)
        except LabError as error:
            raise Unresponsive(
                f"{what}, and nothing answers any more: neither Ctrl-C nor a new login ({error.message})",
                evidence=tail,
                hint=self._log,
            ) from error
        raise CommandFailed(f"{what}, and only a new login ended it", evidence=tail, hint=self._log)

    @property
    def _tail(self) -> list[str]:
        return (self.console.buffer or b"").decode(errors="replace").splitlines()[-5:]

    @property
    def _log(self) -> str:
        return f"full console log: {self.console.recorder.log}"


def _brief(command: str) -> str:
    """Return *command* short enough for a message."""
    first, *more = command.splitlines() or [""]
    return f"{first[:BRIEF]}..." if more or len(first) > BRIEF else first
