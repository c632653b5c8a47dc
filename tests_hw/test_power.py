"""What the power switch must be able to do to a board."""

from harness.errors import BootFailed
from harness.strategy import RaspberryPiStrategy


def test_boots_again_after_a_cold_power_cycle(dut: RaspberryPiStrategy) -> None:
    boot = dut.cold_boot()
    if not boot.reached:
        raise BootFailed(boot)
