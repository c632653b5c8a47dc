"""Small card images with the files by which a Raspberry Pi OS of each time keeps from coming to its login alone.

After RPi-Distro/pi-gen, userconf-pi and raspberrypi-sys-mods; what matters here, no more.
"""

from pathlib import Path, PurePosixPath

from smallcard import BOOT_OFFSET, ROOT_OFFSET, make_card

from harness.card.ext4 import Ext4Partition, Rights
from harness.card.fat import FatPartition

P = PurePosixPath
ARM = b"\x7fELF\x01\x01\x01" + bytes(9) + b"\x02\x00\x28\x00" + bytes(100)
PASSWD = "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
PI = "pi:x:1000:1000:,,,:/home/pi:/bin/bash\n"
GROUP = "root:x:0:\nsudo:x:27:{pi}\nvideo:x:44:{pi}\ngpio:x:986:{pi}\nstaff:x:50:\n"
SHADOW = "root:*:19700:0:99999:7:::\ndaemon:*:19700:0:99999:7:::\n"
HASH = "$6$salt$abcdefg"  # of an account that somebody has given a password
CMDLINE = "console=serial0,115200 console=tty1 root=PARTUUID=12345678-02 rootfstype=ext4 fsck.repair=yes rootwait"
UNITS = ("ssh.service", "getty@.service", "userconfig.service", "regenerate_ssh_host_keys.service")
WANTS = "/etc/systemd/system/multi-user.target.wants"

FIRSTBOOT = f"{CMDLINE} quiet init=/usr/lib/raspberrypi-sys-mods/firstboot"
KINDS = {
    "buster": {
        "cmdline": f"{CMDLINE} quiet init=/usr/lib/raspi-config/init_resize.sh", "password": HASH, "wizard": False,
    },
    "bookworm": {"cmdline": FIRSTBOOT, "wizard": True},
    "bookworm-desktop": {"cmdline": f"{FIRSTBOOT} splash", "wizard": True, "desktop": True},
    "trixie": {"cmdline": f"{CMDLINE} resize", "wizard": True, "cloud": True, "pi": False},
    "customised": {"cmdline": CMDLINE, "password": HASH, "wizard": False, "ssh": True, "uart": True},
}  # fmt: skip


def make(path: Path, kind: str) -> Path:
    """Make an image of *kind*."""
    has = KINDS[kind]
    make_card(path)
    root, work = Ext4Partition(path, ROOT_OFFSET), path.parent / f"{path.name}.links"
    work.mkdir()
    (work / "lib").symlink_to("usr/lib")
    pi = has.get("pi", True)
    files: dict[P, bytes | Path] = {
        P("/lib"): work / "lib",
        P("/usr/bin/sh"): ARM,
        P("/bin/sh"): ARM,
        P("/etc/passwd"): (PASSWD + PI * pi).encode(),
        P("/etc/group"): (GROUP.format(pi="pi" * pi) + "pi:x:1000:\n" * pi).encode(),
        P("/etc/shadow"): (SHADOW + f"pi:{has.get('password', '*')}:19700:0:99999:7:::\n" * pi).encode(),
        P("/etc/skel/.profile"): b"# profile\n",
        P("/etc/sudoers.d/README"): b"",
        P("/etc/ssh/sshd_config"): b"Include /etc/ssh/sshd_config.d/*.conf\n",
        **{P("/usr/lib/systemd/system", unit): b"[Unit]\n" for unit in UNITS},
    }
    links = {"regenerate_ssh_host_keys.service"} if not has.get("ssh") else {"ssh.service"}
    links |= {"userconfig.service"} if has["wizard"] else set()
    for name in links:
        (work / name).symlink_to(f"/lib/systemd/system/{name}")
        files[P(WANTS, name)] = work / name
    if has["wizard"]:
        files[P("/etc/ssh/sshd_config.d/rename_user.conf")] = b"Banner /usr/share/userconf-pi/sshd_banner\n"
    if has.get("desktop"):
        files[P("/etc/xdg/autostart/piwiz.desktop")] = b"[Desktop Entry]\nExec=sudo -AE piwiz --useronly\n"
        files[P("/etc/lightdm/lightdm.conf")] = b"[Seat:*]\nautologin-user=rpi-first-boot-wizard\n"
    if has.get("cloud"):
        files[P("/etc/cloud/cloud.cfg.d/99_raspberry-pi.cfg")] = b"datasource_list: [ NoCloud, None ]\n"
    if has.get("ssh"):
        files[P("/etc/ssh/ssh_host_ed25519_key")] = b"secret\n"
    root.mkdir([P("/usr/lib"), P("/home/pi")])
    root.write({P("/lib"): files.pop(P("/lib"))})
    root.write(files, rights={P("/etc/shadow"): Rights(0o640, gid=42)})
    config = b"dtparam=audio=on\n[cm5]\ndtoverlay=dwc2" + b"\n[all]\nenable_uart=1\n" * bool(has.get("uart"))
    FatPartition(path, BOOT_OFFSET).write(
        {P("cmdline.txt"): f"{has['cmdline']}\n".encode(), P("config.txt"): config, P("start.elf"): b"x"}
    )
    return path
