"""A Raspberry Pi OS that comes to its login alone: what each needs, and nothing but that."""

import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
import raspios
from smallcard import BOOT_OFFSET, ROOT_OFFSET, tool

from harness.card import prepare
from harness.card.ext4 import Ext4Partition
from harness.card.fat import FatPartition
from harness.card.prepare import account
from harness.image.choose import choose
from harness.image.prepare import prepared
from harness.image.user import user_image
from harness.model import BaseImage

P = PurePosixPath
WANTS = raspios.WANTS


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One for all: a copy is made once, whoever asks for it."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("PI64_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("raspios")
    return {kind: raspios.make(folder / f"{kind}.img", kind) for kind in raspios.KINDS}


def ready(path: Path, user: str = "pi") -> BaseImage:
    image = user_image(path)
    return prepared(image, account(user, "raspberry", salt=image.digest))


def root(image: BaseImage) -> Ext4Partition:
    return Ext4Partition(image.path, ROOT_OFFSET)


def texts(image: BaseImage, *names: str) -> list[str]:
    return [root(image).read(f"/etc/{name}").decode() for name in names]


def boot(image: BaseImage, name: str) -> str:
    return FatPartition(image.path, BOOT_OFFSET).read(name).decode()


def logs_in(image: BaseImage, user: str, password: str) -> bool:
    """Whether the image's shadow file takes *password*, as openssl computes such hashes."""
    (line,) = [line for line in texts(image, "shadow")[0].splitlines() if line.startswith(f"{user}:")]
    _, kind, salt, _ = line.split(":")[1].split("$")
    done = subprocess.run(
        ["openssl", "passwd", f"-{kind}", "-salt", salt, "-stdin"],
        input=password.encode(),
        capture_output=True,
        check=True,
    )
    return line.split(":")[1] == done.stdout.decode().strip()


@pytest.mark.parametrize("kind", ["bookworm", "bookworm-desktop", "trixie"])
def test_a_current_system_gets_user_password_ssh_and_no_dialog(images: dict[str, Path], kind: str) -> None:
    image = ready(images[kind])
    assert logs_in(image, "pi", "raspberry")
    assert "pi:x:1000:1000:" in texts(image, "passwd")[0]
    wants = root(image).nodes(WANTS)
    assert "ssh.service" in wants
    assert not {"userconfig.service", "regenerate_ssh_host_keys.service"} & set(wants)
    assert not root(image).exists("/etc/ssh/sshd_config.d/rename_user.conf")
    assert root(image).exists("/etc/systemd/system/getty.target.wants/getty@tty1.service")
    tool(["e2fsck", "-fn", f"{image.path}?offset={ROOT_OFFSET}"])


@pytest.mark.parametrize("kind", ["buster", "bookworm", "trixie"])
def test_the_serial_console_speaks_and_no_first_init_runs(images: dict[str, Path], kind: str) -> None:
    image = ready(images[kind])
    assert boot(image, "cmdline.txt") == f"{raspios.CMDLINE}{' resize' * (kind == 'trixie')}\n"
    assert boot(image, "config.txt").endswith("\n[all]\nenable_uart=1\n")


def test_host_keys_are_made_and_only_root_may_read_them(images: dict[str, Path], tmp_path: Path) -> None:
    """Else the first boot makes them, and whoever checks them knows none yet."""
    image = ready(images["bookworm"])
    nodes = root(image).nodes("/etc/ssh")
    keys = [name for name in nodes if name.startswith("ssh_host_")]
    assert len(keys) == 6
    assert {oct(nodes[name].mode) for name in keys if not name.endswith(".pub")} == {"0o100600"}
    key = tmp_path / "key"
    key.write_bytes(root(image).read("/etc/ssh/ssh_host_ed25519_key"))
    key.chmod(0o600)
    public = subprocess.run(["ssh-keygen", "-y", "-f", key], capture_output=True, text=True, check=True).stdout
    assert public.split()[:2] == texts(image, "ssh/ssh_host_ed25519_key.pub")[0].split()[:2]


def test_shadow_stays_a_secret(images: dict[str, Path]) -> None:
    node = root(ready(images["bookworm"])).nodes("/etc")["shadow"]
    assert (oct(node.mode), node.uid, node.gid) == ("0o100640", 0, 42)


def test_another_user_gets_an_account_of_his_own(images: dict[str, Path]) -> None:
    image = ready(images["bookworm"], "lab")
    passwd, group, sudoers = texts(image, "passwd", "group", "sudoers.d/010_lab-nopasswd")
    assert passwd.endswith("pi:x:1000:1000:,,,:/home/pi:/bin/bash\nlab:x:1001:1001:,,,:/home/lab:/bin/bash\n")
    assert "sudo:x:27:pi,lab\n" in group
    assert "staff:x:50:\n" in group
    assert group.endswith("lab:x:1001:\n")
    assert sudoers == "lab ALL=(ALL) NOPASSWD: ALL\n"
    home = root(image).nodes("/home")["lab"]
    assert (home.is_dir, oct(home.mode), home.uid, home.gid) == (True, "0o40755", 1001, 1001)
    assert root(image).nodes("/home/lab")[".profile"].uid == 1001
    assert oct(root(image).nodes("/etc/sudoers.d")["010_lab-nopasswd"].mode) == "0o100440"
    assert logs_in(image, "lab", "raspberry")
    tool(["e2fsck", "-fn", f"{image.path}?offset={ROOT_OFFSET}"])


def test_the_desktops_wizard_makes_way(images: dict[str, Path]) -> None:
    image = ready(images["bookworm-desktop"])
    assert not root(image).exists("/etc/xdg/autostart/piwiz.desktop")
    assert texts(image, "lightdm/lightdm.conf") == ["[Seat:*]\nautologin-user=pi\n"]


def test_cloud_init_stays_away(images: dict[str, Path]) -> None:
    """It would set the user's password anew, at the first boot or at the next network."""
    assert root(ready(images["trixie"])).exists("/etc/cloud/cloud-init.disabled")


def test_a_password_that_somebody_has_set_stays(images: dict[str, Path]) -> None:
    assert f"pi:{raspios.HASH}:" in texts(ready(images["buster"]), "shadow")[0]


def test_an_image_that_needs_nothing_is_used_where_it_lies(images: dict[str, Path], cache: Path) -> None:
    before = sorted(cache.rglob("*"))
    image = ready(images["customised"])
    assert image.path == images["customised"]
    assert sorted(cache.rglob("*")) == before


def test_the_image_that_was_given_is_never_written_to(images: dict[str, Path]) -> None:
    before = images["bookworm"].read_bytes()
    ready(images["bookworm"])
    assert images["bookworm"].read_bytes() == before


def test_a_copy_is_prepared_once_and_again_for_another_password(images: dict[str, Path]) -> None:
    first = ready(images["bookworm"])
    made = first.path.stat().st_mtime_ns
    assert ready(images["bookworm"]) == first
    assert first.path.stat().st_mtime_ns == made
    image = user_image(images["bookworm"])
    other = prepared(image, account("pi", "other", salt=image.digest))
    assert other.path != first.path
    assert logs_in(other, "pi", "other")


def test_a_prepared_image_needs_nothing_more(images: dict[str, Path]) -> None:
    image = ready(images["trixie"])
    found = prepare.needed(image.path, BOOT_OFFSET, ROOT_OFFSET, account("pi", "x", salt="y"))
    assert found.why == ()


def test_choosing_an_image_prepares_it_unless_told_otherwise(images: dict[str, Path]) -> None:
    asked = {"sha256": None, "suite": "bookworm", "username": "pi", "password": "raspberry"}
    file = str(images["bookworm"])
    assert choose(file, **asked).origin == "bookworm.img, prepared"
    assert choose(file, **asked, prepare=False).path == images["bookworm"]


def test_the_root_filesystem_without_accounts_is_left_alone(tmp_path: Path) -> None:
    """A buildroot, a Yocto: nobody knows how it makes its users."""
    image = raspios.make(tmp_path / "other.img", "customised")
    Ext4Partition(image, ROOT_OFFSET).delete([P("/etc/shadow")])
    assert ready(image, "lab").path == image
