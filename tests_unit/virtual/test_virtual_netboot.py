"""What a board asks a TFTP server for, and how a virtual one boots from it, in real QEMU."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest
import tinycard
from labgrid import Target
from labgrid.exceptions import NoSupplierFoundError
from processes import until
from tftpservers import FaultyServer

from harness import boards
from harness.bootfs import firmware
from harness.console.expect import ConsoleExpect
from harness.console.recorder import Recorder
from harness.errors import CheckFailed, LabError
from harness.virtual import netboot, tftp
from harness.virtual.board import VirtualPiDriver
from harness.virtual.netboot import Netboot
from harness.virtual.tftp import Server

PI3, PI4 = boards.load("rpi-3-b"), boards.load("rpi-4-b")
SERIAL = "100000009FFD5EE1"
NETBOOT = Netboot(Server("192.0.2.1"), int(SERIAL, 16))
FILES = {
    "bootcode.bin": b"code",
    "9ffd5ee1/start.elf": b"stub",
    "9ffd5ee1/config.txt": tinycard.CONFIG.encode(),
    "9ffd5ee1/cmdline.txt": b"console=serial0,115200\n",
    "9ffd5ee1/bcm2710-rpi-3-b.dtb": tinycard.dtb(),
    "9ffd5ee1/kernel8.img": tinycard.healthy(),
}


@attrs.define
class Shelf:
    """Stands in for a server that answers at once."""

    files: dict[str, bytes]
    asked: list[str] = attrs.Factory(list)

    def fetch(self, name: str) -> bytes:
        self.asked.append(name)
        if name not in self.files:
            raise tftp.Refused(tftp.NOT_FOUND, "no such file")
        return self.files[name]


# --- the names -------------------------------------------------------------------------------------------------------
def test_a_pi_3_asks_for_bootcode_without_and_then_for_all_with_its_serial_number() -> None:
    shelf = Shelf(FILES)
    files = netboot.find(NETBOOT, PI3, shelf.fetch)
    plan = firmware.plan(files, PI3, serial=NETBOOT.serial)
    assert plan.bootable
    assert shelf.asked[:4] == ["bootcode.bin", "bootsig.bin", "9ffd5ee1/start.elf", "9ffd5ee1/config.txt"]
    assert {name.partition("/")[0] for name in shelf.asked[2:]} == {"9ffd5ee1"}
    assert len(set(shelf.asked)) == len(shelf.asked)


def test_a_pi_4_has_that_stage_in_its_eeprom() -> None:
    shelf = Shelf({"9ffd5ee1/start4.elf": b"stub"})
    assert netboot.find(NETBOOT, PI4, shelf.fetch).prefix == "9ffd5ee1/"
    assert shelf.asked == ["9ffd5ee1/start4.elf"]


def test_without_start_elf_below_the_serial_number_the_prefix_is_dropped() -> None:
    shelf = Shelf({"start4.elf": b"stub", "config.txt": b"kernel=other.img\n"})
    files = netboot.find(NETBOOT, PI4, shelf.fetch)
    assert shelf.asked == ["9ffd5ee1/start4.elf", "9ffd5ee1/start.elf"]
    assert files.read("config.txt") == b"kernel=other.img\n"


def test_a_pi_3_without_bootcode_asks_for_nothing_more_and_says_why_it_stands_still() -> None:
    shelf = Shelf({name: data for name, data in FILES.items() if name != "bootcode.bin"})
    files = netboot.find(NETBOOT, PI3, shelf.fetch)
    assert not firmware.plan(files, PI3).bootable
    assert shelf.asked == ["bootcode.bin"]
    assert files.lines == ["TFTP server 192.0.2.1:69: no bootcode.bin in its root"]


def test_upper_and_lower_case_are_two_files() -> None:
    """On a card they would be one: this is what a tree that was copied from FAT by hand falls over."""
    files = netboot.find(NETBOOT, PI4, Shelf({"9ffd5ee1/start4.elf": b"", "9ffd5ee1/CONFIG.TXT": b"x"}).fetch)
    assert not files.exists("config.txt")


def test_a_name_that_leads_out_of_the_board_s_folder_is_not_asked_for() -> None:
    """config.txt is the board's own; another board's kernel is not."""
    shelf = Shelf({"9ffd5ee1/start4.elf": b"", "9ffd5ee1/config.txt": b"kernel=../50495634/kernel8.img\n"})
    files = netboot.find(NETBOOT, PI4, shelf.fetch)
    assert firmware.plan(files, PI4).kernel is None
    assert not [name for name in shelf.asked if ".." in name]
    assert "leads out of the board's folder" in files.lines[-1]


def test_an_error_other_than_not_found_is_told() -> None:
    def forbidden(name: str) -> bytes:
        raise tftp.Refused(2, "Access violation")

    files = netboot.find(NETBOOT, PI4, forbidden)
    assert "9ffd5ee1/start4.elf: error 2: Access violation" in files.lines[1]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("50495634", "takes `server`"),
        ({"server": "127.0.0.1"}, "takes `server`"),
        ({"server": "127.0.0.1", "serial": "50495634", "prot": 1}, "takes `server`"),
        ({"server": "", "serial": "50495634"}, "`server` must be"),
        ({"server": "127.0.0.1", "serial": "50495634", "port": 0}, "`port` must be"),
        ({"server": "127.0.0.1", "serial": 50495634}, "in quotes"),
        ({"server": "127.0.0.1", "serial": "5049563"}, "8 or 16 hexadecimal"),
        ({"server": "127.0.0.1", "serial": "../../50"}, "8 or 16 hexadecimal"),
    ],
)
def test_what_no_board_could_know_is_refused(given, words) -> None:
    with pytest.raises(ValueError, match=words):
        VirtualPiDriver(Target("net"), name=None, model="rpi-3-b", netboot=given)


# --- a board ---------------------------------------------------------------------------------------------------------
class Board:
    def __init__(self, folder: Path, port: int, model: str = "rpi-3-b") -> None:
        self.target = Target("net")
        given = {"server": "127.0.0.1", "port": port, "serial": SERIAL}
        self.driver = VirtualPiDriver(self.target, name=None, model=model, netboot=given)
        self.recorder = Recorder(self.driver, folder / "record")


@contextmanager
def board(folder: Path, port: int) -> Iterator[Board]:
    board = Board(folder, port)
    board.target.activate(board.driver)
    board.recorder.start()
    board.console = ConsoleExpect(board.recorder, board.driver)
    try:
        with board.console.expecting("restart"):
            yield board
    finally:
        board.recorder.stop()
        board.target.deactivate(board.driver)


def test_a_board_without_a_card_boots_what_the_server_has(tmp_path) -> None:
    with FaultyServer(FILES) as far, board(tmp_path, far.port) as pi:
        pi.driver.on()
        pi.console.expect(b"login: ", timeout=60)
        log = pi.recorder.log.read_text()
    assert log.index("files below 9ffd5ee1/") < log.index("Loaded 'kernel8.img'") < log.index("Linux version 6.12.1")


def test_each_reset_fetches_again(tmp_path) -> None:
    files = dict(FILES)
    with FaultyServer(files) as far, board(tmp_path, far.port) as pi:
        pi.driver.on()
        pi.console.expect(b"login: ", timeout=60)
        files["9ffd5ee1/kernel8.img"] = tinycard.healthy("6.12.2-new")
        pi.driver.write(b"r")
        pi.console.expect(b"Linux version 6.12.2-new", timeout=60)


def test_a_dead_server_is_the_bench_s_fault_with_its_address(tmp_path) -> None:
    with FaultyServer(FILES) as far:
        port = far.port
    with board(tmp_path, port) as pi:
        with pytest.raises(LabError, match=rf"^net: TFTP server 127\.0\.0\.1:{port}: no answer .*'bootcode\.bin'"):
            pi.driver.on()
        assert pi.driver.status()["state"] == "dead"


def test_a_server_that_dies_before_a_reboot_is_told_in_the_board_s_last_words(tmp_path) -> None:
    with FaultyServer(FILES) as far, board(tmp_path, far.port) as pi:
        pi.driver.on()
        pi.console.expect(b"login: ", timeout=60)
        far.mangle = lambda packet: []
        pi.driver.write(b"r")
        until(lambda: pi.driver.status()["state"] == "dead", seconds=60)
        assert "no answer" in pi.driver.status()["words"][0]


def test_a_tree_without_a_kernel_halts_the_board_and_says_why(tmp_path) -> None:
    files = {name: data for name, data in FILES.items() if "kernel" not in name}
    with FaultyServer(files) as far, board(tmp_path, far.port) as pi:
        pi.driver.on()
        with pytest.raises(CheckFailed, match=r"Cannot start: kernel kernel8.img is missing \(TFTP server 127"):
            pi.console.expect(b"never", timeout=60)
        assert pi.driver.status()["state"] == "halted"


def test_a_board_with_neither_card_nor_server_is_none() -> None:
    with pytest.raises(NoSupplierFoundError, match="CardImage"):
        VirtualPiDriver(Target("net"), name=None, model="rpi-3-b")
