"""Deploys into a running system, over a real sshd on the loopback interface: what is written, and what boots then."""

import hashlib
from pathlib import Path

import pytest
import sshboard
from sshboard import STOCK, SshBoard, boot_files
from sshlab import Lab

from harness.errors import DeployError, LabError

NEW, NEWER = "6.12.1-new", "6.12.2-newer"


@pytest.fixture
def board(ssh_board) -> SshBoard:
    return ssh_board


@pytest.fixture
def lab(ssh_lab) -> Lab:
    return ssh_lab


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- the way of a kernel ---------------------------------------------------------------------------------------------
def test_a_deploy_leaves_everything_that_boots_as_it_was(lab, board) -> None:
    before = snapshot(board.boot) | snapshot(board.root / "lib")
    lab.deploy(NEW)
    assert before.items() <= (snapshot(board.boot) | snapshot(board.root / "lib")).items()
    assert board.power_cycle() == STOCK


def test_a_kernel_is_tried_for_one_boot_and_a_power_cycle_brings_the_old_one_back(lab, board) -> None:
    lab.deploy(NEW)
    assert lab.try_it() == NEW
    assert board.power_cycle() == STOCK


def test_a_kernel_that_was_committed_is_what_every_start_boots(lab, board) -> None:
    lab.deploy(NEW)
    lab.try_it()
    assert not lab.driver.committed
    lab.keep()
    assert lab.driver.committed
    assert board.power_cycle() == NEW


def test_the_flag_goes_to_the_firmware_by_the_mailbox_as_well(lab, board) -> None:
    """A kernel of before October 2020 does not pass the reboot argument on."""
    lab.deploy(NEW)
    lab.try_it()
    assert (board.root / "vcmailbox").read_text() == "0x00038064 4 0 1\n"


def test_what_lies_there_then_is_what_was_composed(lab, board, tmp_path) -> None:
    lab.connect()
    files = boot_files(tmp_path, NEW, dict(lab.driver.stock()))
    manifest = lab.driver.deploy(files)
    found = snapshot(board.boot) | {f"lib/{name}": data for name, data in snapshot(board.root / "lib").items()}
    for name, digest in (manifest.boot | manifest.modules).items():
        assert hashlib.sha256(found[name]).hexdigest() == digest, name
    assert manifest.boot.keys() == {"pi64/kernel8.img", f"pi64/{sshboard.DTB}", "pi64/cmdline.txt", "tryboot.txt",
                                    "pi64/bcm2837-rpi-3-b.dtb"}  # fmt: skip


def test_the_slot_that_runs_is_never_written_to(lab, board) -> None:
    lab.deploy(NEW)
    lab.try_it()
    lab.keep()
    before = snapshot(board.boot / "pi64")
    lab.deploy(NEWER)
    assert snapshot(board.boot / "pi64") == before
    assert lab.try_it() == NEWER
    assert board.power_cycle() == NEW


def test_modules_that_no_kernel_of_the_board_needs_any_more_go(lab, board) -> None:
    for release in (NEW, NEWER, "6.12.3-newest"):
        lab.deploy(release)
        lab.try_it()
        lab.keep()
        board.power_cycle()
    assert {path.name for path in (board.root / "lib/modules").iterdir()} == {STOCK, NEWER, "6.12.3-newest"}


def test_a_system_of_2019_and_one_of_today_have_their_boot_partition_in_different_places(tmp_path, monkeypatch) -> None:
    for boot in ("/boot", "/boot/firmware"):
        folder = tmp_path / boot[1:].replace("/", "-")
        monkeypatch.setenv("PI64_CACHE", str(folder / "cache"))
        with SshBoard(folder, boot=boot) as board:
            (board.root / "boot" / "moved.txt").write_text("see /boot/firmware")
            lab = Lab(board, folder)
            lab.deploy(NEW)
            assert (board.boot / "pi64/kernel8.img").exists()
            assert lab.try_it() == NEW
            lab.close()


# --- only what changed -----------------------------------------------------------------------------------------------
def test_the_same_kernel_again_writes_nothing(lab) -> None:
    assert lab.deploy(NEW)
    assert lab.deploy(NEW) == ()


def test_a_committed_kernel_that_comes_again_is_known_and_need_not_be_tried(lab, board) -> None:
    lab.deploy(NEW)
    lab.try_it()
    lab.keep()
    board.power_cycle()
    assert lab.deploy(NEW) == ()
    assert lab.driver.committed


def test_of_a_kernel_that_changed_only_what_changed_is_written(lab, tmp_path) -> None:
    lab.deploy(NEW)
    lab.connect()
    files = boot_files(tmp_path, NEW, dict(lab.driver.stock()))
    (files.modules_root / "lib/modules" / NEW / "kernel/m1.ko").write_bytes(b"another")
    assert lab.driver.deploy(files).written == (f"lib/modules/{NEW}/kernel/m1.ko", "tryboot.txt")


def test_a_line_for_config_txt_alone_is_tried_without_copying_the_kernel(lab, board) -> None:
    lab.deploy(NEW)
    lab.try_it()
    lab.keep()
    assert lab.deploy(NEW, config_extra=["gpu_mem=16"]) == ("tryboot.txt",)
    assert not lab.driver.committed
    lab.try_it()
    lab.keep()
    assert "gpu_mem=16" in (board.boot / "config.txt").read_text()


def test_a_file_that_somebody_changed_on_the_board_is_written_again(lab, board) -> None:
    lab.deploy(NEW)
    (board.root / "lib/modules" / NEW / "kernel/m2.ko").write_bytes(b"spoilt")
    (board.boot / "pi64/stray.txt").write_bytes(b"whose?")
    assert lab.sent(NEW) == (f"lib/modules/{NEW}/kernel/m2.ko",)
    assert not (board.boot / "pi64/stray.txt").exists()


def test_a_touched_file_is_read_and_not_sent_again(lab, board) -> None:
    lab.deploy(NEW)
    (board.boot / "pi64/kernel8.img").touch()
    assert lab.sent(NEW) == ()
    assert lab.deploy(NEW) == ()


def test_a_link_among_the_modules_is_a_link_there(lab, board, tmp_path) -> None:
    lab.connect()
    files = boot_files(tmp_path, NEW, dict(lab.driver.stock()))
    (files.modules_root / "lib/modules" / NEW / "build").symlink_to("/usr/src/linux")
    lab.driver.deploy(files)
    assert (board.root / "lib/modules" / NEW / "build").readlink() == Path("/usr/src/linux")
    assert lab.driver.deploy(files).written == ()


def test_the_list_on_the_board_can_be_checked_by_hand(lab, board) -> None:
    lab.deploy(NEW)
    listed = (board.boot / "pi64/pi64.sums").read_text().splitlines()
    sums = dict(reversed(line.split("  ")) for line in listed if not line.startswith("#"))
    assert {name: hashlib.sha256((board.root / name).read_bytes()).hexdigest() for name in sums} == sums
    assert f"lib/modules/{NEW}/kernel/m0.ko" in sums


# --- what must not be replaced ---------------------------------------------------------------------------------------
def test_modules_of_the_running_release_are_not_replaced_by_others(lab, board) -> None:
    before = snapshot(board.root)
    with pytest.raises(DeployError, match="4 files would replace others that the board needs") as caught:
        lab.deploy(STOCK)
    assert "LOCALVERSION" in caught.value.hint
    assert before.items() <= snapshot(board.root).items()


def test_the_very_modules_that_the_running_system_has_may_come_again(lab, board, tmp_path) -> None:
    sshboard.kernel(tmp_path / STOCK, STOCK)
    tree = board.root / "lib/modules" / STOCK
    for name, data in snapshot(tmp_path / STOCK / "lib/modules" / STOCK).items():
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_bytes(data)
    assert not any(name.startswith("lib/") for name in lab.deploy(STOCK))
    lab.try_it()
    lab.keep()


def test_modules_that_came_with_the_system_are_not_ours_to_change(lab, board) -> None:
    theirs = board.root / "lib/modules" / NEW / "kernel/m0.ko"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"theirs")
    with pytest.raises(DeployError, match="would replace others"):
        lab.deploy(NEW)
    assert theirs.read_bytes() == b"theirs"


def test_the_guides_layout_would_write_over_the_running_system(lab) -> None:
    with pytest.raises(DeployError, match="layout in-place would write over the system that runs"):
        lab.deploy(NEW, layout="in-place")


# --- another kernel answers ------------------------------------------------------------------------------------------
def test_a_firmware_that_did_not_take_the_slot_is_found_out_before_anything_is_committed(lab, board) -> None:
    lab.deploy(NEW)
    (board.boot / "pi64/kernel8.img").unlink()
    assert lab.try_it() == STOCK
    with pytest.raises(DeployError, match=rf"another kernel answers than the one deployed: {STOCK}") as caught:
        lab.keep()
    assert "tryboot was not taken" in caught.value.evidence[0]
    assert "os_prefix" not in (board.boot / "config.txt").read_text()


def test_the_same_release_from_elsewhere_is_not_taken_for_the_one_deployed(lab, board) -> None:
    lab.deploy(NEW)
    (board.boot / "kernel8.img").write_bytes(sshboard.kernel_image(NEW))
    board.power_cycle()
    with pytest.raises(DeployError, match=f"{NEW} answers, but not from pi64"):
        lab.keep()


def test_a_kernel_without_network_is_committed_over_the_console(lab, board) -> None:
    lab.deploy(NEW)
    lab.try_it()
    board.__exit__()
    lab.driver.connect_timeout = 1
    lab.keep()
    assert board.power_cycle() == NEW


# --- without tryboot -------------------------------------------------------------------------------------------------
@pytest.fixture
def old(board) -> SshBoard:
    (board.root / "vcgencmd.version").write_text("Jul  9 2019 14:40:53\nversion 6c3fe3f0 (clean) (release)\n")
    return board


def test_without_tryboot_and_a_way_back_nothing_is_tried(lab, old) -> None:
    with pytest.raises(LabError, match="the firmware of 2019-07-09 knows no tryboot") as caught:
        lab.deploy(NEW)
    assert "accept_hang" in caught.value.hint
    assert not (old.boot / "pi64").exists()


def test_who_accepts_the_risk_has_config_txt_switched_and_the_old_one_kept_beside(old, make_lab) -> None:
    lab = make_lab(old, accept_hang=True)
    stock = (old.boot / "config.txt").read_bytes()
    lab.deploy(NEW)
    assert old.power_cycle() == STOCK
    assert lab.try_it() == NEW
    assert (old.boot / "config.txt.pi64-before").read_bytes() == stock
    lab.keep()
    assert not (old.boot / "config.txt.pi64-before").exists()
    assert old.power_cycle() == NEW


def test_a_switched_config_txt_is_put_back_when_another_kernel_answers(old, make_lab) -> None:
    lab = make_lab(old, accept_hang=True)
    stock = (old.boot / "config.txt").read_bytes()
    lab.deploy(NEW)
    (old.boot / "pi64/kernel8.img").unlink()
    lab.try_it()
    with pytest.raises(DeployError, match="another kernel answers"):
        lab.keep()
    assert (old.boot / "config.txt").read_bytes() == stock


def test_a_committed_mainline_kernel_makes_way_for_the_stock_system_that_can_try_the_next(lab, board, tmp_path) -> None:
    lab.deploy(NEW)
    lab.try_it()
    lab.keep()
    board.power_cycle()
    (board.root / "dev/vcio").unlink()  # NEW is a mainline kernel
    lab.connect()
    same, other = (boot_files(tmp_path, release, dict(lab.driver.stock())) for release in (NEW, NEWER))
    assert not lab.driver.step_back(same)
    assert lab.driver.step_back(other)
    assert board.power_cycle() == STOCK


# --- the way back ----------------------------------------------------------------------------------------------------
def test_restore_leaves_the_system_as_it_was_before_the_first_deploy(lab, board) -> None:
    before = snapshot(board.root)
    for release in (NEW, NEWER):
        lab.deploy(release)
        lab.try_it()
        lab.keep()
        board.power_cycle()
    lab.connect()
    assert not lab.driver.clean
    lab.driver.restore()
    board.power_cycle()
    lab.connect()
    assert lab.driver.clean
    lab.driver.restore()
    own = {"rebooted", "vcmailbox", "run/pi64.lock"}
    after = {name: data for name, data in snapshot(board.root).items() if name not in own}
    assert after == {**before, "proc/cmdline": after["proc/cmdline"]}
