"""Days for people, in UTC. Pure."""

import datetime


def date(seconds: int) -> str:
    """Return the day of *seconds* since 1970, e.g. ``2026-07-01``."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d")


def iso(seconds: int) -> str:
    """Return *seconds* since 1970 as a record has it."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def day(seconds: int) -> str:
    """Return the day without its year, e.g. ``1 Jul``."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{moment.day} {moment:%b}"
