"""What a virtual board promises about its firmware; on iron these would leave another card behind than was deployed."""

import pytest

from harness.console.shell import Shell
from harness.errors import demand_healthy
from harness.strategy import RaspberryPiStrategy


@pytest.fixture
def virtual(features: frozenset[str]) -> None:
    if "virtual" not in features:
        pytest.skip("this board has firmware of its own, and a card that is kept")
    if "netboot" in features:
        pytest.skip("this board has no card: what it boots from cannot be written to by the guest")


@pytest.mark.usefixtures("virtual")
def test_a_kernel_copied_onto_the_card_by_the_guest_is_the_one_that_boots_next(
    shell: Shell, dut: RaspberryPiStrategy
) -> None:
    prefix = shell.check("sed -n 's/^os_prefix=//p' /boot/config.txt | tail -n 1")  # slots take turns
    shell.check(f"sudo cp /boot/{prefix}kernel8.img /boot/{prefix}copied.img", timeout=60)
    shell.check("echo kernel=copied.img | sudo tee -a /boot/config.txt && sync", timeout=60)  # the last value wins
    boot = dut.reboot()
    demand_healthy(boot)
    assert f"Loaded '{prefix}copied.img'" in boot.log.read_text(errors="replace")
