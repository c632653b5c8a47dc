"""Who is at the other end of an SSH connection, and what is told when that cannot be had."""

import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from processes import until
from sshboard import STOCK, SshBoard, free_port, run
from sshlab import Lab

from harness.bootfs import tryboot
from harness.deploy import remote
from harness.errors import ConfigError, LabError

HOLDER = """
import sys
from labgrid import Target
from labgrid.resource import NetworkService
from harness.deploy.ssh import SshDeployDriver
port, user, root = sys.argv[1:]
target = Target("board")
NetworkService(target, name=None, address="127.0.0.1", port=int(port), username=user)
driver = SshDeployDriver(target, name=None, root=root)
target.activate(driver)
driver.connect(None)
print(driver._ssh._master.pid, driver._ssh._folder, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """A board that has never been met."""
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    with SshBoard(tmp_path / "board") as board:
        yield board


@pytest.fixture
def lab(stranger, make_lab) -> Lab:
    return make_lab(stranger)


def test_at_first_contact_both_ends_learn_over_the_console_who_the_other_is(lab, stranger) -> None:
    assert lab.connect() == STOCK
    first, second = lab.console.commands
    assert first.startswith("cat /etc/ssh/ssh_host_")
    assert "authorized_keys" in second
    assert "pi64" in (stranger.home / ".ssh/authorized_keys").read_text()


def test_the_console_is_not_asked_a_second_time(lab) -> None:
    lab.connect()
    lab.console.commands.clear()
    lab.connect()
    assert lab.console.commands == []


def test_a_key_that_is_there_already_is_not_added_again(lab, stranger) -> None:
    keys = stranger.home / ".ssh/authorized_keys"
    lab.connect()
    before = keys.read_text()
    (stranger.home / ".ssh").chmod(0o700)
    lab.driver.disconnect()
    trust = lab.driver._trust()
    trust.introduce(lab.console, stranger.user)
    assert keys.read_text() == before


@pytest.fixture
def other_key(tmp_path) -> str:
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")])
    return (tmp_path / "other.pub").read_text().strip()


def test_no_key_that_came_over_the_network_is_believed(lab, stranger, other_key) -> None:
    """What the console tells counts: here it tells of another board than the one that answers."""
    (stranger._etc / "ssh_host_ed25519_key.pub").write_text(f"{other_key}\n")
    with pytest.raises(LabError, match="another host key than the one that is known"):
        lab.connect()


def test_a_changed_host_key_names_both_fingerprints_and_the_file_with_the_old_one(lab, stranger, tmp_path) -> None:
    lab.connect()
    lab.driver.disconnect()
    stranger.__exit__()
    stranger.new_host_key()
    with stranger, pytest.raises(LabError, match="another host key than the one that is known") as caught:
        lab.connect()
    shown, known = caught.value.evidence
    assert re.match(r"it shows SHA256:\S{43}$", shown)
    assert re.match(r"known is SHA256:\S{43}", known)
    assert shown.split()[-1] != known.split()[2]
    assert str(tmp_path / "cache/ssh/board/known_hosts") in caught.value.hint


def test_a_host_key_that_lab_yaml_names_needs_no_console(stranger, tmp_path, make_lab) -> None:
    make_lab(stranger).connect()  # our own key is on the board from here on
    (tmp_path / "cache/ssh/board/known_hosts").unlink()
    named = (stranger._etc / "ssh_host_ed25519_key.pub").read_text().strip()
    lab = make_lab(stranger, host_key=named)
    assert lab.connect() == STOCK
    assert lab.console.commands == []


def test_a_board_with_another_key_than_lab_yaml_names_is_refused(stranger, make_lab, other_key) -> None:
    lab = make_lab(stranger, host_key=other_key)
    with pytest.raises(LabError, match="another host key"):
        lab.connect()


def test_a_host_key_that_is_none_is_a_mistake_in_lab_yaml(stranger, make_lab) -> None:
    with pytest.raises(ConfigError, match="`host_key` is not a public key"):
        make_lab(stranger, host_key="SHA256:abcdef").connect()


def test_a_board_without_host_keys_is_told_how_to_get_some(lab, stranger) -> None:
    for key in stranger._etc.glob("*.pub"):
        key.unlink()
    with pytest.raises(LabError, match="no host keys on the board") as caught:
        lab.connect()
    assert "ssh-keygen -A" in caught.value.hint


def test_an_sshd_that_never_accepts_our_key_is_told_with_its_own_words(lab, stranger) -> None:
    (stranger._etc / "sshd_config").open("a").write("PubkeyAuthentication no\n")
    stranger.restart()
    with pytest.raises(LabError, match="does not accept our key") as caught:
        lab.connect()
    assert "Permission denied" in caught.value.evidence[-1]


def test_nobody_listening_is_told_after_the_deadline_with_ssh_s_own_words(stranger, make_lab) -> None:
    port = free_port()
    lab = make_lab(stranger, port=port, connect_timeout=1)
    with pytest.raises(LabError, match=rf"no SSH connection to \w+@127.0.0.1:{port} within 1 s") as caught:
        lab.connect()
    assert "Connection refused" in caught.value.evidence[-1]
    assert "systemctl enable --now ssh" in caught.value.hint


def test_a_server_that_does_not_speak_is_given_up(stranger, make_lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        lab = make_lab(stranger, port=silent.getsockname()[1], connect_timeout=1)
        with pytest.raises(LabError, match="no SSH connection"):
            lab.connect()


def test_a_user_who_cannot_become_root_is_told_so(lab, stranger) -> None:
    lab.connect()
    stranger.program("sh", "echo 'sudo: a password is required' >&2; exit 1")
    with pytest.raises(LabError, match="no command can be run as root") as caught:
        lab.connect()
    assert "a password is required" in caught.value.evidence[-1]
    assert "sudo" in caught.value.hint


def test_only_root_does_without_sudo() -> None:
    assert remote.command("pi", "", "survey", "-")[:4] == ["sudo", "-n", "sh", "-c"]
    assert remote.command("root", "", "survey", "-")[:2] == ["sh", "-c"]


def test_a_board_without_a_boot_partition_is_told_where_one_was_looked_for(lab, stranger) -> None:
    (stranger.root / "proc/mounts").write_text("/dev/mmcblk0p2 / ext4 rw 0 0\n")
    with pytest.raises(LabError, match=r"no boot partition with a config\.txt is mounted on /boot/firmware"):
        lab.connect()


def test_a_boot_partition_elsewhere_can_be_named(stranger, make_lab) -> None:
    (stranger.root / "proc/mounts").write_text("")
    lab = make_lab(stranger, boot="/boot")
    lab.connect()
    assert "arm_64bit=1" in lab.driver.stock()["config.txt"].decode()


@pytest.mark.parametrize("folder", ["boot", "/boot/", "/the boot"])
def test_a_folder_that_is_no_absolute_path_is_refused(stranger, make_lab, folder) -> None:
    with pytest.raises(ValueError, match="absolute path without blanks"):
        make_lab(stranger, boot=folder)


def test_whether_a_kernel_can_be_tried_for_one_boot_is_asked_of_the_board(lab, stranger) -> None:
    lab.connect()
    assert lab.driver.tryboot == tryboot.Answer(True, f"firmware of 2023-08-15, kernel {STOCK}")
    (stranger.root / "dev/vcio").unlink()
    lab.connect()
    assert lab.driver.tryboot.reason.startswith(f"kernel {STOCK} has no /dev/vcio")


def test_no_ssh_is_left_behind(lab) -> None:
    lab.connect()
    master, folder = lab.driver._ssh._master, lab.driver._ssh._folder
    lab.close()
    assert master.poll() is not None
    assert not folder.exists()


def test_without_a_connection_nothing_is_asked_of_a_board(lab) -> None:
    with pytest.raises(LabError, match="not connected over SSH"):
        lab.driver.stock()


def test_a_lab_that_is_killed_leaves_no_ssh_behind(lab, stranger) -> None:
    lab.connect()  # from here on both know one another
    lab.close()
    other = subprocess.Popen([sys.executable, "-c", HOLDER, str(stranger.port), stranger.user, str(stranger.root)],
                             cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    assert other.stdout is not None
    with other.stdout:
        master, folder = other.stdout.readline().decode().split()
    other.kill()
    other.wait()
    until(lambda: not Path(f"/proc/{master}").exists())
    shutil.rmtree(folder)  # an empty folder is all that nobody was left to remove
