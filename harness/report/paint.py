"""Console text as HTML: colours and bold as the board asked for, all else that a terminal would obey spelt out."""

import re
from collections.abc import Sequence

from markupsafe import escape

from harness.report.redact import UNSAFE, printable

COLOURS = {"31": "r", "32": "g", "33": "y", "34": "b", "35": "m", "36": "c"}
"""SGR codes with a class in ``style``; black, white and backgrounds are left to the page: nothing can hide in them."""

_SGR = re.compile(r"\x1b\[([0-9;]{0,32})m")
_SPELT = {
    ord(char): f"<i>{printable(char)}</i>" for char in UNSAFE.findall("".join(map(chr, range(0x10000))))
}  # for str.translate, which is several times as fast as a regular expression where every other byte is one of these


def lines(block: Sequence[str], *, coloured: bool = True) -> list[str]:
    """Return *block*, lines without their line ends, as HTML, line by line; without colours it takes a third."""
    whole = str(escape("\n".join([line.rstrip("\r") for line in block])))
    if "\x1b" not in whole:
        return _spelt(whole).split("\n")
    if not coloured:
        return _spelt(_SGR.sub("", whole)).split("\n")
    return [_coloured(line) if "\x1b" in line else _spelt(line) for line in whole.split("\n")]


def _spelt(text: str) -> str:
    return text.translate(_SPELT).replace("</i><i>", "")


def _coloured(line: str) -> str:
    """Return one line; its colours end with it."""
    first, *rest = _SGR.split(line)
    told, colour, bold = [_spelt(first)], "", False
    for codes, said in zip(rest[::2], rest[1::2], strict=True):
        for code in codes.split(";") if codes else ["0"]:
            if code in {"", "0"}:
                colour, bold = "", False
            elif code in {"30", "37", "39"}:
                colour = ""
            elif code in {"38", "48"}:  # numbers of a larger palette follow
                break
            else:
                colour, bold = COLOURS.get(code, colour), code == "1" or (bold and code != "22")
        words = " ".join(filter(None, [colour, "s" * bold]))
        told.append(f'<b class="{words}">{_spelt(said)}</b>' if words and said else _spelt(said))
    return "".join(told)
