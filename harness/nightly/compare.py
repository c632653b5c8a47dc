"""What is new in a run, against the last good one of the same branch, board, configuration and test. Pure.

Whatever the bench had a hand in is neither a regression nor mended. Where runs exist that are equal in all else
(toolchain, image, lab host, layout), one is compared with those; else with what there is, and the difference is told.
"""

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property

import attrs

from harness.nightly import sequence, slowness
from harness.nightly.sequence import Answer, Meaning, Reading
from harness.nightly.slowness import Slower
from harness.nightly.views import Answered, Past, Ref, RunView

FAILED = ("failed", "error")
NEWS = 3  # runs: a stage that was slower in one of so many before is told as still slower
BUILT = "built"
"""The inventory of modules that were built; those that were loaded on the board are ``modules``."""
PLACES = {BUILT: "modules of the build", "modules": "modules loaded on the board"}


class Kind(enum.StrEnum):
    """What a change is; the first few are regressions."""

    NEW_FAILURE = "new failure"
    NEW_SIGNATURE = "new complaint of the kernel"
    MISSING_MODULE = "missing module"
    MISSING_DEVICE = "missing device"
    MISSING = "missing"
    SLOWER = "boot stage slower"
    FIRST_FAILURE = "failing, and never asked before"
    STILL_FAILING = "still failing"
    STILL_MISSING = "still missing"
    STILL_SLOWER = "still slower"
    FIXED = "fixed"
    FLAKE = "flake"
    ODD = "unusually slow, once"
    NOT_ASKED = "no longer asked"
    BENCH = "spoilt by the bench"
    NEW_WARNING = "new compiler warning"


GROWING = frozenset({"messages", "unanswered"})
"""Inventories of what had better not be there; the test that takes them has told what is new already."""
MISSING = {BUILT: Kind.MISSING_MODULE, "modules": Kind.MISSING_MODULE, "devices": Kind.MISSING_DEVICE}
_ANEW = {Kind.STILL_FAILING: Kind.NEW_FAILURE, Kind.STILL_MISSING: Kind.MISSING}
REGRESSIONS = frozenset(list(Kind)[: list(Kind).index(Kind.FIRST_FAILURE)])


@attrs.frozen
class Change:
    """One thing that is not as it was."""

    kind: Kind
    subject: str
    """Test, signature, module, device, boot stage."""
    detail: str = ""
    since: Ref | None = None
    """First of the runs in a row in which it was so; None: this one."""
    last_good: Ref | None = None
    """Last run in which it was otherwise."""

    @property
    def regression(self) -> bool:
        """Whether it broke in this run."""
        return self.kind in REGRESSIONS


@attrs.frozen
class Comparison:
    """One run against those before it."""

    run: Ref
    against: Ref | None
    """The last good run, or the one that was named; None where there is none."""
    silent: str = ""
    """Why nothing can be said; then there are no changes."""
    differs: tuple[str, ...] = ()
    """What is not equal besides the kernel."""
    changes: tuple[Change, ...] = ()

    @property
    def regressions(self) -> tuple[Change, ...]:
        """The changes for the worse that are new in this run."""
        return tuple(change for change in self.changes if change.regression)


def compare(now: RunView, past: Past, *, against: RunView | None = None) -> Comparison:
    """Return what is new in *now*, after *past*; or against the one run that is named, as if there were no other.

    How long boots take is always compared with many runs: one tells nothing about that.
    """
    other = f"{against.ref.name}: {against.silent}" if against and against.silent else ""
    if silent := now.silent or other:
        return Comparison(now.ref, against.ref if against else None, silent)
    spoken = [run for run in past.runs if not run.silent]
    equal = [run for run in spoken if run.equal == now.equal]
    good = against or _last_good(equal) or _last_good(spoken)
    known = _Known(now, [against], [against]) if against else _Known(now, equal, spoken, past.older_good)
    changes = [*_tests(known), *_signatures(known), *_missing(known), *_slower(now, equal), *_not_asked(now, good)]
    changes += [Change(Kind.NEW_WARNING, warning) for warning in now.new_warnings]
    order = list(Kind)
    return Comparison(
        now.ref,
        good.ref if good else None,
        differs=tuple(_differences(good, now)) if good else (),
        changes=tuple(sorted(changes, key=lambda change: order.index(change.kind))),
    )


def as_news(found: Comparison, *, began: int = 0, told: str = "") -> Comparison:
    """Return *found* as a night tells it: what broke in a run of which none has told broke now.

    Such a run began with this night (at *began*, seconds since 1970), or came after the run *told* (the names of runs
    begin with their time): it was cut off, say, or somebody made it by hand.
    """

    def untold(since: Ref) -> bool:
        return bool((began and since.started >= began) or (told and since.name > told))

    changes = [
        attrs.evolve(change, kind=_ANEW[change.kind] if change.last_good else Kind.FIRST_FAILURE, since=None)
        if change.kind in _ANEW and change.since and untold(change.since)
        else change
        for change in found.changes
    ]
    return attrs.evolve(found, changes=tuple(sorted(changes, key=lambda change: list(Kind).index(change.kind))))


def _last_good(runs: Iterable[RunView]) -> RunView | None:
    return next((run for run in runs if run.ref.verdict == "PASS"), None)


def _differences(good: RunView, now: RunView) -> Iterator[str]:
    for name in sorted(good.equal.keys() & now.equal.keys()):
        before, after = good.equal[name], now.equal[name]
        if before and after and before != after:  # of a kernel that did not build nobody knows the rest
            yield f"{name}: {before} -> {after}"


@attrs.frozen
class _Known:
    """What *now* is compared with."""

    now: RunView
    equal: Sequence[RunView]
    """Runs that are equal in all else."""
    every: Sequence[RunView]
    """Those and all others."""
    older_good: Mapping[str, Ref] = attrs.field(factory=dict)

    @cached_property
    def failed(self) -> frozenset[str]:
        """Tests that one of the runs before did not pass; all others need no reading when they pass."""
        return frozenset(name for run in self.every for name, answered in run.tests.items() if not answered.good)

    def read(self, ask: Callable[[RunView], bool | None], *, good: bool) -> tuple[Reading, Sequence[RunView]]:
        """Return what it means that *now* is *good*, after what *ask* says of the runs before, and these runs.

        They are those that are equal in all else, if one of them was good.
        """
        past, runs = _answers(self.equal, ask), self.equal
        if not any(each.good for each in past):
            past, runs = _answers(self.every, ask), self.every
        return sequence.read(good, self.now.kernel, past), runs


def _answers(runs: Sequence[RunView], ask: Callable[[RunView], bool | None]) -> list[Answer]:
    asked = ((number, run, ask(run)) for number, run in enumerate(runs))
    return [Answer(good, run.kernel, number) for number, run, good in asked if good is not None]


# --- tests -----------------------------------------------------------------------------------------------------------
_KINDS = {
    Meaning.BROKEN: Kind.NEW_FAILURE,
    Meaning.STILL: Kind.STILL_FAILING,
    Meaning.FIRST: Kind.FIRST_FAILURE,
    Meaning.MENDED: Kind.FIXED,
    Meaning.FLAKE: Kind.FLAKE,
}


def _tests(known: _Known) -> Iterator[Change]:
    for name, answered in known.now.tests.items():
        if answered.retried:
            yield Change(Kind.FLAKE, name, f"repeated; the attempt before was {answered.retried}")
        if answered.good is False or (answered.good and name in known.failed):
            yield from _test(known, name, answered, good=answered.good)
        elif (
            answered.good is None and answered.outcome in FAILED and answered.blame != "BUILD"
        ):  # that is told once, as the build's own outcome
            yield Change(Kind.BENCH, name, f"{answered.blame}: {answered.headline}")


def _test(known: _Known, name: str, answered: Answered, *, good: bool) -> Iterator[Change]:
    reading, runs = known.read(lambda run: run.tests[name].good if name in run.tests else None, good=good)
    if reading.meaning is Meaning.FINE:
        return
    last_good = _ref(runs, reading.last_good) or known.older_good.get(name)
    said = answered.headline or ("passes" if good else answered.outcome)
    detail = f"{said} ({reading.why})" if reading.why else said
    yield Change(_KINDS[reading.meaning], name, detail, _ref(runs, reading.bad_since), last_good)


def _ref(runs: Sequence[RunView], place: int | None) -> Ref | None:
    return None if place is None else runs[place].ref


def _not_asked(now: RunView, good: RunView | None) -> Iterator[Change]:
    """Yield the tests to which the last good run has an answer and this one has none, and nobody is to blame for it."""
    if good is None or now.ref.verdict == "BUILD":
        return
    for name, before in good.tests.items():
        after = now.tests.get(name)
        if before.good and (after is None or after.outcome == "skipped"):
            yield Change(Kind.NOT_ASKED, name, "not run" if after is None else "skipped", last_good=good.ref)


# --- what the kernel said, and what is there -------------------------------------------------------------------------
def _signatures(known: _Known) -> Iterator[Change]:
    """Yield what the kernel says that no run before has heard; what the bench may explain is nobody's regression."""
    for seen in known.now.seen:
        if seen.severity == "info" or seen.before:
            continue
        if seen.fault == "LAB" or known.now.ref.verdict == "INCONCLUSIVE":
            yield Change(Kind.BENCH, seen.signature, seen.example)
        elif known.every:
            yield Change(Kind.NEW_SIGNATURE, seen.signature, seen.example)


def _missing(known: _Known) -> Iterator[Change]:
    for kind, there in known.now.there.items():
        if kind in GROWING:
            continue
        lists = {there, *(run.there[kind] for run in known.every if kind in run.there)}
        for name in sorted(frozenset.union(*lists) - frozenset.intersection(*lists)):
            yield from _item(known, kind, name, there=name in there)


def _item(known: _Known, kind: str, name: str, *, there: bool) -> Iterator[Change]:
    reading, runs = known.read(lambda run: name in run.there[kind] if kind in run.there else None, good=there)
    what = {
        Meaning.BROKEN: MISSING.get(kind, Kind.MISSING),
        Meaning.STILL: Kind.STILL_MISSING,
        Meaning.MENDED: Kind.FIXED,
        Meaning.FLAKE: Kind.FLAKE,
    }.get(reading.meaning)
    if what and reading.last_good is not None:  # what was never there before is not missing, nor there again
        detail = f"{PLACES.get(kind, kind)}: {'there again' if there else 'not there'}"
        detail += f" ({reading.why})" if reading.why else ""
        yield Change(what, name, detail, _ref(runs, reading.bad_since), _ref(runs, reading.last_good))


# --- boots -----------------------------------------------------------------------------------------------------------
def _slower(now: RunView, equal: Sequence[RunView]) -> Iterator[Change]:
    """Yield the stages that take longer; what did so at one of the last runs before is no news."""
    runs = [run for run in (now, *equal) if run.boots]
    if not now.boots:
        return
    boots = [run.boots for run in runs]
    found = slowness.slower(boots)
    before = {one.stage for skipped in range(1, 1 + NEWS * bool(found)) for one in slowness.slower(boots[skipped:])}
    for one in found:
        kind = Kind.STILL_SLOWER if one.stage in before else Kind.SLOWER
        yield Change(kind, one.stage, _times(one), runs[one.first].ref)
    told = {one.stage for one in found}
    yield from (Change(Kind.ODD, one.stage, _times(one)) for one in slowness.odd(boots) if one.stage not in told)


def _times(one: Slower) -> str:
    if one.runs == 1:
        return f"{one.now_s:.1f} s; {one.usual_s:.1f} s in the {one.before} runs before, none of them so slow"
    return (
        f"{one.now_s:.1f} s in the last {one.runs} runs, {one.usual_s:.1f} s in the {one.before} before: "
        f"+{one.share:.0%}, their spread is {one.spread:.1%} (p = {one.p:.0e})"
    )
