"""A base image, servers' folders and kernels of a few bytes, for what deploys to a board that boots by network."""

import os
import shutil
import stat
from pathlib import Path, PurePosixPath
from typing import Self

import attrs
import smallcard
import tinycard
from labgrid import Target

from harness.bootfs import slots
from harness.card.fat import FatPartition
from harness.deploy.netboot import NetbootDriver
from harness.deploy.netboot_server import NetbootServer
from harness.model import BaseImage, BootFile, BootFiles, Manifest

SERIAL = "1000000050495634"
CONFIG = "enable_uart=1\n"
CMDLINE = "console=serial0,115200 root=PARTUUID=12345678-02 rootfstype=ext4 fsck.repair=yes rootwait\n"
FSTAB = """\
proc            /proc           proc    defaults          0       0
PARTUUID=12345678-01  /boot           vfat    defaults          0       2
PARTUUID=12345678-02  /               ext4    defaults,noatime  0       1
#/dev/mmcblk0p3 none swap sw 0 0
"""
STOCK = {
    "bootcode.bin": b"second stage",
    "start.elf": b"firmware",
    "fixup.dat": b"fixup",
    "config.txt": CONFIG.encode(),
    "cmdline.txt": CMDLINE.encode(),
    "overlays/README": b"of the stock kernel",
    "overlays/disable-bt.dtbo": b"overlay",
    "kernel7.img": b"the stock kernel",
}
TREE = {  # path -> content, mode; a link has `-> `
    "etc/fstab": (FSTAB, 0o644),
    "etc/shadow": ("pi:secret", 0o640),
    "usr/bin/sudo": (tinycard.ARM_PROGRAM.decode("latin-1"), 0o4755),
    "usr/lib/modules/4.19.57-v7+/modules.dep": ("stock", 0o644),
    "var/lib/pi64/old": ("old", 0o600),
    "lib": ("-> usr/lib", 0),
    "etc/localtime": ("-> /usr/share/zoneinfo/UTC", 0),
}


def make_base(path: Path, digest: str, **changed: bytes) -> BaseImage:
    """Make a base image whose files belong to whoever runs the test, so that no root is needed to unpack it."""
    folder = path.with_name(f"{path.name}.tree")
    for name, (content, mode) in TREE.items():
        there = folder / name
        there.parent.mkdir(parents=True, exist_ok=True)
        if content.startswith("-> "):
            there.symlink_to(content.removeprefix("-> "))
        else:
            there.write_bytes(content.encode("latin-1"))
            there.chmod(mode)
    (folder / "tmp").mkdir()
    (folder / "tmp").chmod(0o1777)
    smallcard.make_card(path)
    offset, owner = smallcard.ROOT_OFFSET, f"{os.geteuid()}:{os.getegid()}"
    extended = f"offset={offset},root_owner={owner}"
    features = "^metadata_csum"  # without sums over folders a test can write what it likes into one
    smallcard.tool(["mke2fs", "-q", "-F", "-t", "ext4", "-O", features, "-E", extended, "-d", folder, path, "24M"])
    smallcard.tool(["debugfs", "-w", "-R", "rmdir lost+found", f"{path}?offset={offset}"])  # it is root's
    FatPartition(path, smallcard.BOOT_OFFSET).write(
        {PurePosixPath(name): data for name, data in {**STOCK, **changed}.items()}
    )
    shutil.rmtree(folder)
    return BaseImage(path, smallcard.BOOT_OFFSET, 1, offset, 2, 32, digest, "a test")


def kernel(folder: Path, release: str, *, image: bytes | None = None, prefix: str = "pi64/") -> BootFiles:
    """Return what `compose` would of a kernel of that *release*, which each of its files tells."""
    root = folder / f"modules-{release}"
    modules = root / "lib" / "modules" / release
    modules.mkdir(parents=True, exist_ok=True)
    (modules / "dummy.ko").write_text(f"dummy of {release}")
    (modules / "modules.dep").write_text(f"dependencies of {release}")
    block = f"# pi64 begin\n[all]\nos_prefix={prefix}\narm_64bit=1\ndtoverlay=disable-bt\n# pi64 end\n"
    files = {
        f"{prefix}kernel8.img": image or f"kernel of {release}".encode(),
        f"{prefix}bcm2710-rpi-3-b.dtb": f"tree of {release}".encode() if image is None else tinycard.dtb(),
        f"{prefix}cmdline.txt": b"console=serial0,115200 root=/dev/nfs\n",
        "config.txt": f"{CONFIG}{block if prefix else ''}".encode(),
    }
    return BootFiles(
        tuple(BootFile(PurePosixPath(name), data=data) for name, data in files.items()),
        release, root, "side-by-side" if prefix else "in-place", prefix,
    )  # fmt: skip


@attrs.define
class Bench:
    """One board's folders, and the driver that writes there."""

    folder: Path
    base: BaseImage
    driver: NetbootDriver
    target: Target

    @classmethod
    def make(cls, folder: Path, base: BaseImage, **resource: str) -> "Bench":
        for name in ("tftp", "nfs"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        target = Target("net")
        given = {"serial": SERIAL, "tftp_root": str(folder / "tftp"), "nfs_root": str(folder / "nfs")}
        NetbootServer(target, name=None, **{**given, "nfs_server": "10.0.2.2", "nfs_path": "/srv", **resource})
        return cls(folder, base, NetbootDriver(target, name=None), target)

    def __enter__(self) -> Self:
        self.target.activate(self.driver)
        self.driver.use(self.base)
        return self

    def __exit__(self, *_: object) -> None:
        self.target.deactivate(self.driver)

    def deploy(self, release: str) -> Manifest:
        return self.driver.deploy(kernel(self.folder, release))

    @property
    def tree(self) -> Path:
        return self.folder / "tftp" / "50495634"

    @property
    def roots(self) -> list[Path]:
        return sorted((self.folder / "nfs" / "50495634").iterdir())

    @property
    def root(self) -> Path:
        """The root filesystem that the stock command line of the tree names."""
        name = (self.tree / "cmdline.txt").read_text().partition("nfsroot=10.0.2.2:/srv/")[2].partition(",")[0]
        return self.folder / "nfs" / name

    def boots(self) -> str:
        """Return the release that a board would boot here now, whole; ``stock``, or ``nothing`` without a tree."""
        if not self.tree.exists():
            return "nothing"
        for name in ("start.elf", "fixup.dat", "overlays/README", "kernel7.img"):
            assert (self.tree / name).read_bytes() == STOCK[name], name
        assert (self.root / "etc/shadow").read_text() == "pi:secret"
        prefix = slots.live((self.tree / "config.txt").read_bytes())
        if not prefix:
            assert (self.tree / "config.txt").read_text() == CONFIG
            return "stock"
        release = (self.tree / prefix / "kernel8.img").read_text().removeprefix("kernel of ")
        assert (self.tree / prefix / "bcm2710-rpi-3-b.dtb").read_text() == f"tree of {release}"
        modules = self.root / "usr/lib/modules" / release
        assert {path.name: path.read_text() for path in modules.iterdir()} == {
            "dummy.ko": f"dummy of {release}",
            "modules.dep": f"dependencies of {release}",
        }
        return release


def modes(folder: Path) -> dict[str, int]:
    """Return the mode of each file and folder below *folder*, and its own."""
    return {
        path.relative_to(folder).as_posix(): stat.S_IMODE(path.lstat().st_mode)
        for path in [folder, *folder.rglob("*")]
        if not path.is_symlink()
    }
