"""A detached board: it outlives its driver, ends with its power, and comes back at once."""

import os

import pytest
import tinycard
from labgrid import Target
from processes import qemus, until

from harness.card.slot import CardImage
from harness.virtual.board import VirtualPiDriver


@pytest.fixture
def board(tmp_path, monkeypatch):
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    driver = _driver(tinycard.make(tmp_path / "card.img", tinycard.healthy()))
    yield driver
    driver.off()
    driver.target.deactivate(driver)


def _driver(card) -> VirtualPiDriver:
    target = Target("detached")
    CardImage(target, name=None, file=str(card))
    driver = VirtualPiDriver(target, name=None, model="rpi-3-b", detached=True)
    target.activate(driver)
    return driver


def test_it_can_be_switched_on_again_at_once(board, tmp_path) -> None:
    """The process of before has a folder of the same name to remove."""
    for _ in range(4):
        board.on()
        board.off()
    board.on()
    assert board.status()["state"] == "running"


def test_off_returns_when_process_folder_and_qemu_are_gone(board, tmp_path) -> None:
    board.on()
    folder = board._folder
    assert folder.exists()
    board.off()
    assert not folder.exists()
    assert qemus(str(folder)) == []


def test_somebody_else_switches_off_what_was_left_running(board, tmp_path) -> None:
    board.on()
    folder = board._folder
    board.target.deactivate(board)
    other = _driver(board.slot.path)
    assert other.get()
    other.off()
    assert not folder.exists()
    other.target.deactivate(other)
    board.target.activate(board)
    assert not board.get()


def test_one_that_was_killed_leaves_nothing_in_the_way_of_the_next(board, tmp_path) -> None:
    board.on()
    folder = board._folder
    os.kill(board._process.child.pid, 9)
    board._process.child.wait()
    until(lambda: qemus(str(folder)) == [])
    board.target.deactivate(board)
    board.target.activate(board)
    assert not board.get()
    board.on()
    assert board.status()["state"] == "running"
