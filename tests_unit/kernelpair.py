"""Kernels of a few bytes as a build would leave them and compose would lay them out, for deploys onto small cards."""

from pathlib import Path, PurePosixPath

from harness import boards
from harness.bootfs import firmware
from harness.bootfs.compose import compose
from harness.card.ext4 import Ext4Partition
from harness.card.fat import FatPartition
from harness.card.files import CardFiles
from harness.model import BootFiles, KernelBuild, KernelSource, Toolchain

PI3 = boards.load("rpi-3-b")
MODULES = 12
STOCK = {
    "config.txt": b"arm_64bit=0\n",
    "cmdline.txt": b"console=tty1 root=PARTUUID=12345678-02 rootwait\n",
    "start.elf": b"start",
    "kernel7.img": b"\0" * 36 + b"\x18\x28\x6f\x01" + b"\0" * 200,
    "kernel8.img": b"\0" * 56 + b"ARM\x64" + b"stock",
    "bcm2710-rpi-3-b.dtb": b"stock dtb",
}


def stock(card: Path, boot_offset: int) -> None:
    """Put a stock system's boot files onto a card."""
    FatPartition(card, boot_offset).write({PurePosixPath(name): data for name, data in STOCK.items()})


def build(folder: Path, release: str, *, tag: str = "") -> KernelBuild:
    """Leave in *folder* what a build would; *tag* makes it another kernel of the same release."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Image").write_bytes(b"\0" * 56 + b"ARM\x64" + f"{release} {tag}".encode() * 9000)
    for dtb in PI3.dtbs:
        (folder / dtb).write_text(f"dtb of {release} {tag}")
    modules = folder / "modules" / "lib" / "modules" / release
    for number in range(MODULES):
        module = modules / "kernel" / f"d{number % 3}" / f"m{number}.ko"
        module.parent.mkdir(parents=True, exist_ok=True)
        module.write_bytes(f"module {number} of {release} {tag}".encode() * 400)
    (modules / "modules.dep").write_text(f"{release} {tag}\n")
    (modules / "build").unlink(missing_ok=True)
    (modules / "build").symlink_to(f"/usr/src/{release}")
    return KernelBuild(
        release=release,
        build_id="00",
        image=folder / "Image",
        dtbs=tuple(folder / dtb for dtb in PI3.dtbs),
        overlays=(),
        modules_root=folder / "modules",
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


def files(folder: Path, release: str, *, tag: str = "", layout: str = "side-by-side", **more: object) -> BootFiles:
    """Return the boot files and modules of such a build."""
    return compose(build(folder, release, tag=tag), PI3, STOCK, layout=layout, **more)  # type: ignore[arg-type]


def booting(card: Path, boot_offset: int, root_offset: int) -> str:
    """Tell what a card boots: ``stock``, or a release and its tag, whose parts are all there and fit; else what not."""
    fat, root = FatPartition(card, boot_offset), Ext4Partition(card, root_offset)
    plan = firmware.plan(CardFiles(fat), PI3)
    if not plan.bootable:
        return f"nothing: {plan.reason}"
    kernel = fat.read(plan.kernel)
    if kernel in STOCK.values():
        return "stock"
    name = kernel[60:].decode()[: len(kernel[60:]) // 9000]
    release, _, tag = name.partition(" ")
    if fat.read(plan.dtb) != f"dtb of {release} {tag}".encode():
        return f"the kernel of {name} with another device tree"
    root.repair()  # as the board's own fsck does before anything is mounted for writing
    found = root.walk(f"/lib/modules/{release}")
    wanted = {f"kernel/d{number % 3}/m{number}.ko" for number in range(MODULES)} | {"modules.dep", "build"}
    missing = wanted - {str(path.relative_to(f"/lib/modules/{release}")) for path in found}
    if missing:
        return f"the kernel of {name} without {sorted(missing)}"
    for number in range(MODULES):
        content = root.read(f"/lib/modules/{release}/kernel/d{number % 3}/m{number}.ko")
        if content != f"module {number} of {release} {tag}".encode() * 400:
            return f"the kernel of {name} with another module {number}"
    return name.strip()
