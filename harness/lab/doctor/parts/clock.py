"""The host's clock is right: make compares times, and certificates have dates."""

import ctypes
import datetime
import time
from collections.abc import Iterator
from pathlib import Path

import harness
from harness.lab.doctor.answer import Answer, absent, fault, ok
from harness.lab.doctor.bench import Bench

ORDER = 30
DAY_S = 86_400.0
UNSYNCHRONISED = 5  # TIME_ERROR, <sys/timex.h>
REMEDY = "set it (`date -s ...`), and let chrony or systemd-timesyncd keep it; a board without a battery forgets it"


def look(bench: Bench) -> Iterator[Answer]:
    """Compare the clock with the newest file that must be older, and ask the kernel whether anybody keeps it."""
    newest = max(map(_changed, (Path(harness.__file__), bench.lab_file)))
    yield judge(time.time(), newest)
    yield judge_kept(_state())


def judge(now: float, newest: float) -> Answer:
    """Judge *now* by the time of a file that was written before; both in seconds since 1970."""
    shown, written = _shown(now), _shown(newest)
    if now < newest - DAY_S:
        return fault("time", f"{shown}, but files of pi64 are of {written}", REMEDY)
    return ok("time", shown)


def judge_kept(state: int | None) -> Answer:
    """Judge what adjtimex(2) returned; None where it cannot be asked."""
    if state is None:
        return absent("time service", "this system does not tell")
    if state == UNSYNCHRONISED:
        return absent(
            "time service", "nobody keeps the clock", "apt-get install chrony, unless the host below keeps it"
        )
    return ok("time service", "keeps the clock")


def _state() -> int | None:
    try:
        asked = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return None
    state: int = asked(ctypes.create_string_buffer(512))  # struct timex, all zero: modes = 0 changes nothing
    return state if state >= 0 else None


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _shown(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
