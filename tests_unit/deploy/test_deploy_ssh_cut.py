"""A deploy over SSH that does not come to its end: the board boots the old system, and the next deploy is whole."""

import pytest
from sshboard import STOCK, SshBoard, cutter
from sshlab import Lab

from harness.errors import LabError

NEW = "6.12.1-new"
POINTS = 14  # in a deploy at which the cable is pulled, at even distances


@pytest.fixture(scope="module")
def whole_bytes(tmp_path_factory, acquainted) -> int:
    """How many bytes go to the board in all: what one deploy takes from the first byte to the last."""
    folder = tmp_path_factory.mktemp("whole")
    board = SshBoard(folder / "board")
    acquainted.meet(board, folder / "cache", "board")
    with pytest.MonkeyPatch.context() as patch, board, cutter(board.port, 10**9) as (port, sent):
        patch.setenv("PI64_CACHE", str(folder / "cache"))
        lab = Lab(board, folder, port=port)
        lab.deploy(NEW)
        total = sent()
        lab.close()
    return total


def whole_or_absent(ssh_board) -> None:
    """What tryboot would start is the new kernel as it was sent, or there is no tryboot.txt."""
    if (ssh_board.boot / "tryboot.txt").exists():
        assert ssh_board._boot(tryboot=True) == NEW
        assert (ssh_board.boot / "pi64/pi64.sums").exists()
        ssh_board.power_cycle()


@pytest.mark.parametrize("point", range(POINTS))
def test_a_cable_pulled_at_any_moment_leaves_the_old_system_and_the_next_deploy_is_whole(
    ssh_board, ssh_lab, tmp_path, whole_bytes, point
) -> None:
    with cutter(ssh_board.port, whole_bytes * point // POINTS) as (port, _):
        cut = Lab(ssh_board, tmp_path, port=port, connect_timeout=1)
        with pytest.raises(LabError):
            cut.deploy(NEW)
        cut.close()
    assert ssh_board.power_cycle() == STOCK
    whole_or_absent(ssh_board)
    ssh_lab.deploy(NEW)
    assert ssh_lab.try_it() == NEW
    assert ssh_board.power_cycle() == STOCK
    assert ssh_lab.deploy(NEW) == ()


def test_too_little_room_is_told_with_numbers_before_anything_is_sent(ssh_board, ssh_lab) -> None:
    ssh_board.program("df", "printf 'Filesystem K U A C M\\n/dev/p1 9 9 1030 9 /boot\\n/dev/p2 9 9 90000 9 /\\n'")
    with pytest.raises(LabError, match=r"/boot: 1\.0 MiB free on the board, this kernel needs 1\.0 MiB") as caught:
        ssh_lab.deploy(NEW)
    assert "remove what is not needed" in caught.value.hint
    assert not (ssh_board.boot / "pi64/kernel8.img").exists()


def test_a_card_that_runs_full_all_the_same_is_told_in_its_own_words(ssh_board, ssh_lab) -> None:
    ssh_board.program(
        "tar", "cat >/dev/null; echo 'tar: kernel8.img: Cannot write: No space left on device' >&2; exit 2"
    )
    with pytest.raises(LabError, match="its card is full") as caught:
        ssh_lab.deploy(NEW)
    assert "No space left" in caught.value.evidence[-1]
    assert not (ssh_board.boot / "tryboot.txt").exists()


def test_a_card_that_does_not_keep_what_is_written_is_found_out(ssh_board, ssh_lab) -> None:
    ssh_board.program("tar", f'/bin/tar "$@" && printf x >>{ssh_board.boot}/pi64/kernel8.img')
    with pytest.raises(LabError, match="reads back otherwise") as caught:
        ssh_lab.deploy(NEW)
    assert any("kernel8.img" in line for line in caught.value.evidence)
    assert not (ssh_board.boot / "tryboot.txt").exists()
    assert ssh_board.power_cycle() == STOCK


def test_the_cache_of_the_board_is_dropped_before_it_reads_back(ssh_board, ssh_lab) -> None:
    caches = ssh_board.root / "proc/sys/vm/drop_caches"
    caches.parent.mkdir(parents=True)
    caches.write_text("")
    ssh_lab.deploy(NEW)
    assert caches.read_text() == "3\n"
