"""From a login prompt, or whatever else the console shows, to a shell that talks to a program instead of a person."""

import re
import time
from contextlib import suppress

import pexpect

from harness.console import prompts
from harness.console.expect import ConsoleExpect
from harness.console.prompts import LEAVE, NUDGE, Do, Screen, Sight
from harness.errors import LabError
from harness.model import Account

NUDGE_S = 3.0  # nothing known within it: Ctrl-C and Enter; getty answers within 0.1 s on iron, 1 s in QEMU
PATIENCE_S = {Do.PASSWORD: 10.0, Do.NEW_USER: 30.0}  # the same where Ctrl-C would break into what is being set up
SETTLE_S = 0.3  # what is not sure must stand so long; after a nudge a second prompt may be behind the first
STRANGE = 3  # times these seconds of changing text that nobody knows
TRIES = 2  # a first refusal may be a user name or password that was damaged on the line

NUDGES = (
    NUDGE,
    "\x11" + NUDGE,  # Ctrl-Q: somebody pressed Ctrl-S
    "\x1c" + NUDGE,  # Ctrl-\: ends what does not care for Ctrl-C, and the command that an agent waits for
    ":q!\r",  # a vi that shows no tilde
)
ANYTHING = re.compile(rb".+", re.DOTALL)
SILENT = (
    "check the wire from the adapter's TX to the board's RX, that no other program holds the port, and that a getty"
    " runs on it: `console=` in cmdline.txt names the port"
)


def login(console: ConsoleExpect, account: Account, *, target: str, timeout_s: float) -> None:
    """Log in on the serial console; returns at a shell prompt, logged in just now or found so.

    Takes every place of ``prompts.SIGHTS`` for a start; what nobody knows gets Ctrl-C and Enter. The password is typed
    at a password prompt only, and only after the user name was typed at the prompt before it. Raises LabError when
    the login is refused, for a reason in ``prompts.REFUSALS`` at once, else at the second time, and when there is no
    shell prompt within *timeout_s*.
    """
    _Login(console, account, target=target, timeout_s=timeout_s).run()


class _Login:
    """One login: what has come since something was typed, and what was typed last."""

    def __init__(self, console: ConsoleExpect, account: Account, *, target: str, timeout_s: float) -> None:
        self._console, self._account, self._target, self._timeout_s = console, account, target, timeout_s
        self._deadline = time.monotonic() + timeout_s
        self._heard = Screen()
        self._seen = Screen()  # the part of it that came since something was typed
        self._typed: Do | None = None  # USER, PASSWORD, NEW_USER; None after keys that belong to no login
        self._left = False
        self._nudges = 0
        self._nudged = False
        self._flood = False  # lines that nobody knows never stop: a prompt does not stand still then
        self._refused = 0

    def run(self) -> None:
        """Act on one sight after the other until there is a shell."""
        while not self._arrived(self._look()):
            pass

    def _look(self) -> Sight | None:
        """Listen until a sight is plain; None when there was nothing, or nothing known, for too long."""
        patience = PATIENCE_S.get(self._typed, NUDGE_S) if self._typed else NUDGE_S
        limit = time.monotonic() + STRANGE * patience
        text = ""
        while True:
            changed = time.monotonic()
            sight = prompts.sure(text)
            if sight and (self._flood or not self._nudged):
                return sight
            if self._still(text, min(changed + SETTLE_S, limit)):
                sight = prompts.sight(text)
                if sight or self._still(text, min(changed + patience, limit)):
                    self._flood = time.monotonic() >= limit
                    return sight
            text = self._seen.text
            self._raise_refusal(text)

    def _still(self, text: str, until: float) -> bool:
        """Listen; False as soon as the console shows something else than *text*, True if it does not by *until*."""
        while self._seen.text == text:
            if not self._listen(until):
                return True
        return False

    def _arrived(self, sight: Sight | None) -> bool:
        """Do what *sight* asks for; True at a shell."""
        match sight.do if sight else None:
            case Do.SHELL if self._typed or self._left:
                return True
            case Do.SHELL:  # found, not made: it may be the agent of a session that was killed
                self._left = True
                self._type(LEAVE)
            case Do.USER:
                if self._typed is Do.PASSWORD:
                    self._refuse()
                self._type(self._account.user + "\r", Do.USER)
            case Do.PASSWORD if self._typed is Do.USER:
                self._type_password(Do.PASSWORD)
            case Do.NEW_USER:
                self._type("\x15" + self._account.user + "\r", Do.NEW_USER)
            case Do.NEW_PASSWORD if self._typed is Do.NEW_USER:
                self._type_password(Do.NEW_USER)
            case Do.KEYS:
                assert sight
                self._type(sight.keys, self._typed if self._typed is Do.NEW_USER else None)
                self._nudged = sight.keys == NUDGE
            case _:  # nothing known, or a password prompt at which somebody else has typed a name
                self._nudge()
        return False

    def _nudge(self) -> None:
        self._type(NUDGES[self._nudges % len(NUDGES)])
        self._nudges += 1
        self._nudged = True

    def _type(self, keys: str, typed: Do | None = None) -> None:
        self._seen, self._typed, self._nudged = Screen(), typed, False
        self._console.send(keys.encode())

    def _type_password(self, typed: Do) -> None:
        self._seen, self._typed = Screen(), typed
        with suppress(OSError, LabError):
            self._console.send_secret(self._account.password.encode() + b"\r")
            return
        raise LabError(f"{self._target}: the serial line is lost")  # not chained: the frames below hold the password

    def _listen(self, until: float) -> bool:
        """Take in what comes by *until*, a ``time.monotonic``; False if that is past, LabError at the deadline."""
        now = time.monotonic()
        if now >= self._deadline:
            raise self._no_shell()
        if now >= until:
            return False
        with suppress(pexpect.TIMEOUT):
            self._console.expect(ANYTHING, timeout=min(until, self._deadline) - now)
            assert isinstance(self._console.match, re.Match)
            for screen in (self._heard, self._seen):
                screen.feed((self._console.before or b"") + self._console.match[0])
        return True

    def _raise_refusal(self, text: str) -> None:
        """Raise what can only be meant for our own login."""
        refusal = prompts.refusal(text) if self._typed else None
        if refusal:
            raise self._error(refusal.fact, refusal.hint)

    def _refuse(self) -> None:
        """Judge a login prompt that came back after the password: `Login incorrect`, in whatever language."""
        if prompts.TOO_EARLY in self._seen.text:
            again = time.monotonic() + NUDGE_S  # not sooner: systemd gives up a getty that ends five times in 10 s
            while self._listen(again):
                pass
            return
        self._refused += 1
        if self._refused == TRIES:
            raise self._error("the login of user `{user}` was refused", prompts.WRONG)

    def _no_shell(self) -> LabError:
        within = f"within {self._timeout_s:g} s, though Enter was pressed {self._nudges} times"
        if not self._heard.text:
            return self._error(f"nothing came from the console {within}", SILENT)
        log = self._console.recorder.log
        return self._error(f"no shell prompt {within}", f"if the line is dumb now, {SILENT}. Full console log: {log}")

    def _error(self, fact: str, hint: str) -> LabError:
        lines = [line for line in self._heard.text.split("\n") if line.strip()]
        user = self._account.user
        return LabError(
            f"{self._target}: {fact}".replace("{user}", user), hint=hint.replace("{user}", user), evidence=lines[-4:]
        )
