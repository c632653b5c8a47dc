"""How long the virtual boards take from power-on to their login prompt, with the base image that pi64 ships.

Each boot starts from a card of its own, as deployed, and cold. Zero is the moment before the power is switched on, on
the lab host's monotonic clock: copying the card into the slot, our firmware and QEMU's own start are counted. Wall time
depends on what else the host does; QEMU's processor seconds to the login hardly do.

An untrimmed Debian (systemd-sysv, udev, sudo, openssh-server) with the same kernel takes 23.6 s on the Pi 3 and 23.7 s
on the Pi 4, on two cores without KVM. docs/boot-time.md says where those seconds go.
"""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

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
from harness.model import STAGES
from harness.strategy import Assignment, RaspberryPiStrategy

LIMIT_S = 15.0
TARGETS = ("virtual-rpi3", "virtual-rpi4")


def figures() -> Iterator[Figure]:
    """Boot each board several times; tell the median of each stage, judge that of the login."""
    number = repeats(3)
    for target in TARGETS:
        given = inputs(target)
        with scratch() as folder:
            boots = _boots(target, given, folder, number)
        yield Figure(f"boot.{target}.qemu_processor", median([boot.pop("processor") for boot in boots]))
        say(f"{target}: login at {[round(boot['login'], 1) for boot in boots]} s")
        for stage in STAGES:
            seconds = median([boot[stage] for boot in boots])
            yield Figure(f"boot.{target}.{stage}", seconds, limit=LIMIT_S if stage == "login" else None)


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
