"""What a virtual board promises about its firmware; on iron these would leave another card behind than was deployed."""

import pytest

from harness.console.shell import Shell
from harness.errors import demand_healthy
from harness.model import BootFiles
from harness.strategy import RaspberryPiStrategy


@pytest.fixture
def virtual(features: frozenset[str]) -> None:
    if "virtual" not in features:
        pytest.skip("this board has firmware of its own, and a card that is kept")
    if "netboot" in features:
        pytest.skip("this board has no card: what it boots from cannot be written to by the guest")


@pytest.mark.usefixtures("virtual")
def test_a_kernel_copied_onto_the_card_by_the_guest_is_the_one_that_boots_next(
    shell: Shell, dut: RaspberryPiStrategy, boot_files: BootFiles
) -> None:
    folder = f"/boot/{boot_files.os_prefix}"
    shell.check(f"sudo cp {folder}kernel8.img {folder}copied.img", timeout=60)
    shell.check("echo kernel=copied.img | sudo tee -a /boot/config.txt && sync", timeout=60)  # the last value wins
    boot = dut.reboot()
    demand_healthy(boot)
    assert f"Loaded '{boot_files.os_prefix}copied.img'" in boot.log.read_text(errors="replace")
