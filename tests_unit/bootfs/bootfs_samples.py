"""A stock Raspbian boot partition of 2019, cut to what matters here, and kernels of a few bytes."""

import gzip
from collections.abc import Mapping
from pathlib import Path

from harness.boards import load
from harness.bootfs import firmware
from harness.bootfs.partition import Files
from harness.model import BoardProfile, KernelBuild, KernelSource, Toolchain

PI3, PI4 = load("rpi-3-b"), load("rpi-4-b")

ARM64 = b"\0" * 56 + b"ARM\x64" + b"\0" * 200
ARM64_GZIP = gzip.compress(ARM64, mtime=0)
ZIMAGE = b"\0" * 36 + b"\x18\x28\x6f\x01" + b"\0" * 200

CONFIG = """\
# For more options and information see
# http://rpf.io/configtxt
# Some settings may impact device functionality. See link above for details

#disable_overscan=1
#hdmi_force_hotplug=1

# Uncomment some or all of these to enable the optional hardware interfaces
#dtparam=i2c_arm=on

# Enable audio (loads snd_bcm2835)
dtparam=audio=on

[pi4]
# Enable DRM VC4 V3D driver on top of the dispmanx display stack
dtoverlay=vc4-fkms-v3d
max_framebuffers=2

[all]
#dtoverlay=vc4-fkms-v3d
"""
CMDLINE = (
    "dwc_otg.lpm_enable=0 console=serial0,115200 console=tty1 root=PARTUUID=6c586e13-02 rootfstype=ext4 "
    "elevator=deadline fsck.repair=yes rootwait quiet splash plymouth.ignore-serial-consoles\n"
)

STOCK: dict[str, bytes] = {
    "bootcode.bin": b"x",
    "start.elf": b"x",
    "start4.elf": b"x",
    "fixup.dat": b"x",
    "config.txt": CONFIG.encode(),
    "cmdline.txt": CMDLINE.encode(),
    "kernel7.img": ZIMAGE,
    "kernel7l.img": ZIMAGE,
    "kernel8.img": ARM64,
    "bcm2710-rpi-3-b.dtb": b"dtb",
    "bcm2711-rpi-4-b.dtb": b"dtb",
    "overlays/README": b"readme",
    "overlays/vc4-fkms-v3d.dtbo": b"dtbo",
    "overlays/vc4-fkms-v3d-pi4.dtbo": b"dtbo",
    "overlays/disable-bt.dtbo": b"dtbo",
}
BASE = {name: STOCK[name] for name in ("config.txt", "cmdline.txt")}
"""What compose gets: the small text files."""


def planned(
    config: str | None = None,
    files: Mapping[str, bytes | None] | None = None,
    *,
    board: BoardProfile = PI3,
    tryboot: bool = False,
) -> firmware.FirmwarePlan:
    """Plan the stock boot partition with another *config*; of *files*, None takes one away."""
    return firmware.plan(Files(card(config, files or {})), board, tryboot=tryboot)


def card(config: str | None, files: Mapping[str, bytes | None]) -> dict[str, bytes]:
    changed = {**STOCK, **({} if config is None else {"config.txt": config.encode("latin-1")}), **files}
    return {name: data for name, data in changed.items() if data is not None}


def built(
    folder: Path,
    *,
    dtbs: tuple[str, ...] = ("bcm2710-rpi-3-b.dtb", "bcm2711-rpi-4-b.dtb"),
    overlays: tuple[str, ...] = (),
    image: bytes = ARM64,
) -> KernelBuild:
    """Return a build with files of a few bytes in *folder*."""
    paths = {name: folder / name for name in ("Image", *dtbs, *overlays)}
    for name, path in paths.items():
        path.write_bytes(image if name == "Image" else name.encode())
    return KernelBuild(
        release="6.12.1-test",
        build_id="00",
        image=paths["Image"],
        dtbs=tuple(paths[name] for name in dtbs),
        overlays=tuple(paths[name] for name in overlays),
        modules_root=folder,
        modules=(),
        config=folder / ".config",
        log=folder / "build.log",
        key="0",
        source=KernelSource(folder, "mainline", "6.12.1", "test", "0"),
        toolchain=Toolchain("system", "aarch64-linux-gnu-", "gcc", "0"),
        base_config="defconfig",
        fragments=(),
        seconds=0.0,
        cached=False,
    )
