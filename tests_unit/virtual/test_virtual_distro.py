"""What the kernel of a distribution wants of a virtual board: its initramfs, and a console that nobody else takes."""

from pathlib import Path

import libfdt
import pytest
import tinycard

from harness import boards
from harness.virtual import dtb, firmware, qemu

BOARD = boards.load("rpi-3-b")


def test_an_initramfs_on_the_card_reaches_the_kernel(tmp_path: Path) -> None:
    card = tinycard.make(
        tmp_path / "card.img", tinycard.healthy(), config=f"{tinycard.CONFIG}initramfs initramfs.img followkernel\n"
    )
    tinycard.put(card, "initramfs.img", b"modules")
    image = firmware.load(card, BOARD, tmp_path).image
    assert image is not None
    assert image.initrd is not None
    assert image.initrd.read_bytes() == b"modules"
    argv = qemu.command(BOARD, image, card=card, console=tmp_path / "uart")
    assert argv[argv.index("-initrd") + 1] == str(image.initrd)


@pytest.mark.parametrize("model", ["rpi-3-b", "rpi-4-b"])
def test_no_bluetooth_chip_takes_the_console(model: str) -> None:
    """Linux makes no /dev/ttyAMA0 of a UART that has an enabled chip below it, and QEMU has no such chip."""
    tree = libfdt.Fdt.create_empty_tree(4096)
    uart = tree.add_subnode(tree.add_subnode(0, "soc"), "serial@7e201000")
    tree.add_subnode(uart, "bluetooth")
    fixed = libfdt.FdtRo(dtb.fix_up(bytes(tree.as_bytearray()), boards.load(model), serial=1))
    assert fixed.getprop(fixed.path_offset("/soc/serial@7e201000/bluetooth"), "status").as_str() == "disabled"
