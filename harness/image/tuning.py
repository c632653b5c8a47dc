"""What shortens the boot of the base image, where every program costs an emulated processor half a second.

It stays systemd, udev and sshd: nothing is taken away that a kernel is tested with. docs/boot-time.md has the figures.
"""

from collections.abc import Iterator

from harness.image.overlay import Node

ETC = "etc/systemd/system"

MASKED = {
    "getty-static.service": "starts six gettys where no logind is: a serial line needs one",
    "getty@tty1.service": "nobody looks at the screen of a virtual board",
    "systemd-journal-flush.service": "the journal stays in memory",
    "systemd-random-seed.service": "waits for entropy that every copy of the card would share",
    "systemd-repart.service": "nothing to repartition; it loads loop and dm_mod first",
    "systemd-pstore.service": "no crash store that outlives QEMU; it loads efi_pstore first",
    "systemd-binfmt.service": "no foreign programs",
    "proc-sys-fs-binfmt_misc.automount": "the same",
    "systemd-firstboot.service": "asks on the console when it thinks that something is unset",
    "systemd-sysusers.service": "all users are there",
    "systemd-user-sessions.service": "lets users in when the boot is done; here nothing keeps them out",
    "systemd-tmpfiles-setup-dev.service": "device nodes come with their module, not before it",
    "kmod-static-nodes.service": "the same",
    "systemd-machine-id-commit.service": "the card has its machine id",
    "systemd-update-utmp.service": "`who` is all that would know",
    "systemd-update-utmp-runlevel.service": "the same",
    "systemd-ask-password-console.path": "no encrypted disks",
    "systemd-ask-password-wall.path": "the same",
    "systemd-pcrphase.service": "no TPM",
    "systemd-pcrphase-sysinit.service": "the same",
    "systemd-initctl.socket": "no System V clients",
    "sys-kernel-config.mount": "mounted by what needs it; it loads configfs first",
    "sys-fs-fuse-connections.mount": "the same, and fuse",
    "dev-hugepages.mount": "the kernels under test need not have it",
    "cryptsetup.target": "no encrypted disks",
    "integritysetup.target": "the same",
    "veritysetup.target": "the same",
    "remote-fs.target": "no network mounts",
    "systemd-networkd-wait-online.service": "the kernel's ip=dhcp waits for the network",
    "apt-daily.timer": "a test board must not change under the test",
    "apt-daily-upgrade.timer": "the same",
    "dpkg-db-backup.timer": "the card is a copy",
    "fstrim.timer": "the same",
    "systemd-tmpfiles-clean.timer": "the same",
}

NO_GENERATORS = (  # programs that look for what this card has not, at each boot, before anything else starts
    "systemd-cryptsetup-generator",
    "systemd-gpt-auto-generator",
    "systemd-hibernate-resume-generator",
    "systemd-integritysetup-generator",
    "systemd-rc-local-generator",
    "systemd-run-generator",
    "systemd-system-update-generator",
    "systemd-sysv-generator",
    "systemd-veritysetup-generator",
)

COLDPLUG = """\
# Half of all devices at boot are the 64 virtual terminals and their vcs files, and none of them needs a rule;
# drivers and modules (--type=all) are the other half again. What is plugged in later is not concerned.
[Service]
ExecStart=
ExecStart=-udevadm trigger --type=devices --action=add --subsystem-match=tty --sysname-match=tty[A-Z]*
ExecStart=-udevadm trigger --type=devices --action=add --prioritized-subsystem=block,net \
--subsystem-nomatch=tty --subsystem-nomatch=vc --subsystem-nomatch=vtconsole --subsystem-nomatch=workqueue \
--subsystem-nomatch=clockevents --subsystem-nomatch=clocksource --subsystem-nomatch=event_source \
--subsystem-nomatch=cpu --subsystem-nomatch=bdi --subsystem-nomatch=mem
"""

NO_RULES = (  # of udev, for devices that neither board has
    "55-dm",
    "60-cdrom_id",
    "60-drm",
    "60-evdev",
    "60-fido-id",
    "60-infiniband",
    "60-input-id",
    "60-persistent-alsa",
    "60-persistent-input",
    "60-persistent-storage-dm",
    "60-persistent-storage-tape",
    "60-persistent-v4l",
    "60-sensor",
    "64-btrfs",
    "70-camera",
    "70-joystick",
    "70-memory",
    "70-mouse",
    "70-power-switch",
    "70-touchpad",
    "70-uaccess",
    "71-seat",
    "73-seat-late",
    "75-probe_mtd",
    "78-sound-card",
    "95-dm-notify",
)

LEFT_OUT = (
    "etc/modules-load.d/modules.conf",  # an empty list that a program would be started for
    "etc/systemd/system/multi-user.target.wants/ssh.service",  # ssh.socket starts it for the first caller
    "etc/update-motd.d",  # three programs at each login, to say what `uname` says
    "usr/lib/udev/hwdb.bin",  # names of USB and PCI devices: 13 MB, of which each boot reads one from the slow card
    "usr/lib/udev/hwdb.d",
)
"""Of the packages' own files."""

LINKS = """\
# udev reads 3 MB of a card to learn what is known: QEMU's card is slow enough for that to take seconds.
KERNEL=="mmcblk0*", ENV{{UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG}}="1"
KERNEL=="mmcblk0p1", SYMLINK+="disk/by-partuuid/{disk_id}-01 disk/by-label/{boot_label}"
KERNEL=="mmcblk0p2", SYMLINK+="disk/by-partuuid/{disk_id}-02 disk/by-label/{root_label}"
"""

REMOUNT = """\
# The same without a program that starts this one.
[Service]
ExecStart=
ExecStart=/bin/mount -o remount,rw,noatime /
"""

JOURNAL = """\
[Journal]
Storage=volatile
RuntimeMaxUse=16M
Audit=no
"""


def tuning(*, disk_id: str, boot_label: str, root_label: str) -> Iterator[Node]:
    """Yield the files that are there for the boot time alone; the names are those of this one card."""
    links = LINKS.format(disk_id=disk_id, boot_label=boot_label, root_label=root_label)
    yield Node("etc/udev/rules.d/59-pi64-card.rules", links)
    for unit in MASKED:
        yield Node(f"{ETC}/{unit}", link="/dev/null")
    for generator in NO_GENERATORS:
        yield Node(f"etc/systemd/system-generators/{generator}", link="/dev/null")
    yield Node(f"{ETC}/systemd-udev-trigger.service.d/pi64.conf", COLDPLUG)
    yield Node(f"{ETC}/systemd-remount-fs.service.d/pi64.conf", REMOUNT)
    for rules in NO_RULES:
        yield Node(f"etc/udev/rules.d/{rules}.rules", link="/dev/null")
    yield Node("etc/tmpfiles.d/systemd-nologin.conf", link="/dev/null")
    yield Node("etc/systemd/journald.conf.d/pi64.conf", JOURNAL)
    yield Node(f"{ETC}/default.target", link="/usr/lib/systemd/system/multi-user.target")
    yield Node(f"{ETC}/sockets.target.wants/ssh.socket", link="/usr/lib/systemd/system/ssh.socket")
    for stamp in ("etc/.updated", "var/.updated"):  # else systemd rebuilds what the packages have just built
        yield Node(stamp)
