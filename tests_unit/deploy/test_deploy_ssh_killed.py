"""A deploy over SSH of which one end, or both, is killed: one whole system boots, and the next deploy is whole."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import below
from sshboard import STOCK, Acquainted, SshBoard
from sshlab import Lab

NEW = "6.12.1-new"
POINTS = 60  # of time, at even distances, and some beyond the end
FORK = multiprocessing.get_context("fork")


def deploy(board: SshBoard, folder: Path) -> None:
    os.setsid()
    lab = Lab(board, folder)
    lab.deploy(NEW)
    lab.try_it()


def killed_after(board: SshBoard, folder: Path, seconds: float | None, *, power: bool) -> float:
    """Deploy in a process of its own, and kill it and all of its programs; *power*: those of the board, too."""
    started = time.monotonic()
    child = FORK.Process(target=deploy, args=(board, folder))
    child.start()
    assert child.pid
    child.join(seconds)
    if child.is_alive():
        for pid in (child.pid, *below(child.pid), *(below(board.pid) if power else ())):
            with_kill(pid)
    child.join()
    return time.monotonic() - started


def with_kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


@pytest.fixture
def fresh(tmp_path: Path, acquainted: Acquainted, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], SshBoard]:
    def make(name: str) -> SshBoard:
        folder = tmp_path / name
        monkeypatch.setenv("PI64_CACHE", str(folder / "cache"))
        board = SshBoard(folder / "board")
        acquainted.meet(board, folder / "cache", "board")
        return board

    return make


@pytest.mark.slow
@pytest.mark.parametrize("power", [False, True], ids=["lab", "lab-and-board"])
def test_a_deploy_killed_at_sixty_points_of_time_leaves_one_whole_system(fresh, tmp_path, power) -> None:
    with fresh("whole") as board:
        whole_s = killed_after(board, tmp_path / "whole", None, power=power)
        assert board.reboot() == NEW
    tried = []
    for point in range(POINTS):
        with fresh(str(point)) as board:
            killed_after(board, tmp_path / str(point), whole_s * (point + 0.5) / (POINTS - 5), power=power)
            assert board.power_cycle() == STOCK
            tried.append(whole_or_absent(board))
            lab = Lab(board, tmp_path / str(point))
            lab.deploy(NEW)
            assert lab.try_it() == NEW
            lab.close()
    assert set(tried) == {True, False}


def whole_or_absent(board: SshBoard) -> bool:
    """What tryboot would start is the new kernel with its list, or there is no tryboot.txt."""
    if not (board.boot / "tryboot.txt").exists():
        return False
    assert board._boot(tryboot=True) == NEW
    assert (board.boot / "pi64/pi64.sums").exists()
    board.power_cycle()
    return True
