"""What the kernel says about USB devices that come and go: a loose plug shows there before it shows anywhere else.

Source: Linux' drivers/usb/core/hub.c.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

LIMIT = 8192  # bytes of one record of /dev/kmsg
RECORDS = 100_000  # no kernel keeps more
HOUR_S = 3600.0
OFTEN = 3  # times an hour; whoever builds at the bench replugs once or twice

_LOST = re.compile(r"usb (?P<name>\d+-[\d.]+): USB disconnect, device number \d+")
_SICK = re.compile(
    r"usb (?P<name>\d+-[\d.]+): (?P<words>device descriptor read/\S+, error -\d+|device not accepting address.*"
    r"|can't set config.*)"
)
_PORT = re.compile(
    r"usb (?P<name>usb\d+|\d+-[\d.]+)-port(?P<port>\d+): "
    r"(?P<words>over-current.*|unable to enumerate.*|Cannot enable\..*)"
)


@attrs.frozen
class Event:
    """One line of the kernel log about a place on USB."""

    name: str
    """The place, e.g. ``1-1.2``: what is plugged in there next has the same."""
    seconds: float
    """On the host's monotonic clock."""
    words: str
    """``disconnect``, or the kernel's complaint."""


def parse(records: Sequence[str]) -> Iterator[Event]:
    """Yield the events in the records of /dev/kmsg: ``priority,number,microseconds,flags;text``."""
    for record in records:
        head, _, text = record.partition(";")
        fields = head.split(",")
        if len(fields) < 3 or not fields[2].isdigit():
            continue
        seconds, line = int(fields[2]) / 1e6, text.partition("\n")[0]
        if found := _LOST.match(line):
            yield Event(found["name"], seconds, "disconnect")
        elif found := _SICK.match(line):
            yield Event(found["name"], seconds, found["words"])
        elif found := _PORT.match(line):
            root = found["name"].startswith("usb")
            place = f"{found['name'][3:]}-{found['port']}" if root else f"{found['name']}.{found['port']}"
            yield Event(place, seconds, found["words"])


def recent(events: Sequence[Event], name: str, *, now: float) -> list[Event]:
    """Return what happened at the place *name*, or at a hub above it, within the last hour."""
    places = {name, *(name[:at] for at, letter in enumerate(name) if letter == ".")}
    return [event for event in events if event.name in places and now - event.seconds <= HOUR_S]


def told(events: Sequence[Event], *, now: float) -> str:
    """Say how often and when last; empty when nothing happened."""
    if not events:
        return ""
    last = events[-1]
    lost = sum(event.words == "disconnect" for event in events)
    times = f"left the bus {lost} time{'' if lost == 1 else 's'} within the last hour" if lost else "had trouble"
    what = "" if last.words == "disconnect" else f" ({last.words})"
    return f"{times}, last {_ago(now - last.seconds)} ago{what}"


def loose(events: Sequence[Event]) -> bool:
    """Tell whether *events* are more than somebody's hand at the bench."""
    return sum(event.words == "disconnect" for event in events) >= OFTEN or any(
        event.words != "disconnect" for event in events
    )


def records(kmsg: Path) -> list[str]:
    """Return what the kernel log holds; nothing where this user may not read it."""
    try:
        handle = os.open(kmsg, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        return list(_read(handle))
    finally:
        os.close(handle)


def _read(handle: int) -> Iterator[str]:
    """Yield one record a read, as /dev/kmsg gives them; of an ordinary file one a line."""
    for _ in range(RECORDS):
        try:
            data = os.read(handle, LIMIT)
        except BlockingIOError:
            return
        except BrokenPipeError:  # overwritten while we read: go on with the next
            continue
        except OSError:
            return
        if not data:
            return
        yield from data.decode(errors="replace").splitlines()


def _ago(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
