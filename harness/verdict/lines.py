"""What a console line is made of: escapes, log level, time stamp, caller id, and the text behind them."""

import re
from collections.abc import Iterable, Iterator

LIMIT = 2048  # characters; printk stops near 1 KiB, so a longer line is noise and only its head is worth a look

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_STAMP = re.compile(r"(?:<\d{1,3}>)?\[ {0,12}(\d{1,10}\.\d{6})\](?:\[ {0,8}[TC]\d{1,8}\])? ?")
_HEAD = re.compile(
    r"(?:\[[^][]{0,24}\d\d:\d\d:\d\d[^][]{0,16}\] ?)?"  # dmesg -T, or a terminal program's own stamp
    r"(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S{1,64} kernel: )?"  # journalctl -k, syslog
    r"(?:<\d{1,3}>)?(?:\[ {0,8}[TC]\d{1,8}\] ?)?"  # log level; caller id without a time stamp
)
_STAMP_AT_END = re.compile(r" ?(?:<\d{1,3}>)?\[ {0,12}\d{1,10}\.\d{6}\]")


def clean(line: str) -> str:
    """Return *line* without the blanks and line end at its end, without terminal escapes, at most LIMIT characters."""
    line = bare(line).rstrip()
    return line if len(line) <= LIMIT else line[:LIMIT].rstrip()


def bare(text: str) -> str:
    """Return *text*, of any number of lines, without terminal escapes."""
    return _ESCAPE.sub("", text) if "\x1b" in text else text


def payload(line: str) -> tuple[float | None, str]:
    """Split a clean line into kernel seconds (None without a stamp) and what was said.

    Of a line glued together at hand-over (``MESS:...:0:[    0.000000] Booting Linux``), or printed over a prompt
    (``login: [   25.123456] usb ...``), this is the kernel's part.
    """
    if "[" not in line and "<" not in line and " kernel: " not in line:
        return None, line
    stamp = _STAMP.search(line)
    if stamp:
        return float(stamp[1]), line[stamp.end() :]
    head = _HEAD.match(line)
    return None, line[head.end() :] if head else line


def until_stamp(text: str) -> str:
    """Return *text* up to a kernel line that was printed on top of it, if any."""
    cut = _STAMP_AT_END.search(text)
    return (text[: cut.start()] if cut else text).strip()


def split(blocks: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines of a byte stream read in blocks; numbers agree with an editor's, memory stays bounded.

    Invalid UTF-8 becomes U+FFFD; of a line longer than 64 KiB only the head comes.
    """
    rest = b""
    for block in blocks:
        first, *more = block.split(b"\n")
        rest = (rest + first)[: 1 << 16]
        if not more:
            continue
        yield rest.decode("utf-8", "replace")
        rest = more.pop()[: 1 << 16]
        if more:
            yield from b"\n".join(more).decode("utf-8", "replace").split("\n")
    if rest:
        yield rest.decode("utf-8", "replace")
