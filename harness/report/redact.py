"""What must not reach a terminal or a record: passwords, and bytes that a terminal would obey."""

import re
from collections.abc import Iterable

# C0 and C1 controls but tab and newline; what reorders or hides text (bidi, zero width); line separators; surrogates.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
HIDDEN = "***"
_CREDENTIALS = re.compile(r"(\w://)[^/@\s]+@")


def printable(text: str) -> str:
    r"""Return *text* with what a terminal would obey spelt out, e.g. ``\x1b``; tabs and newlines stay."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return *text* with each of *secrets* replaced, the longest first; empty ones are ignored."""
    words = sorted({secret for secret in secrets if secret}, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, words)), HIDDEN, text) if words else text


def without_credentials(text: str) -> str:
    """Return *text* with the user and password of every URL in it hidden."""
    return _CREDENTIALS.sub(rf"\1{HIDDEN}@", text)
