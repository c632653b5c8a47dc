"""What keeps a Raspberry Pi OS from coming to its login without a person, and what to change: texts in, changes out.

Sources: RPi-Distro/userconf-pi (userconf-service, cancel-rename), RPi-Distro/raspberrypi-sys-mods (firstboot,
regenerate_ssh_host_keys, sshswitch) and RPi-Distro/pi-gen, for the images of 2016 to 2025.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import attrs

from harness.bootfs import cmdline_txt

FIRST_INITS = ("/usr/lib/raspberrypi-sys-mods/firstboot", "/usr/lib/raspi-config/init_resize.sh")
"""What ``init=`` starts at the first boot: they grow the root, make keys, change the disk id and restart."""
FIRST_PARAMETERS = ("sdhci.debug_quirks2=4",)  # goes with the init of 2018 to 2023
GROUPS = (
    "adm", "dialout", "cdrom", "sudo", "audio", "video", "plugdev", "games", "users", "input", "render", "netdev",
    "gpio", "i2c", "spi",
)  # fmt: skip
LOCKED = ("", "*", "!")
"""What a password field without a usable hash is, or begins with."""

PASSWD, SHADOW, GROUP, LIGHTDM = "etc/passwd", "etc/shadow", "etc/group", "etc/lightdm/lightdm.conf"
TEXTS = (PASSWD, SHADOW, GROUP, LIGHTDM, "etc/skel/.profile", "etc/skel/.bashrc")
"""Files of the root filesystem to read."""
WANTS = "etc/systemd/system/multi-user.target.wants"
UNITS = "lib/systemd/system"  # a link leads there where it is usr/lib
SSH = f"{WANTS}/ssh.service"
GETTY = "etc/systemd/system/getty.target.wants/getty@tty1.service"
DIALOGS = (
    f"{WANTS}/userconfig.service",  # asks for a user name on tty8
    "etc/xdg/autostart/piwiz.desktop",  # the same on the desktop
    "etc/ssh/sshd_config.d/rename_user.conf",  # "SSH may not work until a valid user has been set up"
)
KEYS_LATER = f"{WANTS}/regenerate_ssh_host_keys.service"
CLOUD, NO_CLOUD = "etc/cloud", "etc/cloud/cloud-init.disabled"
WIZARD = "rpi-first-boot-wizard"
FOLDERS = (WANTS, "etc/xdg/autostart", "etc/ssh", "etc/ssh/sshd_config.d", "etc", CLOUD, UNITS, "etc/sudoers.d", "home",
    "etc/systemd/system/getty.target.wants")  # fmt: skip
"""Folders whose names have to be known."""


@attrs.frozen
class Account:
    """Who logs in."""

    user: str
    password_hash: str = attrs.field(repr=False)
    """As crypt(5) has it."""


@attrs.frozen
class Node:
    """A file of the root filesystem to write, or with *link* a symbolic link, or a folder."""

    content: str = ""
    link: str = ""
    kind: Literal["file", "folder"] = "file"
    mode: int | None = None
    """None: as the file that is there has it, else 0644."""
    uid: int = 0
    gid: int = 0


@attrs.frozen
class Changes:
    """What to do with an image; *why* is for people."""

    nodes: Mapping[str, Node]
    delete: tuple[str, ...]
    boot: Mapping[str, bytes]
    """Files of the boot partition."""
    keys: bool
    """Whether host keys have to be made."""
    why: tuple[str, ...]


def changes(
    texts: Mapping[str, str], names: Collection[str], cmdline: bytes, config: bytes, *, account: Account
) -> Changes:
    """Return what an image needs so that *account* can log in on the serial console and over ssh, and nobody asks.

    *texts* are those of TEXTS that are there, *names* all paths in FOLDERS, *cmdline* and *config* the boot
    partition's cmdline.txt and config.txt.
    """
    why: list[str] = []
    nodes: dict[str, Node] = {}
    boot: dict[str, bytes] = {}
    if PASSWD in texts and SHADOW in texts:
        nodes |= _account(texts, names, account, why)
    delete = [name for name in DIALOGS if name in names]
    why += [f"no dialog: {name.rpartition('/')[2]}" for name in delete]
    if DIALOGS[0] in delete and f"{UNITS}/getty@.service" in names and GETTY not in names:
        nodes[GETTY] = Node(link=f"/{UNITS}/getty@.service")
    if WIZARD in texts.get(LIGHTDM, ""):
        nodes[LIGHTDM] = Node(texts[LIGHTDM].replace(WIZARD, account.user))
    if CLOUD in names and NO_CLOUD not in names:
        nodes[NO_CLOUD] = Node()
        why.append("no cloud-init")
    if f"{UNITS}/ssh.service" in names and SSH not in names:
        nodes[SSH] = Node(link=f"/{UNITS}/ssh.service")
        why.append("ssh on")
    keys = "etc/ssh" in names and not any(name.startswith("etc/ssh/ssh_host_") for name in names)
    if keys:
        why.append("host keys")
        delete += [KEYS_LATER] * (KEYS_LATER in names)
    if (line := _cmdline(cmdline, why)) is not None:
        boot["cmdline.txt"] = line
    if (text := _config(config, why)) is not None:
        boot["config.txt"] = text
    return Changes(nodes, tuple(delete), boot, keys, tuple(why))


def _account(texts: Mapping[str, str], names: Collection[str], account: Account, why: list[str]) -> dict[str, Node]:
    """Return the account's files where it is missing, or has no password yet; one that can log in stays as it is."""
    fields = {line.partition(":")[0]: line.split(":") for line in texts[SHADOW].splitlines() if ":" in line}
    known = [line.split(":") for line in texts[PASSWD].splitlines() if ":" in line]
    if not any(line[0] == account.user for line in known):
        why.append(f"user {account.user}")
        return _new_account(texts, names, account, {int(line[2]) for line in known if line[2:3] and line[2].isdigit()})
    entry = fields.get(account.user, [account.user, "*", "", "0", "99999", "7", "", "", ""])
    if not entry[1].startswith(LOCKED[1:]) and entry[1]:
        return {}
    why.append(f"password of {account.user}")
    lines = [line for line in texts[SHADOW].splitlines() if line.partition(":")[0] != account.user]
    return {SHADOW: Node(_lines([*lines, ":".join([entry[0], account.password_hash, *entry[2:]])]))}


def _new_account(
    texts: Mapping[str, str], names: Collection[str], account: Account, taken: Collection[int]
) -> dict[str, Node]:
    uid = next(number for number in range(1000, 60_000) if number not in taken)
    user, home = account.user, f"home/{account.user}"
    nodes = {
        PASSWD: Node(_lines([*texts[PASSWD].splitlines(), f"{user}:x:{uid}:{uid}:,,,:/{home}:/bin/bash"])),
        SHADOW: Node(_lines([*texts[SHADOW].splitlines(), f"{user}:{account.password_hash}:19700:0:99999:7:::"])),
        GROUP: Node(_lines([*join_groups(texts.get(GROUP, ""), user), f"{user}:x:{uid}:"])),
    }
    if "etc/sudoers.d" in names:
        nodes[f"etc/sudoers.d/010_{user}-nopasswd"] = Node(f"{user} ALL=(ALL) NOPASSWD: ALL\n", mode=0o440)
    if home not in names:
        nodes[home] = Node(kind="folder", mode=0o755, uid=uid, gid=uid)
        for name in (".profile", ".bashrc"):
            if f"etc/skel/{name}" in texts:
                nodes[f"{home}/{name}"] = Node(texts[f"etc/skel/{name}"], mode=0o644, uid=uid, gid=uid)
    return nodes


def join_groups(text: str, user: str) -> list[str]:
    """Return the lines of /etc/group with *user* in those of GROUPS that are there."""
    lines = []
    for line in text.splitlines():
        head, _, members = line.rpartition(":")
        joined = ",".join(filter(None, [*members.split(","), user])) if line.partition(":")[0] in GROUPS else members
        lines.append(f"{head}:{joined}")
    return lines


def _cmdline(data: bytes, why: list[str]) -> bytes | None:
    """Return cmdline.txt without what is for the first boot, with the serial console; None when it is so already."""
    before = cmdline_txt.split(cmdline_txt.first_line(data.decode("latin-1")))
    after = [one for one in before if one not in FIRST_PARAMETERS and one not in _inits()]
    if len(after) != len(before):
        why.append("no first-boot init")
        after = after if "splash" in after else cmdline_txt.remove(after, "quiet")  # as that init does
    if not any(one.startswith("console=serial0") for one in after):
        after = [cmdline_txt.SERIAL_CONSOLE, *after]
        why.append("console on serial0")
    return None if after == before or not before else f"{cmdline_txt.join(after)}\n".encode("latin-1")


def _inits() -> Sequence[str]:
    return [f"init={name}" for name in FIRST_INITS]


def _config(data: bytes, why: list[str]) -> bytes | None:
    """Return config.txt with the UART on for the stock kernel as well; None when it says so already."""
    lines = [line.strip() for line in data.decode("latin-1").splitlines()]
    if "enable_uart=1" in lines:
        return None
    why.append("UART on")
    return data + b"\n" * (not data.endswith(b"\n") and bool(data)) + b"[all]\nenable_uart=1\n"


def _lines(lines: Sequence[str]) -> str:
    return "\n".join([*lines, ""])
