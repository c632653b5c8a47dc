"""What a console shows just now, told from its last characters, and what to type at it: tables, and no cable.

A row of SIGHTS is a place where a console may have been left; a row of REFUSALS a reason for which a login fails. The
words of programs are those of agetty 2.38, login 4.13, PAM 1.5, bash 5.2, less 590, more, vim 9, nano 7.2, busybox 1.35
and whiptail 0.52, each tried on a pty; a lock by pam_faillock and the end of all tries are known from the programs'
texts only.

The first-boot dialog is that of Raspberry Pi OS, by the source of its package userconf-pi (``userconf-service``, 0.9 to
0.15); no image has been booted to see it. As shipped it runs on the virtual terminal tty8, where no serial line sees
it, and only where the image boots to a command line; whoever gives its service ``TTYPath=/dev/ttyAMA0`` meets it here.
On the serial line of an untouched image there is a getty, and no user that may log in.
"""

import enum
import re

import attrs

from harness.console import agent

NUDGE = "\x03\x15\r"
"""Ctrl-C, Ctrl-U, Enter: ends a program or a half-typed line without running it; agetty drops the first two."""
LEAVE = agent.LEAVE + "\r"
"""Ends the agent that a killed session left behind; no more than an unknown command to a shell."""


class Do(enum.Enum):
    """What a sight asks for."""

    USER = "type the user name"
    PASSWORD = "type the password, if the user name before it was ours"  # noqa: S105
    NEW_USER = "name the user of a fresh image"
    NEW_PASSWORD = "give the user of a fresh image a password, if its name was ours"  # noqa: S105
    SHELL = "arrived"
    KEYS = "type the keys of the row"


@attrs.frozen
class Sight:
    """One thing that a console may show, and what it asks for."""

    name: str
    pattern: re.Pattern[str]
    do: Do
    keys: str = ""
    sure: bool = False
    """Whether it cannot be the first part of something longer; what is not sure must stand still before it counts."""


@attrs.frozen
class Refusal:
    """Why a login fails that was typed rightly; ``{user}`` stands for the user name."""

    pattern: re.Pattern[str]
    fact: str
    hint: str


def _row(name: str, pattern: str, do: Do, keys: str = "", *, sure: bool = False) -> Sight:
    return Sight(name, re.compile(pattern, re.DOTALL), do, keys, sure)


SIGHTS = (  # the first that fits counts; \A and \n before, \Z behind: the last line of what has come
    _row("login prompt", r"(?<!Last )login: \Z", Do.USER, sure=True),
    _row("password prompt of login", r"(?:\A|\n)Password: ?\Z", Do.PASSWORD, sure=True),
    _row("another password prompt", r"(?i)(?:password|passphrase)[^\n:]{0,80}: ?\Z", Do.KEYS, NUDGE),
    _row("agent of a killed session", r"<pi64 \?[^>\n]*>\s*(?:\$ )?\Z", Do.KEYS, LEAVE),
    _row("shell prompt with user and host", r"(?:\A|\n)[\w.-]+@[\w.-]+:\S* ?[$#] \Z", Do.SHELL, sure=True),
    _row("shell prompt", r"[$#] \Z|(?:\A|\n)[^\s%]+% \Z", Do.SHELL),
    _row("Python", r"(?:\A|\n)>>> \Z", Do.KEYS, "\x04"),
    _row("open quote or here-document", r"(?:\A|\n)(?:[a-z ]*> |\.\.\. )\Z", Do.KEYS, NUDGE),
    _row("pager", r"(?:\A|\n)(?::|lines \d+-\d+[^\n]*|[^\n]*(?:\(END\)|--More--[^\n]*|q to quit\)))\Z", Do.KEYS, "q"),
    _row("nano, asking", r"Save modified buffer", Do.KEYS, "n"),
    _row("nano", r"GNU nano|\[ line +\d+/\d+ |\[ Cutbuffer is empty \]", Do.KEYS, "\x18"),
    _row("vim, interrupted", r"Type  :q", Do.KEYS, ":qa!\r"),
    _row("vi", r"(?:\n~ *){3}", Do.KEYS, ":q!\r"),
    _row("first boot, user", r"Please enter new username:.*<Ok>", Do.NEW_USER),
    _row("first boot, password", r"Please (?:set a password for|confirm the password).*<Ok>", Do.NEW_PASSWORD),
    _row("first boot, user to rename", r"Which user would you like to rename:.*<Ok>", Do.KEYS, "\r"),
    # Its wording has not been seen; Enter takes the layout that is there.
    _row("first boot, keyboard", r"Configuring keyboard-configuration.*<Ok>", Do.KEYS, "\r"),
    _row(
        "first boot, message",
        r"(?:Passwords did not match|Password cannot be empty|is not a valid user|username is invalid|failed_userconf)"
        r".*<Ok>",
        Do.KEYS,
        "\r",
    ),
)

WRONG = (
    "check `login:` of this target in lab.yaml and the environment variable it names; `passwd -S {user}` shows L for a"
    " locked account; a fresh Raspberry Pi OS has no user: write `{user}:HASH`, with a HASH of `openssl passwd -6`,"
    " into userconf.txt on its boot partition"
)

REFUSALS = tuple(
    Refusal(re.compile(pattern), fact, hint)
    for pattern, fact, hint in (
        (
            r"(?i)account (?:has )?expired",
            "the account of user `{user}` has expired",
            "as root on the target: `chage -E -1 {user}`; or name another user in lab.yaml",
        ),
        (
            r"(?i)account (?:is )?(?:temporarily )?locked",
            "the account of user `{user}` is locked after failed logins",
            "as root on the target: `faillock --user {user} --reset`; then correct the password in lab.yaml's variable",
        ),
        (
            r"(?i)(?:maximum number of tries exceeded|exhausted maximum number of retries)",
            "the login of user `{user}` was refused, as one too many",
            WRONG,
        ),
        (
            r"(?i)required to change your password|(?:\A|\n)(?:Current|New) password: ?\Z|password has expired",
            "the password of user `{user}` must be changed before anything else",
            "log in by hand once and change it, or as root on the target: `chage -d $(date +%F) -M -1 {user}`",
        ),
        (
            r"This account is currently not available",
            "user `{user}` may not have a shell",
            "as root on the target: `chsh -s /bin/bash {user}`; or name another user in lab.yaml",
        ),
        (
            r"Entered username is invalid",
            "the first-boot dialog does not take `{user}` for a user name",
            "it takes lower-case letters, digits and hyphens, at most 32, a letter first, and not `root`",
        ),
    )
)

WINDOW = 16384  # characters looked back; a dialog drawn with colours takes 9,000 bytes
TAIL = 400  # the same for a prompt of one line

TOO_EARLY = "System is booting up"
"""pam_nologin, before systemd-user-sessions has run: no refusal, only too early."""

_LINE_START = re.compile(r"\x1b\[[\d;]*[Hf]|\r+\n|\r")  # to another line, or to the start of this one
_ESCAPE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|P[^\x1b]*\x1b\\|[ -/]*[0-~])|[\x00\x07\x0e\x0f]"
)
_OVERLAY = re.compile(
    r"(?:<\d{1,3}>)?\[ {0,8}(?:\d{1,7}\.\d{6}\][^\n]*\n?|[\d.]*\Z)"  # the kernel, or as much of it as has come
    r"|\[ *(?:OK|FAILED|DEPEND|WARN|INFO|TIME) *\][^\n]*\n?"  # systemd to the console
    r"|(?<![\w.@-])[\w.@-]+\[\d{1,7}\]: [^\n]*\n?"  # journald to the console, without a stamp
)


class Screen:
    """What has come, clean; each byte is cleaned once, but for those of the last line."""

    def __init__(self) -> None:
        self._lines = ""
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take what came."""
        lines, end, self._rest = (self._rest + data).rpartition(b"\n")
        self._lines = (self._lines + clean(lines + end))[-WINDOW:]

    @property
    def text(self) -> str:
        """The last of it, as ``clean`` has it."""
        return self._lines + clean(self._rest[-WINDOW:])


def clean(data: bytes) -> str:
    """Return what *data* shows: without escapes, and without the lines that kernel and journal have put into it."""
    text = _ESCAPE.sub("", _LINE_START.sub("\n", data.decode(errors="replace")))
    return _OVERLAY.sub("", text)


def sure(text: str) -> Sight | None:
    """Return what clean *text* ends with if that cannot be the first part of something else."""
    return next((row for row in SIGHTS if row.sure and row.pattern.search(text, max(len(text) - TAIL, 0))), None)


def sight(text: str) -> Sight | None:
    """Return what clean *text* shows, or None if nobody knows."""
    return next((row for row in SIGHTS if row.pattern.search(text)), None)


def refusal(text: str) -> Refusal | None:
    """Return why the login fails, by what was said after the user name had been typed."""
    return next((row for row in REFUSALS if row.pattern.search(text)), None)
