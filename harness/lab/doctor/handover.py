"""A card mux: who has the card, and handing it over while the board is off."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness.deadline import within, words
from harness.errors import LabError
from harness.lab.doctor.bench import Bench

SWITCH_S = 15.0
HOST, DUT = "host", "dut"
_SIDES = {"host": HOST, "ts": HOST, "dut": DUT, "client": DUT}
"""What the tools of the several muxes say; ``ts`` is the test server."""


def mux_of(bench: Bench) -> Any:
    """Return the target's mux driver, labgrid's or ours; None when the board has no mux."""
    return next((driver for driver in bench.target.drivers if hasattr(driver, "set_mode")), None)


def side(bench: Bench, mux: Any) -> str:
    """Return the side that has the card, ``host`` or ``dut``, or what else the mux says. LabError."""
    bench.activate(mux)
    return _SIDES.get(said := str(_ask(mux, mux.get_mode)).strip().lower(), said)


def hand(bench: Bench, mux: Any, mode: str) -> str:
    """Hand the card to *mode* and return the side that has it then. LabError when the mux does not answer."""
    bench.activate(mux)
    _ask(mux, lambda: mux.set_mode(mode))
    return side(bench, mux)


@contextmanager
def at_host(bench: Bench) -> Iterator[None]:
    """Hold the card at the host's side, the board being off, and give it back to the board."""
    mux = mux_of(bench)
    if mux is None:
        yield
        return
    bench.supply.be_off()
    try:
        hand(bench, mux, HOST)
        yield
    finally:
        hand(bench, mux, DUT)


def _ask(mux: Any, question: Any) -> Any:
    name = type(mux).__name__
    try:
        return within(SWITCH_S, question, name)
    except LabError:
        raise
    except Exception as error:  # a program that is missing or fails, or what labgrid's driver makes of it
        said = getattr(error, "stdout", b"") or b""
        evidence = said.decode(errors="replace").splitlines()[-3:] if isinstance(said, bytes) else []
        raise LabError(f"{name}: {words(error)}", evidence=evidence, hint="try its program by hand") from error
