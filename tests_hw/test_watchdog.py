"""A system that hangs is restarted by the hardware."""

import pytest

from harness.console.shell import Shell
from harness.errors import CommandFailed, demand_healthy
from harness.strategy import RaspberryPiStrategy

# The SoC's timer runs for 15 s at most. Who opens the device starts it, and only who writes keeps it from ending.
STARVE = "sync; sudo sh -c 'exec 3>/dev/watchdog0 && exec sleep 120'"


@pytest.fixture
def watchdog(features: frozenset[str]) -> None:
    if "watchdog" not in features:
        pytest.skip("needs watchdog: QEMU's does not count, it resets the board as soon as it is opened")


@pytest.mark.usefixtures("watchdog")  # before the shell: nobody logs in for a test that is skipped
def test_a_watchdog_that_nobody_feeds_restarts_the_board(shell: Shell, dut: RaspberryPiStrategy) -> None:
    before = shell.check("cat /proc/sys/kernel/random/boot_id")
    try:
        boot = dut.reboot(STARVE)
    except CommandFailed as error:
        if any("busy" in line for line in error.evidence):
            pytest.skip("the system on this image feeds the watchdog itself (RuntimeWatchdogSec): it cannot be starved")
        raise
    demand_healthy(boot)
    dut.transition("shell")
    assert dut.shell is not None
    assert dut.shell.check("cat /proc/sys/kernel/random/boot_id") != before
