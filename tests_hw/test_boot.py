"""The guide's way, in its order: boot, look who answers, depmod, reboot, modules."""

from collections.abc import Callable

import pytest

from harness.checks import Check
from harness.console.shell import Shell
from harness.errors import demand_healthy
from harness.lab.options import TargetOptions
from harness.model import BootRecord
from harness.strategy import RaspberryPiStrategy

PROBE = "dummy"  # a module without hardware, in every configuration that pi64 knows


def test_boots_to_login(boot: BootRecord) -> None:
    demand_healthy(boot)


def test_who_answers(identity: Check, ask: Callable[[Check], None]) -> None:
    """A 64-bit kernel below a 32-bit userland, and the one we built: not the one left on the card by the run before."""
    ask(identity)


def test_no_module_loads_before_depmod(shell: Shell, target_options: TargetOptions) -> None:
    """At first boot the dependency files are missing: the guide says so, and it is why depmod comes next."""
    _only_with_target_depmod(target_options)
    assert shell.run(f"sudo modprobe {PROBE}").status != 0


def test_depmod_succeeds_on_the_target(shell: Shell, target_options: TargetOptions) -> None:
    _only_with_target_depmod(target_options)
    assert shell.check("sudo depmod -a", timeout=120) == ""


def test_reboots(shell: Shell, dut: RaspberryPiStrategy) -> None:
    before = shell.check("cat /proc/sys/kernel/random/boot_id")
    demand_healthy(dut.reboot())
    dut.transition("shell")
    assert dut.shell is not None
    assert dut.shell.check("cat /proc/sys/kernel/random/boot_id") != before


def test_what_is_there(
    inventory: Check, ask: Callable[[Check], None], dut: RaspberryPiStrategy, target_options: TargetOptions
) -> None:
    """Drivers, modules and warnings against the board's own last good run, before anything is loaded by hand."""
    if target_options.depmod == "target" and len(dut.boots) < 2:  # with -k: what is missing now is nobody's fault
        pytest.skip("the first boot finds no module, for depmod has not run yet: ask the whole of test_boot.py")
    ask(inventory)


def test_modules_load_after_the_reboot(shell: Shell) -> None:
    shell.check(f"sudo modprobe {PROBE}")
    assert PROBE in shell.check("lsmod")


def _only_with_target_depmod(options: TargetOptions) -> None:
    if options.depmod != "target":
        pytest.skip("depmod ran on the lab host; --depmod target asks the board, as the guide does")
