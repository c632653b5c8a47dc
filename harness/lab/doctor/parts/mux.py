"""The card mux hands the card over, both ways."""

from collections.abc import Iterator

from harness.errors import LabError
from harness.lab.doctor.answer import Answer, absent, fault, ok
from harness.lab.doctor.bench import Bench
from harness.lab.doctor.handover import DUT, HOST, hand, mux_of, side

ORDER = 100
STUCK = "unplug the mux and plug it in again; is its cable a good one, and does the card sit in the right slot?"


def look(bench: Bench) -> Iterator[Answer]:
    """Ask the mux who has the card."""
    mux = mux_of(bench)
    if mux is None:
        yield absent("mux", "this target has none")
        return
    found = side(bench, mux)
    bench.no_card = _empty(bench) if found == HOST else bench.no_card
    if found in {HOST, DUT}:
        yield ok(type(mux).__name__, f"answers: the card is at the {found} side")
    else:
        yield fault(type(mux).__name__, f"answers `{found}`", STUCK)


def prove(bench: Bench) -> Iterator[Answer]:
    """Hand the card to the host and back to the board, which is off meanwhile."""
    mux = mux_of(bench)
    if mux is None:
        return
    bench.supply.be_off()
    if bench.no_card:
        yield absent("hand-over", bench.no_card, bench.deploy_remedy)
        return
    for mode in (HOST, DUT):
        try:
            yield judge(mode, hand(bench, mux, mode))
        except LabError as error:
            yield fault(f"to the {mode}", "; ".join([error.message, *error.evidence]), error.hint or STUCK)


def judge(asked: str, found: str) -> Answer:
    """Judge one hand-over: *found* is the side that has the card afterwards."""
    if asked == found:
        return ok(f"to the {asked}", "done, and it says so")
    return fault(f"to the {asked}", f"the mux answers, and the card is still at the {found} side", STUCK)


def _empty(bench: Bench) -> str:
    """Return why there is no card to hand over; empty when there may be one."""
    slots = bench.resources("CardImage")
    return "nothing deployed yet" if slots and not slots[0].path.exists() else ""
