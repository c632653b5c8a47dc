"""Have a board for as long as a run needs it: a lock on this host, and its place at a coordinator, where it has one."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from harness import host
from harness.lab import claim, coordinator, places

Present = Callable[[], None]
"""Called before the board is asked for something: LabError when what it hangs on is gone, and does not come back."""


@contextlib.contextmanager
def hold(
    environment: Any,
    target: str,
    *,
    reserve: tuple[str, ...] = (),
    wait_s: float = 0.0,
    tell: host.Progress = host.silent,
) -> Iterator[Present]:
    """Have *target* of labgrid's *environment* for this process, its place at a coordinator too.

    *reserve* are tags, ``board=rpi4``, of which a place must have all: the coordinator chooses one that is free.
    LabError naming who has it when it is not free within *wait_s* seconds. What is yielded is to be called before the
    board is asked for something.
    """
    asked = places.asked(environment, target, reserve)
    if asked is None:
        with claim.locked(target, wait_s=wait_s, tell=tell):
            yield _here
        return
    deadline = time.monotonic() + wait_s
    with coordinator.joined(asked, tell=tell) as lab:
        places.sweep(lab, claim.take)
        with places.chosen(lab, wait_s=wait_s) as place:
            left_s = max(0.0, deadline - time.monotonic())
            with (
                claim.locked(lab.board(place), wait_s=left_s, tell=tell),
                places.acquired(lab, place, deadline=deadline),
            ):
                yield lab.present


def _here() -> None:
    """Find a board of this host present: what it hangs on, its drivers tell."""
