"""The language in which the program at the far end of the console (agent.sh) is spoken to. Pure: no line, no clock.

A request is one line, ``SUM NUMBER!COMMAND``: run COMMAND, unless NUMBER has been run already; then answer.
``NUMBER?`` asks which number was run last, ``NUMBER@FIRST LAST`` for some lines of the last output in base64.
``NUMBER+COUNT TEXT`` brings a piece of a long COMMAND of which COUNT characters are there, ``NUMBER=SUM`` has it run.
A line whose sum does not fit was damaged on its way; nothing is done but to say so. The answers are

``<NUMBER STATUS LENGTH SUM|TEXT|NUMBER>``
    all of a short output that is plain text; blanks are written ``~`` and line ends ``^``, so that no word of it can be
    taken for one of the kernel's.
``<NUMBER STATUS LINES SIZE MD5 SUM>`` and then ``<NUMBER FIRST LAST MD5|`` LINES ``|NUMBER>``
    of any other output: how many lines its base64 has, of how many bytes, and those asked for (at first FIRST_LINES).
``<pi64 NUMBER LAST>``, ``<pi64 NUMBER +COUNT>``, ``<pi64 ?>``, ``<pi64 NUMBER full>``, ``<pi64 left>``
    which number was run last; how much of a COMMAND is there; a damaged line; no room to encode the output; the program
    has ended.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

LINE_LIMIT = 3500  # characters of a command as it is; the tty's line discipline takes 4,095 and drops the rest silently
PIECE = 3000  # characters of base64 that are carried by one request
FAST_LIMIT = 256  # characters whose sum the far end computes in the shell itself
FIRST_LINES = 64
CUT_LIMIT = 8192  # characters in which a foreign line is looked for, all places tried
LINE_CHARS = 76  # of base64, as coreutils and busybox break it
LEAVE = "pi64-leave"
BETTER_SHELL = "bash"  # than sh, where there is one

_BASE, _PRIME = 1000003, (1 << 43) - 57  # the largest product stays below 2**63

_PROGRAM = Path(__file__).with_name("agent.sh")

PROMPTLESS = (
    " set +o emacs 2>/dev/null; set +o history 2>/dev/null; stty -echo -ixon -opost susp undef 2>/dev/null"
    " || stty -echo; PS1='$ ' PS2= PROMPT_COMMAND= TERM=dumb; export TERM; printf '\\n<pi64 %s>\\n' $((40+1))-quiet"
)
"""To the login shell, alone: readline would by then have taken what came behind it, and drop it. The marker is computed
so that the echo of this line cannot be mistaken for it."""
QUIET = rb"<pi64 41-quiet>"

ANSWER = re.compile(
    rb"<(?P<number>\d+) (?P<status>\d+) (?P<length>\d+) (?P<sum>[0-9a-f]{1,11})\|"
    rb"|<(?P<told>\d+) (?P<code>\d+) (?P<lines>\d+) (?P<size>\d+) (?P<md5>[0-9a-f]{32}) (?P<check>[0-9a-f]{1,32})>"
    rb"|<(?P<part>\d+) (?P<first>\d+) (?P<last>\d+) (?P<digest>[0-9a-f]{32})\|"
    rb"|\|(?P<end>\d+)>"
    rb"|<pi64 (?P<asked>\d+) (?P<ran>\d+)>"
    rb"|<pi64 (?P<pieced>\d+) \+(?P<held>\d+)>"
    rb"|<pi64 (?P<bad>\?)>"
    rb"|<pi64 (?P<crowded>\d+) (?P<full>full)>"
    # or it is a getty, or a shell, that reads our questions
    rb"|(?P<gone><pi64 left>|\d+\?\s+[Pp]assword: |: [0-9a-f]{4,32}: (?:command )?not found)"
)
READY = re.compile(rb"<pi64 (?:ready (fast|)|nowhere|(\?))>")
FOLDERS = "/dev/shm /tmp /var/tmp"  # noqa: S108 - on the target, by mktemp, in the first that can be written
_KERNEL_LINE = re.compile(rb"(?:<\d+>)?\[ *\d+\.\d{6}\](?:\[ *[TC]\d+\])? [^\r\n]*\r*\n")


def lesson() -> list[str]:
    """Return the lines that make a POSIX shell start the program: its text first; then it goes, if its sum fits."""
    text = "".join(f"{line}\n" for line in map(str.strip, _PROGRAM.read_text().splitlines()) if line and line[0] != "#")
    first, *more = pieces(text.encode())
    digest = hashlib.md5(text.encode()).hexdigest()  # noqa: S324 - no secret
    start = (
        f' case $(printf %s "$_c" | base64 -d | md5sum) in "{digest} "*)'
        f" _d=; for _t in {FOLDERS}; do _d=$(mktemp -d $_t/pi64.XXXXXX 2>/dev/null) || continue;"
        ' printf %s "$_c" | base64 -d >$_d/p && break; rm -rf $_d; _d=; done;'
        f' if [ "$_d" ]; then $(command -v {BETTER_SHELL} || echo sh) $_d/p $_d 2>/dev/null; rm -rf $_d; stty sane;'
        " printf '\\n<pi64 %s>\\n' left; else printf '\\n<pi64 %s>\\n' nowhere; fi;;"
        " *) printf '\\n<pi64 %s>\\n' '?';; esac"
    )
    return [f" _c={first}", *(f" _c=${{_c}}{piece}" for piece in more), start]


class Language:
    """Sums as the far end computes them: *fast* in bash, else MD5 throughout."""

    def __init__(self, *, fast: bool) -> None:
        self.fast = fast

    def sum(self, text: bytes) -> bytes:
        """Return the sum of *text*, in hex digits without leading zeros (MD5 with them)."""
        if not self.fast or len(text) > FAST_LIMIT:
            return hashlib.md5(text).hexdigest().encode()  # noqa: S324 - no secret
        value = 0
        for byte in text:
            value = (value * _BASE + byte) % _PRIME
        return b"%x" % value

    def line(self, number: int, what: str) -> bytes:
        """Return the line that asks for *what*: ``!COMMAND``, ``?``, ``@FIRST LAST``, ``+COUNT TEXT`` or ``=SUM``."""
        text = f"{number}{what}".encode()
        return self.sum(text) + b" " + text

    def short(self, answer: re.Match[bytes], body: bytes) -> tuple[str, int] | None:
        """Return output and status of a short answer whose TEXT is *body*; None when it cannot be made out.

        A kernel line inside of *body* is cut out again: the sum tells where it was.
        """
        head = b"%s %s " % (answer["number"], answer["status"])
        length, wanted = int(answer["length"]), answer["sum"]
        for text in (*_cuts(body, length), *_cuts(_KERNEL_LINE.sub(b"", body), length)):
            if self.sum(head + text) == wanted:
                return text.translate(_UNFOLD).decode("ascii", "surrogateescape"), int(answer["status"])
        return None

    def told(self, answer: re.Match[bytes]) -> bool:
        """Return whether the head of a long answer arrived as it was sent."""
        text = b" ".join(answer[name] for name in ("told", "code", "lines", "size", "md5"))
        return self.sum(text) == answer["check"]


_UNFOLD = bytes.maketrans(b"~^", b" \n")


def _cuts(body: bytes, length: int) -> Iterator[bytes]:
    """Yield what *body* may have been when it was *length* bytes long, before something was put in at one place."""
    extra = len(body) - length
    if extra == 0:
        yield body
    elif extra > 0:
        yield from (body[:at] + body[at + extra :] for at in range(length, -1, -1))


def part(body: bytes, head: re.Match[bytes], answer: re.Match[bytes]) -> list[bytes] | None:
    """Return the base64 lines in *body*; None when bytes were lost, or kernel lines are in them beyond telling."""
    first, last = int(answer["first"]), min(int(answer["last"]), int(head["lines"]))
    count, chars = last - first + 1, int(head["size"]) - int(head["lines"])
    length = min(chars - (first - 1) * LINE_CHARS, count * LINE_CHARS)
    text = re.sub(rb"\s", b"", _KERNEL_LINE.sub(b"", body))
    for candidate in _cuts(text, length) if len(text) <= CUT_LIMIT else (text,):
        lines = [candidate[start : start + LINE_CHARS] for start in range(0, len(candidate), LINE_CHARS)]
        if hashlib.md5(b"\n".join(lines)).hexdigest().encode() == answer["digest"]:  # noqa: S324 - no secret
            return lines
    return None


def decode(lines: list[bytes], digest: bytes) -> str | None:
    """Return the output that *lines* of base64 hold, bytes that are no UTF-8 as surrogates; None if its MD5 differs."""
    try:
        output = base64.b64decode(b"".join(lines), validate=True)
    except binascii.Error:
        return None
    if hashlib.md5(output).hexdigest().encode() != digest:  # noqa: S324 - no secret
        return None
    return output.decode("utf-8", "surrogateescape")


def typeable(command: str) -> bool:
    """Return whether *command* may be sent as it is: one line that no tty changes."""
    return len(command) <= LINE_LIMIT and command.isascii() and command.isprintable()


def pieces(data: bytes) -> list[str]:
    """Return *data* in base64, in pieces that fit into a request."""
    text = base64.b64encode(data).decode()
    return [text[start : start + PIECE] for start in range(0, len(text), PIECE)]
