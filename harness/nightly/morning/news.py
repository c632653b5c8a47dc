"""What is new in many runs, told once: what broke on a branch alike on ten boards is one piece of news. Pure."""

import re
from collections.abc import Callable, Iterable

import attrs

from harness.nightly.compare import Change, Comparison, Kind
from harness.nightly.morning.values import Line, News
from harness.nightly.views import Ref

UNTOLD = frozenset({Kind.NOT_ASKED, Kind.BENCH, Kind.NEW_WARNING})
"""What is no news of a night: the run's own page has it."""


@attrs.frozen
class Found:
    """What is new in one run."""

    line: Line
    board: str
    comparison: Comparison
    bisection: str = ""


def news(found: Iterable[Found], *, published: Callable[[str], bool] = lambda _: False) -> tuple[News, ...]:
    """Return what is new in *found*, what broke first; *published* tells whether a run has a page."""
    by_subject: dict[tuple[Line, Kind, str, str], list[tuple[Found, Change]]] = {}
    for one in found:
        for change in one.comparison.changes:
            if change.kind not in UNTOLD:
                key = (one.line, change.kind, change.subject, _alike(change, one.board))
                by_subject.setdefault(key, []).append((one, change))
    groups: dict[tuple[object, ...], list[list[tuple[Found, Change]]]] = {}
    for (line, kind, _, alike), told in by_subject.items():
        boards = tuple(one.board for one, _ in told)
        groups.setdefault((line, kind, alike, boards), []).append(told)
    order = list(Kind)
    every = [_piece(told, published) for told in groups.values()]
    return tuple(sorted(every, key=lambda each: (order.index(each.kind), -len(each.boards), each.line.label)))


def _alike(change: Change, board: str) -> str:
    """Return what is equal for changes of which the same is told; times differ from board to board."""
    detail = "" if change.kind in {Kind.SLOWER, Kind.STILL_SLOWER, Kind.ODD} else change.detail
    good = change.last_good.commit if change.last_good else ""
    return f"{re.sub(r'[0-9a-f]*[0-9][0-9a-f]*', '#', detail.replace(board, ''))} {good}"


def _piece(told: list[list[tuple[Found, Change]]], published: Callable[[str], bool]) -> News:
    """Return the news of what is told of several subjects, each on the same boards."""
    first, change = told[0][0]
    run = first.comparison.run.name
    return News(
        change.kind,
        first.line,
        tuple(one.board for one, _ in told[0]),
        tuple(subject[0][1].subject for subject in told),
        "" if change.detail == change.subject else change.detail,
        run,
        published(run),
        min((ref.started for _, ref in _refs(told[0])), default=0),
        _kernel(change.last_good),
        tuple(dict.fromkeys(one.bisection for one, _ in told[0] if one.bisection)),
    )


def _refs(told: list[tuple[Found, Change]]) -> list[tuple[Found, Ref]]:
    return [(one, change.since) for one, change in told if change.since]


def _kernel(ref: Ref | None) -> str:
    return ref.kernel if ref else ""
