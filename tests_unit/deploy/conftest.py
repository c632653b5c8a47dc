"""A board that answers over SSH, which knows this lab, and the lab's side of it."""

from collections.abc import Callable, Iterator

import pytest
from sshboard import Acquainted, SshBoard
from sshlab import Lab


@pytest.fixture(scope="session")
def acquainted(tmp_path_factory: pytest.TempPathFactory) -> Acquainted:
    """Keys of both ends, made once: first contact is what its own tests are about."""
    return Acquainted(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def ssh_board(tmp_path, monkeypatch, acquainted) -> Iterator[SshBoard]:
    """A board with a stock system of its own."""
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    board = SshBoard(tmp_path / "board")
    acquainted.meet(board, tmp_path / "cache", "board")
    with board:
        yield board


@pytest.fixture
def make_lab(tmp_path) -> Iterator[Callable[..., Lab]]:
    """Makes targets that lead to a board, and lets go of each in the end."""
    made: list[Lab] = []

    def make(board: SshBoard, **more: object) -> Lab:
        made.append(Lab(board, tmp_path, **more))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for lab in made:
        lab.close()


@pytest.fixture
def ssh_lab(ssh_board, make_lab) -> Lab:
    """A target that leads to it."""
    lab: Lab = make_lab(ssh_board)
    return lab
