"""Times of a record: ISO 8601 in UTC, as text, and the seconds between them; no clock is read."""

import calendar
import re

_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d+)?Z")


def seconds(text: str) -> int | None:
    """Return the seconds since 1970 of *text*, e.g. ``2026-07-01T12:00:00Z``; None when it is no such time."""
    found = _ISO.fullmatch(text)
    try:
        return calendar.timegm(tuple(map(int, found.groups()))) if found else None
    except ValueError:  # the year 0, or a 13th month
        return None


def between(begin: str, end: str) -> int | None:
    """Return the seconds from *begin* to *end*; None when one of them is not known."""
    first, last = seconds(begin), seconds(end)
    return None if first is None or last is None else last - first


def told(seconds_: float) -> str:
    """Return a length of time for people, e.g. ``18 min 41 s``."""
    whole = round(seconds_)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60:02} s" if whole < 3600 else f"{whole // 3600} h {whole // 60 % 60:02} min"
