"""``reboot '0 tryboot'`` on a virtual board: tryboot.txt for the next start, and for that one only."""

import fakekernel
import libfdt
import pytest
import tinycard
from labgrid import Target

from harness import boards
from harness.card.slot import CardImage
from harness.console.expect import ConsoleExpect
from harness.console.recorder import Recorder
from harness.virtual import firmware
from harness.virtual.board import VirtualPiDriver

ASKED = "reboot: Restarting system with command '0 tryboot'\n"
CONFIG, TRYBOOT = tinycard.CONFIG, f"{tinycard.CONFIG}kernel=try.img\n"


def stock(then: str, last_words: str = ASKED) -> bytes:
    return fakekernel.image(fakekernel.text("6.12.1-stock", f"{last_words}"), then=then)


@pytest.fixture
def board(tmp_path):
    """Power, console, and the card whose config.txt boots *stock* and whose tryboot.txt boots 6.12.2-try."""
    target = Target("tiny")
    CardImage(target, name=None, file=str(tmp_path / "card.img"))
    driver = VirtualPiDriver(target, name=None, model="rpi-3-b")
    target.activate(driver)
    with Recorder(driver, tmp_path / "record") as recorder:
        console = ConsoleExpect(recorder, driver)
        with console.expecting("restart"):
            yield driver, console
    target.deactivate(driver)


def card(tmp_path, kernel: bytes):
    made = tinycard.make(tmp_path / "card.img", kernel)
    tinycard.put(made, "tryboot.txt", TRYBOOT.encode(), "try.img", tinycard.healthy("6.12.2-try"))
    return made


def test_the_start_after_the_command_takes_tryboot_txt_and_the_one_after_that_does_not(board, tmp_path) -> None:
    driver, console = board
    card(tmp_path, stock("reset"))
    driver.on()
    console.expect(rb"6\.12\.2-try.*login: ", timeout=30)
    console.send(b"r")
    console.expect(rb"6\.12\.1-stock", timeout=30)


def test_a_power_cut_forgets_what_was_asked_for(board, tmp_path) -> None:
    driver, console = board
    card(tmp_path, stock("hang"))
    driver.on()
    console.expect(b"0 tryboot'", timeout=30)
    driver.cycle()
    console.expect(rb"Linux version (\S+) ", timeout=30)
    assert console.match[1] == b"6.12.1-stock"


@pytest.mark.parametrize(
    "last_words",
    [
        "reboot: Restarting system\n",
        "reboot: Restarting system with command '0 other'\n",
        f"{ASKED}Kernel said more, so that was not its last word\n",
    ],
)
def test_any_other_reset_takes_config_txt(board, tmp_path, last_words) -> None:
    driver, console = board
    card(tmp_path, stock("reset", last_words))
    driver.on()
    for _ in range(2):
        console.expect(rb"Linux version (\S+) ", timeout=30)
        assert console.match[1] == b"6.12.1-stock"


@pytest.mark.parametrize("tryboot", [False, True])
def test_the_device_tree_tells_the_kernel_how_it_was_started(tmp_path, tryboot) -> None:
    started = firmware.load(card(tmp_path, tinycard.healthy()), boards.load("rpi-3-b"), tmp_path, tryboot=tryboot)
    tree = libfdt.Fdt(started.image.dtb.read_bytes())
    node = tree.path_offset("/chosen/bootloader")
    assert tree.getprop(node, "tryboot").as_uint32() == tryboot
    assert tree.getprop(node, "partition").as_uint32() == 1
