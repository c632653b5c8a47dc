"""The base image: its parts as values, and the whole put together from a tiny root filesystem."""

import io
import tarfile
from pathlib import Path

import pytest

from harness import host
from harness.card import layout
from harness.card.ext4 import Ext4Partition
from harness.card.fat import FatPartition
from harness.errors import LabError
from harness.image import base, binfmt, mirror, overlay, rootfs, tuning

DEBIAN = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/bash\n",
    "etc/shadow": "root:*:19700:0:99999:7:::\n",
    "etc/group": "root:x:0:\nsudo:x:27:\ndialout:x:20:admin\nkmem:x:15:\n",
    "etc/skel/.profile": "# profile\n",
    "usr/bin/dash": "ELF",
    "dev/null": "",
    **dict.fromkeys(tuning.LEFT_OUT, "left"),
}

TARGETS = """\
Debian Backports|bookworm-backports|http://a.example/debian
Debian|bookworm-security|http://security.example/debian-security
Other|nodistro|https://deb.example
Debian|bookworm|http://mirror.example/debian
"""


@pytest.fixture
def tar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What mmdebstrap would have made, in a cache of the test's own."""
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    path = host.cache_dir("images") / "rootfs.tar"
    with tarfile.open(path, "w") as archive:
        for name, text in DEBIAN.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size, member.mode = len(text), 0o4755 if name == "usr/bin/dash" else 0o644
            archive.addfile(member, io.BytesIO(text.encode()))
    monkeypatch.setattr(rootfs, "rootfs_tar", lambda suite, progress: path)
    return path


def test_the_image_has_the_user_the_names_and_the_stock_boot_files(tar: Path) -> None:
    image = base.base_image(username="eva", password="secret", hostname="pi-7")
    root, boot = Ext4Partition(image.path, image.root_offset), FatPartition(image.path, image.boot_offset)
    assert root.read("/etc/hostname") == b"pi-7\n"
    assert root.read("/etc/passwd").endswith(b"eva:x:1000:1000:,,,:/home/eva:/bin/bash\n")
    node = root.nodes("/home")["eva"]
    assert (node.uid, node.gid, node.mode) == (1000, 1000, 0o40755)
    assert (root.nodes("/usr/bin")["dash"].mode, root.nodes("/usr/bin")["dash"].uid) == (0o104755, 0)
    assert root.nodes("/etc/sudoers.d")["010_eva-nopasswd"].mode == 0o100440
    with layout.reading(image.path) as read:
        disk_id = read(440, 4)[::-1].hex()
    assert f"root=PARTUUID={disk_id}-02 ".encode() in boot.read("cmdline.txt")
    assert b"placeholder" in boot.read("start4.elf")
    assert not any(path.name.startswith("kernel") for path in boot.sizes())


def test_the_image_is_a_whole_card_of_a_power_of_two_and_clean(tar: Path) -> None:
    image = base.base_image(password="secret")
    found = layout.find(image.path)
    assert image.path.stat().st_size == 1 << 30
    assert found.root.end_bytes == 1 << 30
    assert found.boot.type == "0c"
    host.run(["e2fsck", "-fn", f"{image.path}?offset={image.root_offset}"])
    assert not Ext4Partition(image.path, image.root_offset).repair()


def test_files_that_cost_boot_time_are_left_out(tar: Path) -> None:
    image = base.base_image(password="secret")
    root = Ext4Partition(image.path, image.root_offset)
    assert not [path for path in tuning.LEFT_OUT if root.exists(f"/{path}")]


def test_equal_arguments_give_the_same_image_at_once_and_others_another(tar: Path) -> None:
    first = base.base_image(password="secret")
    stamp = first.path.stat().st_mtime_ns
    assert base.base_image(password="secret") == first
    assert first.path.stat().st_mtime_ns == stamp
    assert base.base_image(password="other").path != first.path


def test_a_failed_make_leaves_no_image(tar: Path) -> None:
    tar.write_bytes(b"no tar")
    with pytest.raises((LabError, tarfile.ReadError)):
        base.base_image(password="secret")
    assert sorted(path.suffix for path in tar.parent.iterdir()) == [".lock", ".tar"]


def test_too_little_space_is_told_before_the_work(tar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "SPACE", 1 << 60)
    with pytest.raises(LabError, match="a base image needs"):
        base.base_image(password="secret")


def test_the_password_is_never_in_clear_in_the_image(tar: Path) -> None:
    image = base.base_image(password="correct horse")
    shadow = Ext4Partition(image.path, image.root_offset).read("/etc/shadow").decode()
    salt = shadow.split("$")[2]
    expected = host.run(["openssl", "passwd", "-6", "-salt", salt, "-stdin"], stdin=b"correct horse").decode().strip()
    assert f"pi:{expected}:" in shadow


def test_the_user_joins_the_groups_that_are_there() -> None:
    assert overlay.join_groups("sudo:x:27:\ndialout:x:20:admin\nkmem:x:15:\n", "eva") == (
        "sudo:x:27:eva\ndialout:x:20:admin,eva\nkmem:x:15:\n"
    )


@pytest.mark.parametrize(
    "unit", ["systemd-udevd", "systemd-journald", "serial-getty@", "ssh.socket", "boot.mount", "ssh.service"]
)
def test_what_a_raspberry_pi_os_is_made_of_is_never_masked(unit: str) -> None:
    assert not any(masked.startswith(unit) for masked in tuning.MASKED)


def test_the_mirror_is_the_hosts_own_debian_not_its_security_or_another_repository() -> None:
    assert mirror.from_index_targets(TARGETS) == "http://mirror.example/debian"
    assert mirror.from_index_targets("Ubuntu|noble|http://a.example/ubuntu\n") is None


def test_the_environment_names_another_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PI64_MIRROR", "http://here.example/debian")
    assert mirror.mirror() == "http://here.example/debian"


QEMU_ARM = """\
enabled
interpreter /usr/libexec/qemu-binfmt/arm-binfmt-P
flags: PF
offset 0
magic 7f454c4601010100000000000000000002002800
mask ffffffffffffff00fffffffffffffffffeffffff
"""


@pytest.mark.parametrize(
    ("entry", "answer"),
    [(QEMU_ARM, True), (QEMU_ARM.replace("enabled", "disabled"), False), (QEMU_ARM.replace("002800", "00b700"), False)],
)
def test_only_an_enabled_entry_for_32_bit_arm_counts(tmp_path: Path, entry: str, answer: bool) -> None:
    (tmp_path / "register").touch()
    (tmp_path / "some-name").write_text(entry)
    assert binfmt.active(tmp_path) is answer


def test_a_host_without_the_registry_cannot_run_arm_programs(tmp_path: Path) -> None:
    assert not binfmt.active(tmp_path / "not-mounted")


def test_mmdebstrap_that_fails_is_quoted_and_leaves_no_tar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "mmdebstrap"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\necho 'I: running apt-get update...' >&2; echo 'E: apt-get update failed' >&2; exit 2\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PI64_MIRROR", "http://here.example/debian")
    monkeypatch.setattr(binfmt, "need_arm", lambda: None)
    monkeypatch.setattr(rootfs, "KEYRING", program)
    said: list[str] = []
    with pytest.raises(LabError, match="mmdebstrap of bookworm armhf returned 2") as caught:
        rootfs.rootfs_tar("bookworm", said.append)
    assert "E: apt-get update failed" in caught.value.evidence
    assert said[0] == "bookworm armhf: running apt-get update..."
    assert [path.suffix for path in (tmp_path / "cache/images").iterdir()] == [".lock"]
