"""More boots, for those who want to know how often a kernel comes up and how long it takes: ``--boots N``."""

from collections.abc import Callable

import pytest

from harness.asking import Restart
from harness.errors import demand_healthy
from harness.model import BootRecord
from harness.strategy import RaspberryPiStrategy


@pytest.mark.usefixtures("up")
def test_boots_again(
    restart: Restart, dut: RaspberryPiStrategy, restarted: Callable[[Restart, BootRecord], None]
) -> None:
    if not restart.cold:
        dut.transition("shell")
    boot = dut.cold_boot() if restart.cold else dut.reboot()
    restarted(restart, boot)
    demand_healthy(boot)
