"""What turns a bare Debian into a board's root filesystem: files laid over the tar of its packages, as values.

Each entry that is there for the boot time alone says so; docs/boot-time.md has what it brings.
"""

import io
import tarfile
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

GROUPS = ("adm", "dialout", "sudo", "audio", "video", "plugdev", "users", "input")
READ = ("etc/passwd", "etc/shadow", "etc/group", "etc/skel/.profile")
UID = 1000
SHADOW = 42  # group of that name, fixed by Debian's base-passwd

FSTAB = """\
/dev/mmcblk0p1  /boot  vfat  defaults,nofail    0 0
/dev/mmcblk0p2  /      ext4  defaults,noatime        0 0
"""

BASHRC = r"PS1='\u@\h:\w \$ '" + "\n"  # Debian's starts programs to colour ls

WATCHDOG = """\
# QEMU takes the first touch of the watchdog for a reset.
[Manager]
RuntimeWatchdogSec=off
RebootWatchdogSec=off
KExecWatchdogSec=off
"""


@attrs.frozen
class Node:
    """A file, or with *link* a symbolic link; a path that ends in ``/`` is a folder."""

    path: str
    content: str = ""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    link: str = ""


def read_files(tar: Path) -> dict[str, str]:
    """Return from a root filesystem's tar the files that are extended here, not replaced."""
    found = {}
    with tarfile.open(tar) as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            if name in READ and (file := archive.extractfile(member)):
                found[name] = file.read().decode()
            if len(found) == len(READ):
                break
    return found


def write_tar(target: Path, nodes: Iterator[Node]) -> None:
    """Write *nodes* as a tar that is unpacked over the root filesystem."""
    with tarfile.open(target, "w") as archive:
        for node in nodes:
            member = tarfile.TarInfo(node.path.rstrip("/"))
            member.uid, member.gid = node.uid, node.gid
            member.mtime = int(time.time())  # systemd compares that of its .updated stamps
            member.mode, data = node.mode, node.content.encode()
            member.type = (
                tarfile.SYMTYPE if node.link else tarfile.DIRTYPE if node.path.endswith("/") else tarfile.REGTYPE
            )
            member.linkname, member.size = node.link, len(data)
            archive.addfile(member, io.BytesIO(data))


def system(files: Mapping[str, str], *, username: str, password_hash: str, hostname: str) -> Iterator[Node]:
    """Yield what makes the system the board's own: its names, its user, its mounts."""
    yield from _user(files, username, password_hash)
    yield Node("etc/hostname", f"{hostname}\n")
    yield Node("etc/hosts", f"127.0.0.1\tlocalhost\n::1\t\tlocalhost ip6-localhost\n127.0.1.1\t{hostname}\n")
    yield Node("etc/fstab", FSTAB)
    yield Node("etc/machine-id", f"{uuid.uuid4().hex}\n", mode=0o444)  # without one each boot is a first boot
    yield Node("etc/resolv.conf", link="/proc/net/pnp")  # what the kernel's ip=dhcp has learnt
    yield Node("etc/default/locale", "LANG=C.UTF-8\n")
    yield Node("etc/systemd/system.conf.d/pi64-watchdog.conf", WATCHDOG)


def _user(files: Mapping[str, str], name: str, password_hash: str) -> Iterator[Node]:
    """Yield the accounts with *name* added, and its home; sudo asks it for no password, as on Raspberry Pi OS."""
    yield Node("etc/passwd", files["etc/passwd"] + f"{name}:x:{UID}:{UID}:,,,:/home/{name}:/bin/bash\n")
    yield Node(
        "etc/shadow", files["etc/shadow"] + f"{name}:{password_hash}:19700:0:99999:7:::\n", mode=0o640, gid=SHADOW
    )
    yield Node("etc/group", join_groups(files["etc/group"], name) + f"{name}:x:{UID}:\n")
    yield Node(f"etc/sudoers.d/010_{name}-nopasswd", f"{name} ALL=(ALL) NOPASSWD: ALL\n", mode=0o440)
    yield Node(f"home/{name}/", mode=0o755, uid=UID, gid=UID)
    yield Node(f"home/{name}/.profile", files["etc/skel/.profile"], uid=UID, gid=UID)
    yield Node(f"home/{name}/.bashrc", BASHRC, uid=UID, gid=UID)


def join_groups(text: str, name: str) -> str:
    """Add *name* to GROUPS; a line is ``group:x:gid:member,member``."""
    lines = []
    for line in text.splitlines():
        group, rest, members = line.split(":", 1)[0], line.rpartition(":")[0], line.rpartition(":")[2]
        lines.append(f"{rest}:{','.join(filter(None, [members, name]))}" if group in GROUPS else line)
    return "\n".join([*lines, ""])
