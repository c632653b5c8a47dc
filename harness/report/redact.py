"""What must not reach a terminal or a record: passwords, and bytes that a terminal would obey."""

import re
from collections.abc import Iterable

# C0 and C1 controls but tab and newline; what reorders or hides text (bidi, zero width); line separators; surrogates.
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
HIDDEN = "***"
PUBLIC = frozenset({"raspberry"})
"""Passwords that every manual prints."""
SHORT = 6  # characters; a shorter word stands in other words by chance, and hiding it there would spell it out
_CREDENTIALS = re.compile(r"(\w://)[^/@\s]+@")


def printable(text: str) -> str:
    r"""Return *text* with what a terminal would obey spelt out, e.g. ``\x1b``; tabs and newlines stay."""
    return UNSAFE.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return *text* with each of *secrets* replaced, the longest first; empty ones are ignored.

    A secret is hidden wherever it stands, glued to other letters too: a serial line loses bytes, and what is left of
    ``hunter2<newline>Login incorrect`` must not tell the password; a host name that is mangled by it is the smaller
    harm. Only what is PUBLIC, or too SHORT to be found by more than chance, is hidden as a word of its own only:
    ``raspberry`` is no secret inside ``raspberrypi``.
    """
    words = sorted({secret for secret in secrets if secret}, key=len, reverse=True)
    return re.sub("|".join(map(_pattern, words)), HIDDEN, text) if words else text


def _pattern(secret: str) -> str:
    word = re.escape(secret)
    return rf"(?<!\w){word}(?!\w)" if secret in PUBLIC or len(secret) < SHORT else word


def without_credentials(text: str) -> str:
    """Return *text* with the user and password of every URL in it hidden."""
    return _CREDENTIALS.sub(rf"\1{HIDDEN}@", text)
