"""What the power switch must be able to do to a board."""

from harness.errors import demand_healthy
from harness.strategy import RaspberryPiStrategy


def test_boots_again_after_a_cold_power_cycle(dut: RaspberryPiStrategy) -> None:
    demand_healthy(dut.cold_boot())
