"""A place at labgrid's coordinator: which one, by name or by tag; acquired before a run, and released after it."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from labgrid.factory import target_factory
from labgrid.remote.client import UserError
from labgrid.remote.common import Reservation, ReservationState
from labgrid.remote.generated import labgrid_coordinator_pb2 as messages

from harness.errors import ConfigError, LabError
from harness.lab.coordinator import Asked, Lab, whose

DEFAULT = "127.0.0.1:20408"  # labgrid's own


class Closing(Protocol):
    """A lock on a board, and whether the one before ended in order."""

    left: bool

    def close(self) -> None:
        """Let it go."""


def asked(environment: Any, target: str, reserve: tuple[str, ...]) -> Asked | None:
    """Return what *target* asks of a coordinator; None for a target of this host. ConfigError."""
    config = environment.config.get_targets().get(target) or {}
    resources, _ = target_factory.normalize_config(config)
    names = list(resources.get("RemotePlace", {}))
    if reserve and names != ["+"]:
        raise ConfigError(
            f"{target}: `reserve:` is for a target whose place is the one that is reserved",
            hint="`RemotePlace: {name: +}` among its resources in lab.yaml",
        )
    if not names:
        return None
    address = environment.config.get_option("coordinator_address", os.environ.get("LG_COORDINATOR", DEFAULT))
    return Asked(target, str(address), str(names[0]), dict(_tag(target, word) for word in reserve), environment)


def _tag(target: str, word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not (key and equals and value):
        raise ConfigError(f"{target}: `reserve: [{word}]` is no tag", hint="`reserve: [board=rpi4]`, say")
    return key, value


def sweep(lab: Lab, take: Callable[[str], Closing | None]) -> None:
    """Release what runs of ours on this host have acquired that were killed: their locks are free, and say a name."""
    for name in [name for name, place in lab.session.places.items() if place.acquired == lab.me]:
        if lock := take(lab.board(name)):
            try:
                if lock.left:
                    lab.call("ReleasePlace", placename=name, fromuser=lab.me)
                    lab.sync()
                    lab.tell(f"{name}: released, for the run that had it was killed")
            finally:
                lock.close()


# --- which place -----------------------------------------------------------------------------------------------------
@contextlib.contextmanager
def chosen(lab: Lab, *, wait_s: float) -> Iterator[str]:
    """Yield the name of the place: the one that is named, or one that the coordinator keeps free for us."""
    if not lab.asked.tags:
        try:
            name = lab.session.get_place(lab.asked.name).name
        except UserError as error:
            hint = "`labgrid-client places` shows them; `+` needs LG_TOKEN, or `reserve: [TAG=VALUE]` in lab.yaml"
            raise lab.fault(" ".join(map(str, error.args)), hint=hint) from error
        yield name
        return
    with _reserved(lab, wait_s) as (token, name), _variable("LG_TOKEN", token):  # by it labgrid finds the place `+`
        yield name


@contextlib.contextmanager
def _reserved(lab: Lab, wait_s: float) -> Iterator[tuple[str, str]]:
    tags = " ".join(f"{key}={value}" for key, value in lab.asked.tags.items())
    if not _fitting(lab):
        raise lab.fault(f"no place has the tags {tags}", hint=f"`labgrid-client -p PLACE set-tags {tags}` gives them")
    wanted = messages.Reservation.Filter(filter=lab.asked.tags)
    token: str = lab.call("CreateReservation", filters={"main": wanted}, prio=0.0).reservation.token
    try:
        yield token, _allocated(lab, token, tags, wait_s)
    finally:
        with contextlib.suppress(LabError):  # it is forgotten a minute after the place is released
            lab.call("CancelReservation", token=token)


def _fitting(lab: Lab) -> list[Any]:
    return [place for place in lab.session.places.values() if lab.asked.tags.items() <= place.tags.items()]


def _allocated(lab: Lab, token: str, tags: str, wait_s: float) -> str:
    deadline = time.monotonic() + wait_s
    while True:
        reservation = Reservation.from_pb2(lab.call("PollReservation", token=token).reservation)
        if reservation.state is not ReservationState.waiting and reservation.allocations:
            return str(reservation.allocations["main"][0])
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            shown = [f"{place.name}: {whose(place)}" for place in _fitting(lab)[:8]]
            hint = "wait for one: --board-wait SECONDS"
            raise lab.fault(f"no place with the tags {tags} is free", hint=hint, evidence=shown)
        lab.tell(f"waiting for a place with {tags}: {left_s:.0f} s at most")
        lab.pump()


@contextlib.contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before


# --- acquired and released -------------------------------------------------------------------------------------------
@contextlib.contextmanager
def acquired(lab: Lab, name: str, *, deadline: float) -> Iterator[None]:
    """Have the place *name*, from before *deadline* on.

    What was acquired by hand before stays so afterwards, and what somebody else has acquired and ``allow``s us to use.
    """
    lab.sync()
    if lab.place(name).acquired == lab.me or lab.me in lab.place(name).allowed:
        lab.watch(name)
        lab.tell(f"{lab.asked.target}: the place {name} is {whose(lab.place(name))}, and stays so")
        yield
        return
    _acquire(lab, name, deadline)
    try:
        lab.watch(name)
        lab.tell(f"{lab.asked.target}: has the place {name} of {lab.asked.address}")
        yield
    finally:
        _give_back(lab, name)


def _acquire(lab: Lab, name: str, deadline: float) -> None:
    while True:
        lab.pump(0.0)
        refused = lab.refusal(name)
        if not refused:
            try:
                lab.call("AcquirePlace", placename=name)
                lab.sync()
                return
            except LabError as error:  # somebody was faster
                refused = error
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise refused
        lab.tell(f"waiting for {name}: {left_s:.0f} s at most; {refused.message}")
        lab.pump()


def _give_back(lab: Lab, name: str) -> None:
    """Release the place; LabError with what is left to do when the coordinator is gone."""
    try:
        if lab.session.stopping.is_set():
            lab.reconnect()
        lab.call("ReleasePlace", placename=name, fromuser=lab.me)
    except LabError as error:
        hint = f"the next run here releases it, or `labgrid-client -p {name} release`"
        raise LabError(f"{error.message}; the place `{name}` stays acquired", hint=hint) from error
