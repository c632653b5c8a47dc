"""Power, reset, reboot and power-off of a virtual board, in real QEMU, with a tiny kernel."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
import tinycard
from labgrid import Target
from processes import qemus, until

from harness import boards
from harness.card.slot import CardImage
from harness.console.expect import ConsoleExpect
from harness.console.recorder import Recorder
from harness.errors import CheckFailed, LabError
from harness.virtual.board import VirtualPiDriver
from harness.virtual.pi import Pi

PROMPT = b"login: "


@pytest.fixture(scope="session")
def healthy_card(tmp_path_factory):
    return tinycard.make(tmp_path_factory.mktemp("card") / "healthy.img", tinycard.healthy())


@pytest.fixture
def board(tmp_path, healthy_card):
    """A board whose card the test may replace, and its console."""
    with Board(tmp_path, healthy_card) as board:
        yield board


class Board:
    def __init__(self, folder: Path, card: Path, *, model: str = "rpi-3-b", **driver: object) -> None:
        target = Target("tiny")
        self.slot = CardImage(target, name=None, file=str(card))
        self.driver = VirtualPiDriver(target, name=None, model=model, **driver)
        self.recorder = Recorder(self.driver, folder / "record")
        self.target = target

    def __enter__(self):
        self.target.activate(self.driver)
        self.recorder.start()
        self.console = ConsoleExpect(self.recorder, self.driver)
        self._lifted = self.console.expecting("restart")  # starting and restarting is what is tested here
        self._lifted.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._lifted.__exit__(None, None, None)
        self.recorder.stop()
        self.target.deactivate(self.driver)

    def insert(self, card: Path) -> None:
        self.driver.off()
        self.slot.file = str(card)

    def boot(self) -> None:
        self.driver.on()
        self.console.expect(PROMPT, timeout=30)

    def wait_for(self, state: str) -> None:
        until(lambda: self.driver.status()["state"] == state)


def test_the_firmware_tells_what_it_loaded_and_the_kernel_follows(board) -> None:
    board.boot()
    log = board.recorder.log.read_text()
    assert log.index("Loaded 'kernel8.img'") < log.index("Starting ARM") < log.index("Linux version 6.12.1-test")


def test_a_card_without_a_kernel_halts_and_says_why(board, tmp_path) -> None:
    board.insert(tinycard.make(tmp_path / "empty.img", None))
    board.driver.on()
    with pytest.raises(CheckFailed, match=r"Cannot start: kernel kernel8.img is missing") as caught:
        board.console.expect(b"never", timeout=30)
    assert caught.value.verdict == "DEPLOY"
    assert board.driver.status()["state"] == "halted"


def test_a_guest_reset_boots_what_lies_on_the_card_by_then(board, tmp_path) -> None:
    board.boot()
    board.console.send(b"r")
    board.console.expect(PROMPT, timeout=30)
    assert board.driver.status()["boots"] == 2
    assert board.recorder.log.read_text().count("Starting ARM") == 2


def test_a_board_that_powers_itself_off_still_has_power_and_stays_down(board) -> None:
    board.boot()
    board.console.send(b"p")
    board.wait_for("halted")
    assert board.driver.get() is True
    board.driver.off()
    assert board.driver.get() is False


def test_the_reset_line_restarts_a_hung_kernel(board, tmp_path) -> None:
    board.insert(tinycard.make(tmp_path / "hang.img", tinycard.healthy(then="hang")))
    board.boot()
    board.driver.reset()
    board.console.expect(PROMPT, timeout=30)


def test_a_power_cycle_boots_a_card_that_was_changed_meanwhile(board, tmp_path) -> None:
    board.boot()
    board.insert(tinycard.make(tmp_path / "new.img", tinycard.healthy("6.12.2-new")))
    board.driver.cycle()
    board.console.expect(rb"Linux version 6\.12\.2-new", timeout=30)


def test_the_card_itself_is_never_written_to(board, healthy_card) -> None:
    before = healthy_card.stat().st_mtime_ns
    board.boot()
    assert healthy_card.stat().st_mtime_ns == before


def test_qemu_that_refuses_its_arguments_is_a_lab_error_with_its_own_words(tmp_path, healthy_card) -> None:
    with (
        Board(tmp_path, healthy_card, qemu_args=["-nonsense"]) as board,
        pytest.raises(LabError, match="QEMU did not start: ended with status 1") as caught,
    ):
        board.driver.on()
    assert "nonsense" in "\n".join(caught.value.evidence)


def test_a_missing_card_is_a_lab_error_that_says_what_makes_one(tmp_path) -> None:
    with Board(tmp_path, tmp_path / "none.img") as board, pytest.raises(LabError, match="no card image") as caught:
        board.driver.on()
    assert "deploy" in caught.value.hint


def test_qemu_killed_from_outside_hangs_up_the_console_and_says_so(board) -> None:
    board.boot()
    os.kill(_qemu_of(board), signal.SIGKILL)
    with pytest.raises(LabError, match="serial line was hung up") as caught:
        board.console.expect(b"never", timeout=30)
    assert "status -9" in caught.value.evidence[0]


def test_a_board_whose_qemu_was_killed_boots_again_after_a_power_cycle(board) -> None:
    board.boot()
    os.kill(_qemu_of(board), signal.SIGKILL)
    with pytest.raises(LabError):
        board.console.expect(b"never", timeout=30)
    board.driver.cycle()
    board.recorder.revive()
    board.console.expect(PROMPT, timeout=30)


def test_nothing_is_left_when_the_driver_is_deactivated(tmp_path, healthy_card) -> None:
    with Board(tmp_path, healthy_card) as board:
        board.boot()
        folder, qemu = board.driver._folder, _qemu_of(board)
    until(lambda: not folder.exists() and not Path(f"/proc/{qemu}").exists())


def test_a_pi_4_boots_too(tmp_path) -> None:
    card = tinycard.make(tmp_path / "pi4.img", tinycard.healthy(soc="bcm2711"), soc="bcm2711")
    with Board(tmp_path, card, model="rpi-4-b") as board:
        board.boot()


def test_a_damaged_device_tree_is_told_on_the_console_and_is_no_fault_of_the_lab(board, tmp_path) -> None:
    card = tinycard.make(tmp_path / "dtb.img", tinycard.healthy())
    tinycard.put(card, tinycard.DTB["bcm2837"], tinycard.dtb()[:48] + b"\xff" * 200)
    board.insert(card)
    board.driver.on()
    with pytest.raises(CheckFailed, match="device tree file is damaged") as caught:
        board.console.expect(b"never", timeout=30)
    assert caught.value.verdict == "DEPLOY"
    assert board.driver.status()["state"] == "halted"


def test_power_cut_while_qemu_starts_leaves_no_qemu(tmp_path, healthy_card) -> None:
    async def cut_after(seconds: float) -> None:
        folder = tmp_path / f"{seconds}"
        folder.mkdir()
        pi = Pi(boards.load("rpi-3-b"), folder)
        server = await asyncio.start_unix_server(pi.serial.board, folder / "uart")
        pi.insert(healthy_card)
        switched = asyncio.create_task(pi.on())
        await asyncio.sleep(seconds)
        await pi.off()
        switched.cancel()
        await pi.close()
        server.close()
        assert not qemus(str(folder))

    for milliseconds in (1, 20, 40, 60, 80, 120):
        asyncio.run(cut_after(milliseconds / 1000))


def test_what_a_32_bit_kernel_needs_is_told_instead_of_silence(board, tmp_path) -> None:
    card = tinycard.make(tmp_path / "wide.img", None, config="enable_uart=1\n")
    tinycard.put(card, "kernel7.img", b"\0" * 36 + b"\x18\x28\x6f\x01")
    board.insert(card)
    board.driver.on()
    board.console.expect(b"64-bit kernels only", timeout=30)


def _qemu_of(board) -> int:
    return qemus(str(board.driver._folder))[0]
