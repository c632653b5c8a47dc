"""labgrid makes the target, all of it is there, and no other process has it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.lab import claim
from harness.lab.doctor.answer import Answer, fault, ok
from harness.lab.doctor.bench import Bench, class_names

ORDER = 70


def look(bench: Bench) -> Iterator[Answer]:
    """Make the target; what labgrid or the coordinator says against it is the answer."""
    strategy = bench.make()
    parts = {"power": strategy.power, "console": strategy.console, "medium": strategy.medium}
    if not bench.running:
        yield ok(bench.board, ", ".join(f"{key} {_name(driver)}" for key, driver in parts.items()))
    for resource in bench.target.resources:
        if getattr(resource, "parent", None) is not None and not resource.avail:
            fact = "its exporter says that it is not there"
            yield fault(
                _label(resource), fact, "on the exporter's host: `pi64 doctor --scan`, and is the exporter running?"
            )
    if not bench.running:
        yield from _claims(bench)


def prove(bench: Bench) -> Iterator[Answer]:
    """Take the board for as long as the doctor is busy with it, as a run would."""
    if bench.used_by:
        return
    bench.claim = claim.take(_claimed(bench))
    if bench.claim is None:
        bench.used_by = claim.holder(claim.lock_file(_claimed(bench))) or "another process"
        yield fault(bench.board, f"another run has just taken it: {bench.used_by}", "wait for it to end")


def lock_of(medium: Any) -> Path | None:
    """Return the file that a run locks which deploys to *medium*; None when it locks none."""
    if slot := getattr(medium, "slot", None):
        return Path(slot.path.with_suffix(".lock"))
    if server := getattr(medium, "server", None):
        return Path(server.tftp_folder) / f".{server.prefix}.lock"
    if card := getattr(medium, "card", None):  # the way back of a system that runs
        return lock_of(card)
    return None


def _claims(bench: Bench) -> Iterator[Answer]:
    locks = (claim.lock_file(_claimed(bench)), lock_of(bench.strategy.medium))
    if by := next(filter(None, (claim.holder(lock) for lock in locks if lock)), ""):
        bench.used_by = by
        yield fault(
            bench.board, f"another run has it: {by}", "wait for it; until then its power and its mux stay as they are"
        )
    else:
        yield ok(bench.board, "no other run has it")


def _claimed(bench: Bench) -> str:
    """Return by which name a run claims the board: its target's, or its place's at the coordinator."""
    place = next(iter(bench.resources("RemotePlace")), None)
    return claim.place(place.name, bench.coordinator) if place else bench.board


def _name(driver: Any) -> str:
    return type(driver).__name__ if driver else "none"


def _label(resource: Any) -> str:
    return f"{next(class_names(resource))} {resource.name or ''}".strip()
