"""Our own code in the part of the VideoCore: from a card or a TFTP server to what lies in RAM when the cores start."""

from pathlib import Path

import attrs

from harness.bootfs import cmdline_txt, firmware
from harness.bootfs.messages import log_lines
from harness.bootfs.partition import BootPartition
from harness.bootfs.planned import FirmwarePlan
from harness.card import layout
from harness.card.fat import FatPartition
from harness.card.files import CardFiles
from harness.errors import DeployError
from harness.model import BoardProfile
from harness.virtual import dtb, netboot
from harness.virtual.netboot import Netboot
from harness.virtual.qemu import BootImage

SERIAL = 0x10000000_50495634  # of every virtual board: "PIV4" in ASCII, so that none is taken for iron

NET_STAMP = "MESS:00:00:00.900000:0:"  # before the first file is read


@attrs.frozen
class Started:
    """What the firmware said, and what it started; *image* is None when it could not."""

    lines: tuple[str, ...]
    image: BootImage | None


def load(card: Path, board: BoardProfile, folder: Path, *, tryboot: bool = False) -> Started:
    """Read the boot partition of *card* and leave kernel, DTB and initramfs in *folder* as *board* would start them.

    With *tryboot* by ``tryboot.txt`` instead of ``config.txt``, which the device tree tells the kernel.
    A card that cannot boot is no error: the lines say why, as on iron. LabError or UsageError when *card* is no card.
    """
    boot = layout.find(card).boot
    files = CardFiles(FatPartition(card, boot.start_bytes))
    return _start(files, board, folder, _Boot(SERIAL, boot.number, tryboot=tryboot))


def load_by_network(given: Netboot, board: BoardProfile, folder: Path, *, tryboot: bool = False) -> Started:
    """Do the same with what a TFTP server has for *board*. LabError when that does not answer."""
    files = netboot.find(given, board)
    started = _start(files, board, folder, _Boot(given.serial, 0, tryboot=tryboot))
    where = [f"{NET_STAMP} netboot: {line}" for line in files.lines]
    *said, last = started.lines  # what kept it from starting, if anything did
    return attrs.evolve(started, lines=(*where, *said, last if started.image else f"{last} ({files.lines[0]})"))


@attrs.frozen
class _Boot:
    """What the firmware tells the kernel of how it was started."""

    serial: int
    partition: int
    """As Linux counts; 0 where there is none."""
    tryboot: bool


def _start(files: BootPartition, board: BoardProfile, folder: Path, boot: _Boot) -> Started:
    plan = firmware.plan(files, board, tryboot=boot.tryboot, serial=boot.serial)
    lines = log_lines(plan, board)
    if not plan.bootable:
        return Started(tuple(lines), None)
    if not plan.arm_64bit:
        return Started((*lines, "arm_loader: this virtual board runs 64-bit kernels only"), None)
    try:
        image, said = _place(plan, files, board, folder, boot)
    except DeployError as error:
        stamp = lines[-1].partition("arm_loader:")[0]
        return Started((*lines[:-1], f"{stamp}arm_loader: Cannot start: {error.message}"), None)
    return Started((*lines[:-1], *said, lines[-1]), image)  # "Starting ARM" stays last: the kernel's first line follows


def _place(
    plan: FirmwarePlan, files: BootPartition, board: BoardProfile, folder: Path, boot: _Boot
) -> tuple[BootImage, list[str]]:
    kernel, tree, initrd = folder / "kernel", folder / "dtb", folder / "initramfs"
    kernel.write_bytes(_read(files, plan.kernel))
    merged, said = _with_overlays(plan, files, _read(files, plan.dtb))
    tree.write_bytes(dtb.fix_up(merged, board, serial=boot.serial, partition=boot.partition, tryboot=boot.tryboot))
    if plan.initramfs:
        initrd.write_bytes(b"".join(_read(files, name) for name in plan.initramfs))
    names = [overlay.name for overlay in plan.overlays]
    cmdline = cmdline_txt.as_started(plan.cmdline, board, overlays=names, enable_uart=plan.enable_uart)
    mini_uart = cmdline_txt.serial_names(board, names)["serial0"] == "ttyS0"
    return BootImage(kernel, tree, cmdline, initrd if plan.initramfs else None, mini_uart), said


def _with_overlays(plan: FirmwarePlan, files: BootPartition, tree: bytes) -> tuple[bytes, list[str]]:
    """Apply the overlays in order; one that does not fit is told and left out, as the firmware does."""
    said = []
    for overlay in plan.overlays:
        if overlay.path is None:
            continue
        try:
            tree = dtb.apply_overlay(tree, _read(files, overlay.path))
        except ValueError as error:
            said.append(f"dterror: overlay '{overlay.name}' does not apply: {error}")
        if overlay.params:
            said.append(f"dterror: parameters of overlay '{overlay.name}' are not applied by this virtual firmware")
    return tree, said


def _read(files: BootPartition, name: str | None) -> bytes:
    data = files.read(name) if name else None
    assert data is not None, f"the plan named {name}, which is not on the card"
    return data
