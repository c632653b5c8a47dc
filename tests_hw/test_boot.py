"""The guide's way, in its order: boot, look who answers, depmod, reboot, modules."""

import pytest

from harness.console.shell import Shell
from harness.errors import BootFailed
from harness.lab.options import TargetOptions
from harness.model import BootRecord, KernelBuild
from harness.strategy import RaspberryPiStrategy

PROBE = "dummy"  # a module without hardware, in every configuration that pi64 knows


def test_boots_to_login(boot: BootRecord) -> None:
    if not boot.reached:
        raise BootFailed(boot)


def test_a_64_bit_kernel_answers(shell: Shell) -> None:
    assert shell.check("uname -m") == "aarch64"


def test_it_is_the_kernel_we_built(shell: Shell, kernel: KernelBuild) -> None:
    """Not the one left on the card by the run before."""
    assert shell.check("uname -r") == kernel.release


def test_no_module_loads_before_depmod(shell: Shell, target_options: TargetOptions) -> None:
    """At first boot the dependency files are missing: the guide says so, and it is why depmod comes next."""
    _only_with_target_depmod(target_options)
    assert shell.run(f"sudo modprobe {PROBE}").status != 0


def test_depmod_succeeds_on_the_target(shell: Shell, target_options: TargetOptions) -> None:
    _only_with_target_depmod(target_options)
    assert shell.check("sudo depmod -a", timeout=120) == ""


def test_reboots(shell: Shell, dut: RaspberryPiStrategy) -> None:
    before = shell.check("cat /proc/sys/kernel/random/boot_id")
    boot = dut.reboot()
    if not boot.reached:
        raise BootFailed(boot)
    dut.transition("shell")
    assert dut.shell is not None
    assert dut.shell.check("cat /proc/sys/kernel/random/boot_id") != before


def test_modules_load_after_the_reboot(shell: Shell) -> None:
    shell.check(f"sudo modprobe {PROBE}")
    assert PROBE in shell.check("lsmod")


def _only_with_target_depmod(options: TargetOptions) -> None:
    if options.depmod != "target":
        pytest.skip("depmod ran on the lab host; --depmod target asks the board, as the guide does")
