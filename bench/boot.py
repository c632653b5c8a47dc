"""How long the virtual boards take from power-on to their login prompt, with the base image that pi64 ships.

Each boot starts from a card of its own, as deployed, and cold. Zero is the moment before the power is switched on, on
the lab host's monotonic clock: copying the card into the slot, our firmware and QEMU's own start are counted. Wall time
depends on what else the host does; QEMU's processor seconds to the login hardly do.

The same packages as Debian leaves them (systemd-sysv, udev, sudo, openssh-server) boot in turn with them, on the same
machine with the same kernel: the limit is a share of their time, for no two machines are equally fast.
docs/boot-time.md says where the seconds go.
"""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import attrs
from _common import (
    MARK,
    Figure,
    Inputs,
    boot_files,
    inputs,
    main,
    median,
    own_lab,
    processor_seconds,
    repeats,
    say,
    scratch,
)
from labgrid import Environment

from harness.errors import BootFailed
from harness.image import tuning
from harness.image.base import base_image
from harness.model import STAGES, BaseImage
from harness.strategy import Assignment, RaspberryPiStrategy

LIMIT = 0.67  # of the time that the untrimmed image takes
TARGETS = ("virtual-rpi3", "virtual-rpi4")


def figures() -> Iterator[Figure]:
    """Boot each board several times; tell the median of each stage, judge the login against the untrimmed image's."""
    number = repeats(2)
    for target in TARGETS:
        given = inputs(target)
        plain = attrs.evolve(given, base=_untrimmed(given))
        boots, others = [], []
        for _ in range(number):
            for image, found in ((given, boots), (plain, others)):
                with scratch() as folder:
                    found.extend(_boots(target, image, folder, 1))
        say(f"{target}: login at {[round(boot['login'], 1) for boot in boots]} s")
        for what in (*STAGES, "processor"):
            yield Figure(f"boot.{target}.{what}", median([boot[what] for boot in boots]))
        for what in ("login", "processor"):
            yield Figure(f"boot.{target}.untrimmed_{what}", median([boot[what] for boot in others]))
        shares = [boot["login"] / other["login"] for boot, other in zip(boots, others, strict=True)]
        yield Figure(f"boot.{target}.login_share", median(shares), unit="", limit=LIMIT)


def _untrimmed(given: Inputs) -> BaseImage:
    """Return the base image of the same packages without what ``harness/image/tuning.py`` does to it."""
    account = given.options.login.account("")
    nothing = {"tuning": lambda **_: iter(()), "LEFT_OUT": ()}
    with mock.patch.multiple(tuning, **nothing):
        return base_image(username=account.user, password=account.password, hostname="untrimmed")


def _boots(target: str, given: Inputs, folder: Path, number: int) -> list[dict[str, float]]:
    """Deploy once, then boot *number* times, each time with the card as deployed."""
    strategy: RaspberryPiStrategy = Environment(str(own_lab(folder))).get_target(target).get_strategy()
    account = given.options.login.account(target)
    mark = os.environ[MARK] = uuid.uuid4().hex  # QEMU inherits it
    found = []
    for repeat in range(number):
        strategy.prepare(Assignment(folder / str(repeat), account, given.options.deadlines), given.base)
        strategy.files = strategy.files or boot_files(given, given.kernel, strategy.stock())
        try:
            strategy.transition("booted")
            spent = processor_seconds(mark, "qemu-system-aarch64")
        finally:
            strategy.close()  # the copy of the card in the slot goes with it
        if not strategy.boot.reached:
            raise BootFailed(strategy.boot)
        found.append({**strategy.boot.stages, "processor": spent})
    return found


if __name__ == "__main__":
    main(figures())
