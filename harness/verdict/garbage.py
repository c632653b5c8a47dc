"""Knows a console that cannot be read: bytes that no kernel, firmware or shell would send, and too many of them.

A UART that samples at another rate than the sender's still hands over bytes; what they are is chance. Measured by
sampling the bits of recorded boots at other rates (``tests_unit/uart.py``: 9600 to 921600 instead of 115200, and a
mini-UART whose core clock moved between 250 and 500 MHz): 23 % or more of some 512 bytes are no text, mostly half of
them; a healthy log has none. A rate within 5 % reads well. Line ends play no part: hardly any survive.
"""

import re
from collections.abc import Iterable, Iterator

import attrs

from harness.model import Finding
from harness.verdict.findings import finding

WINDOW = 512  # bytes looked at: 44 ms of a busy line at 115200 baud
SHARE = 0.15  # of the window; Latin-1 German has 0.05, a burst of 64 bytes at power-on makes 0.125
LEAST = 80  # junk bytes in the window before a word is said while more may come
LEAST_AT_END = 32  # and when nothing more came: of the last ENDING bytes, so that what was read since a burst counts
ENDING = 128
STEP = 128  # how far the window moves at a time through a long piece
EXCERPT = 48  # bytes; three of them are the evidence

REMEDY = (
    "compare `speed` in lab.yaml with the console's rate (115200); a mini-UART (ttyS0) follows the core clock: "
    "enable_uart=1 or core_freq=250 in config.txt fixes it, dtoverlay=disable-bt gives the console to the PL011"
)

_TEXT = bytes([*b"\a\b\t\n\r\x0e\x0f\x1b", *range(0x20, 0x7F)])  # with what terminals are told: bell, charset, escape
_UTF8 = re.compile(
    rb"\xc2[\xa0-\xbf]|[\xc3-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"  # U+0080..9F obey
)
_HOLE = re.compile(rb"\0{64,}")  # in a file that was copied from a disk after a crash; no UART sends that


def junk(data: bytes) -> int:
    """Return how many bytes of *data* are no text: neither printable, nor for a terminal, nor UTF-8."""
    if data.isascii():
        return len(data.translate(None, _TEXT))
    return len(_UTF8.sub(b"", data).translate(None, _TEXT))


class GarbageWatch:
    """Reads a byte stream in pieces of any size and says whether a person could read it."""

    def __init__(self, *, first_line: int = 1) -> None:
        self.found: Finding | None = None
        """About the first WINDOW bytes that cannot be read."""
        self.lasting: Finding | None = None
        """The same if the last WINDOW bytes cannot be read: a clock that moved and came back is over by itself."""
        self._window = b""
        self._line = first_line

    def feed(self, data: bytes) -> None:
        """Take what came."""
        if not self.lasting and not junk(data) and (len(data) >= WINDOW or not junk(self._window)):
            self._move(data)
            return
        for start in range(0, len(data), STEP):
            self._move(data[start : start + STEP])
            self.lasting = (self.lasting or self._finding(self._window)) if _bad(self._window, LEAST) else None
            self.found = self.found or self.lasting

    def final(self) -> Finding | None:
        """Return the finding if the last that came cannot be read, nothing more comes, and little must suffice."""
        last = self._window[-ENDING:]
        return self.lasting or (self._finding(last) if _bad(last, LEAST_AT_END) else None)

    def _move(self, data: bytes) -> None:
        self._line += data.count(b"\n")
        self._window = (self._window + data)[-WINDOW:]

    def _finding(self, data: bytes) -> Finding:
        share = junk(data) / len(data)
        return finding(
            "console-garbage",
            f"unreadable console: {share:.0%} of {len(data)} bytes are no text",
            fault="LAB",
            severity="fatal",
            first_line=self._line - data.count(b"\n"),
            last_line=self._line,
            text=_excerpts(data),
        )


class RecordedGarbage:
    """Reads a recorded console on its way to somebody else, in memory that does not grow with it."""

    def __init__(self) -> None:
        self._watch = GarbageWatch()

    def watched(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield *blocks* as they are. Holes of zeros do not count, nor where a block ends in one."""
        zeros = b""
        for block in blocks:
            data = zeros + block
            if b"\0" in data:
                data = _HOLE.sub(b"", data)
            text = data.rstrip(b"\0")
            zeros = data[len(text) :]
            self._watch.feed(text)
            yield block
        self._watch.feed(zeros)

    @property
    def found(self) -> Finding | None:
        """The finding if the console cannot be read, or a part of it; severity ``info`` if it ends well."""
        last = self._watch.final()
        whole = self._watch.found
        return (whole and attrs.evolve(whole, severity="fatal" if last else "info")) or last


def finding_in(data: bytes) -> Finding | None:
    """Return what there is to say about a whole recorded console."""
    recorded = RecordedGarbage()
    for _ in recorded.watched([data]):
        pass
    return recorded.found


def _bad(data: bytes, least: int) -> bool:
    return junk(data) >= max(least, SHARE * len(data))


def _excerpts(data: bytes) -> list[str]:
    """Return three pieces of *data*, escaped, for no terminal should be shown what it would obey."""
    tail = data[-3 * EXCERPT :]
    return [repr(tail[start : start + EXCERPT])[2:-1] for start in range(0, len(tail), EXCERPT)]
