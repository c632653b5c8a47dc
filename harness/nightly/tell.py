"""A comparison in words: what broke first, with the run in which it was good last. For a terminal or a mail."""

import datetime
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from harness.nightly.compare import Change, Comparison, Kind
from harness.nightly.evidence import Place
from harness.nightly.views import Ref
from harness.report.redact import printable

WIDTH = 200  # characters of a line
SHOWN = 8  # subjects of one reason; `--json` has all
CALM = "nothing broke that was good before"


def lines(found: Comparison, place: Place) -> list[str]:
    """Return *found* as printable lines, without line ends."""
    told = [*_head(found, place), *_differs(found), "", *_changes(found)]
    return [printable(line.replace("\n", " "))[:WIDTH] for line in told]


def day(ref: Ref) -> str:
    """Return the day on which a run began, in UTC, e.g. ``2026-07-01``."""
    return datetime.datetime.fromtimestamp(ref.started, datetime.UTC).strftime("%Y-%m-%d")


def _head(found: Comparison, place: Place) -> Iterator[str]:
    yield f"{found.run.name}: {found.run.verdict or 'no verdict'}, kernel {_kernel(found.run)}"
    configuration = " +".join([place.config, *place.fragments.split()])
    yield f"{place.branch or place.tree} on {place.target} ({place.model or 'unknown board'}), {configuration}"
    if found.against:
        good = ", which was good" if found.against.verdict == "PASS" else ""
        yield f"against {found.against.name}: {found.against.verdict}{good}, kernel {_kernel(found.against)}"
    elif not found.silent:
        yield "there is no good run of this branch, board and configuration before it"


def _kernel(ref: Ref) -> str:
    known = [ref.release, f"commit {ref.commit[:12]}" if ref.commit else ""]
    return ", ".join(filter(None, known)) or "unknown"


def _differs(found: Comparison) -> Iterator[str]:
    if found.differs:
        yield "not equal besides the kernel:"
        yield from (f"  {each}" for each in found.differs)


def _changes(found: Comparison) -> Iterator[str]:
    if found.silent:
        yield f"not compared: {found.silent}"
        return
    count = len(found.regressions)
    yield f"{count} regression{'s' * (count != 1)}" if count else CALM
    for kind, changes in groupby(found.changes, key=lambda change: change.kind):
        yield from _kind(kind, list(changes), found.against)


def _kind(kind: Kind, changes: Sequence[Change], against: Ref | None) -> Iterator[str]:
    yield f"{kind}:"
    for group in _alike(changes):
        yield from (f"  {change.subject}" for change in group[:SHOWN])
        if len(group) > SHOWN:
            yield f"  and {len(group) - SHOWN} more"
        yield from (f"    {line}" for line in _detail(group[0], against))


def _alike(changes: Iterable[Change]) -> list[list[Change]]:
    """Return *changes* grouped by what is told of them: a boot that stopped fails sixty tests for one reason."""
    groups: dict[tuple[str, Ref | None, Ref | None], list[Change]] = {}
    for change in changes:
        reason = re.sub(r"\d+", "#", change.detail)
        groups.setdefault((reason, change.since, change.last_good), []).append(change)
    return list(groups.values())


def _detail(change: Change, against: Ref | None) -> Iterator[str]:
    if change.detail and change.detail != change.subject:
        yield change.detail
    if change.since:
        yield f"since {change.since.name} ({day(change.since)}, {_kernel(change.since)})"
    if change.last_good and change.last_good != against:
        word = "last bad" if change.kind is Kind.FIXED else "last good"
        yield f"{word}: {change.last_good.name} ({day(change.last_good)}, {_kernel(change.last_good)})"
