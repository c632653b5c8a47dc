"""One request to the far end and its answer: asks again until it is whole, and never has the command run again."""

import re
import time

import attrs
import pexpect

from harness.console import agent
from harness.console.agent import ANSWER, FIRST_LINES, Language
from harness.console.expect import ConsoleExpect
from harness.errors import LabError

PATIENCE_LIMIT_S = 8.0  # between two questions to a far end that does not answer: it is busy, or gone
FLOW_S = 0.3  # an answer that has begun goes on within this time, even at 9,600 baud
PART_LINES = (4, 1024)  # of base64, fetched at once: fewer after a damaged answer, more after a good one
CAREFUL = 2  # damaged lines in a row, after which the next ones are typed slowly, and long ones in pieces
PIECE_CHARS = 64  # of a command: where one byte in a thousand is damaged, one piece in eleven is, but most long lines

Result = tuple[str, int]
"""Output and status."""


class ShellGone(Exception):
    """The program at the far end has ended: a login shell or a getty reads what is typed."""


class NeverRun(Exception):
    """The request was lost, and it is too late to type it again."""


@attrs.define
class Exchange:
    """Command *number* in the making. ``answer`` is called once."""

    console: ConsoleExpect
    language: Language
    number: int
    patience_s: float
    """How long to wait before the far end is asked, at first."""
    damaged: int = 0
    """Lines in a row that did not arrive whole."""

    stopped: bool = False
    """Whether the command is not to be begun any more."""

    _request: str = ""
    _what: str = ""
    _typed: bytes = b""
    _head: re.Match[bytes] | None = None
    _lines: list[bytes] = attrs.field(factory=list)
    _size: int = FIRST_LINES

    def answer(self, request: str, *, deadline: float) -> Result:
        """Type *request* and return what comes of it.

        pexpect.TIMEOUT at the *deadline* (monotonic seconds), ShellGone when nobody is there to answer any more; and
        what reading the console raises.
        """
        self._request = request
        self._ask_to_run()
        return self.hear(deadline=deadline)

    def hear(self, *, deadline: float) -> Result:
        """Listen for the answer to what was typed before; otherwise as ``answer``."""
        while True:
            match = self._next(deadline)
            result: Result | None = getattr(self, f"_on_{match.lastgroup}")(match)
            if result is not None:
                return result

    @property
    def come(self) -> str:
        """How much of a long answer has come; empty while nobody knows whether the command has ended."""
        return f"{len(self._lines)} of {int(self._head['lines'])} lines" if self._head else ""

    # --- typing -------------------------------------------------------------------------------------------------------
    def _ask(self, what: str) -> None:
        self._what = what
        self._typed = self.language.line(self.number, what)
        self._type()

    def _type(self) -> None:
        line = self._typed + b"\r\n"  # CR alone in a terminal that is as it should be; LF in any
        if self.damaged:
            line = b"\n" + line  # ends what a damaged line may have left behind
        if self.damaged < CAREFUL:
            self.console.send(line)
        else:
            self.console.send_slowly(line)

    def _ask_to_run(self) -> None:
        if self.damaged < CAREFUL or len(self._request) <= PIECE_CHARS:
            self._ask(self._request)
        else:
            self._bring(0)

    def _bring(self, held: int) -> None:
        """Type what follows *held* characters of the command, which the far end has; have it run when that is all."""
        command = self._request.removeprefix("!")
        if held < len(command):
            self._ask(f"+{held} {command[held : held + PIECE_CHARS]}")
        else:
            self._ask(f"={self.language.sum(command.encode()).decode()}")

    def _ask_part(self) -> None:
        self._ask(f"@{len(self._lines) + 1} {len(self._lines) + self._size}")

    # --- reading ------------------------------------------------------------------------------------------------------
    def _next(self, deadline: float) -> re.Match[bytes]:
        """Return the next piece of an answer; asks meanwhile, for the request or the answer may have been lost."""
        while True:
            try:
                wait = min(self.patience_s, deadline - time.monotonic())
                self.console.expect(ANSWER, timeout=max(wait, 0))
            except pexpect.TIMEOUT:
                if time.monotonic() >= deadline:
                    raise
                self.patience_s = min(self.patience_s * 2, PATIENCE_LIMIT_S)
                self.damaged += 1
                self._ask("?")
                continue
            return self._matched()

    def _matched(self) -> re.Match[bytes]:
        match = self.console.match
        assert isinstance(match, re.Match)
        return match

    def _flowing(self, pattern: bytes) -> bool:
        """Wait for *pattern* as long as bytes keep coming; return whether it came."""
        while True:
            position = self.console.position
            try:
                self.console.expect(re.compile(pattern, re.DOTALL), timeout=FLOW_S)
            except pexpect.TIMEOUT:
                if self.console.position == position:
                    return False
            else:
                return True

    def _until_end(self) -> bytes:
        return self.console.before or b"" if self._flowing(rb"\|%d>" % self.number) else b""

    # --- the pieces of an answer, by the group of ANSWER that ends them ----------------------------------------------
    def _on_sum(self, match: re.Match[bytes]) -> Result | None:
        """Take a short answer."""
        if int(match["number"]) != self.number:
            return None
        body = self._matched()[0] if self._flowing(b".{%d}" % int(match["length"])) else b""
        result = self.language.short(match, body) or self.language.short(match, body + self._until_end())
        if result is None:
            self._ask_part()
        return result

    def _on_check(self, match: re.Match[bytes]) -> None:
        """Take the head of a long answer."""
        if int(match["told"]) == self.number and self.language.told(match):
            self._head = match
            self.damaged = 0

    def _on_digest(self, match: re.Match[bytes]) -> Result | None:
        """Take a part of a long answer; one that was not asked for is the answer to a question typed meanwhile."""
        if int(match["part"]) != self.number:
            return None
        body = self._until_end()
        if self._head is None:
            self._ask_part()
            return None
        if int(match["first"]) != len(self._lines) + 1:
            return None
        lines = agent.part(body, self._head, match)
        if lines is None:
            self._size = max(self._size // 2, PART_LINES[0])
            self._ask_part()
            return None
        self._lines += lines
        self._size = min(self._size * 2, PART_LINES[1])
        return self._whole(self._head)

    def _whole(self, head: re.Match[bytes]) -> Result | None:
        if len(self._lines) >= int(head["lines"]):
            output = agent.decode(self._lines, head["md5"])
            if output is not None:
                return output, int(head["code"])
            self._lines.clear()
        self._ask_part()
        return None

    def _on_end(self, match: re.Match[bytes]) -> None:
        """Take the end of something whose beginning was lost."""
        if int(match["end"]) == self.number:
            self._ask_part()

    def _on_ran(self, match: re.Match[bytes]) -> None:
        """Take the answer to ``?``: the request was lost, or the answer. One suffices: it may have been asked often."""
        if int(match["asked"]) != self.number or self._what != "?":
            return
        if int(match["ran"]) == self.number:
            self._ask_part()
        elif self.stopped:
            raise NeverRun
        else:
            self._ask_to_run()

    def _on_held(self, match: re.Match[bytes]) -> None:
        """Take the word that a piece of the command has come."""
        if int(match["pieced"]) == self.number and self._what[0] in "+=" and not self.stopped:
            self._bring(int(match["held"]))

    def _on_bad(self, _: re.Match[bytes]) -> None:
        """Take the word that a line arrived damaged."""
        self.damaged += 1
        if self.stopped:
            self._ask("?")
        elif self._what == self._request:
            self._ask_to_run()
        else:
            self._type()

    def _on_full(self, match: re.Match[bytes]) -> None:
        if int(match["crowded"]) == self.number:
            name = self.console.recorder.name
            raise LabError(
                f"{name}: no room on the board for the output of a command",
                hint=f"it is kept in the first of {agent.FOLDERS} that can be written; `df` there, or make less output",
            )

    def _on_gone(self, _: re.Match[bytes]) -> None:
        raise ShellGone
