"""What the VideoCore, and QEMU's lack of hardware, change in a device tree before the kernel sees it."""

import libfdt

from harness.errors import DeployError
from harness.model import BoardProfile

GROW_BYTES = 8192  # room for the properties that the firmware adds

# QEMU's raspi4b has no HDMI block: whoever touches its registers gets a synchronous external abort, and the panic
# would look like the kernel's fault. Nodes are named by address, for names differ between mainline and downstream.
ABSENT = {
    "bcm2711": (
        "7ef00100",  # brcmstb-l2-intc: panics in brcmstb_l2_intc_of_init
        "7ef04500",  # hdmi i2c: panics in brcmstb_i2c_probe
        "7ef09500",
        "7ef00000",  # dvp clock: panics in clk_gate_is_enabled
        "7ef00700",  # hdmi
        "7ef05700",
        "7e340000",  # emmc2: QEMU has put the card on the other host
    )
}
CARD_HOST = {"bcm2711": "7e300000"}
"""Where QEMU has put the card; on iron this host serves the Wi-Fi chip and waits for its power sequence for ever."""
PL011 = "7e201000"
"""The UART on pins 8 and 10. A mainline device tree gives it to the Bluetooth chip, which QEMU has not got: a kernel
with CONFIG_SERIAL_DEV_CTRL_TTYPORT then makes no /dev/ttyAMA0. ``disable-bt`` would take the chip away, but a mainline
kernel comes without overlays."""


def fix_up(dtb: bytes, board: BoardProfile, *, serial: int, partition: int = 1, tryboot: bool = False) -> bytes:
    """Return *dtb* as this virtual board's kernel gets it: absent devices off, the firmware's own properties added.

    *serial* is the board's 64-bit serial number, *partition* the one it booted from. Raises DeployError if *dtb* is no
    flattened device tree.
    """
    try:
        _check(dtb)
        return _fixed(libfdt.Fdt(bytearray(dtb)), board, serial=serial, partition=partition, tryboot=tryboot)
    except libfdt.FdtException as error:
        raise DeployError(f"{board.name}: the device tree file is damaged: {error}") from error


def _fixed(tree: libfdt.Fdt, board: BoardProfile, *, serial: int, partition: int, tryboot: bool) -> bytes:
    tree.resize(tree.totalsize() + GROW_BYTES)
    for address in ABSENT.get(board.soc, ()):
        for path in _paths_at(tree, address):
            tree.setprop_str(tree.path_offset(path), "status", "disabled")
    if board.soc in CARD_HOST:
        for path in _paths_at(tree, CARD_HOST[board.soc]):
            _free_card_host(tree, path)
    for path in _paths_at(tree, PL011):
        _disable_child(tree, path, "bluetooth")
    _add_firmware_properties(tree, board, serial=serial, partition=partition, tryboot=tryboot)
    tree.pack()
    return bytes(tree.as_bytearray())


def apply_overlay(dtb: bytes, overlay: bytes) -> bytes:
    """Return *dtb* with *overlay* applied; ValueError says why libfdt refused (a base without ``__symbols__``, say)."""
    try:
        _check(dtb)
        _check(overlay)
        base = libfdt.Fdt(bytearray(dtb))
        base.resize(len(dtb) + 2 * len(overlay) + GROW_BYTES)
        merged = base.as_bytearray()
        code = libfdt.fdt_overlay_apply(merged, bytearray(overlay))
        if code < 0:
            raise ValueError(libfdt.strerror(code))
        result = libfdt.Fdt(merged)
        result.pack()
    except libfdt.FdtException as error:
        raise ValueError(str(error)) from error
    return bytes(result.as_bytearray())


def _check(blob: bytes) -> None:
    """Walk all of *blob* once: libfdt trusts what it reads, and a damaged tree would take this process with it."""
    code = libfdt.fdt_check_full(bytearray(blob), len(blob))
    if code < 0:
        raise libfdt.FdtException(code)


def _paths_at(tree: libfdt.Fdt, address: str) -> list[str]:
    """Return the paths of all nodes with the unit address *address*; several drivers may share one."""
    paths: list[str] = []
    offset, depth = 0, 0
    while True:
        offset, depth = tree.next_node(offset, depth, [libfdt.FDT_ERR_NOTFOUND]) if depth >= 0 else (-1, -1)
        if offset < 0 or depth < 0:
            return paths
        if tree.get_name(offset).endswith(f"@{address}"):
            paths.append(tree.get_path(offset))


def _free_card_host(tree: libfdt.Fdt, path: str) -> None:
    for name in ("mmc-pwrseq", "non-removable"):
        if tree.hasprop(tree.path_offset(path), name):
            tree.delprop(tree.path_offset(path), name)
    tree.setprop_str(tree.path_offset(path), "status", "okay")
    wifi = tree.subnode_offset(tree.path_offset(path), "wifi@1", [libfdt.FDT_ERR_NOTFOUND])
    if wifi >= 0:
        tree.del_node(wifi)


def _disable_child(tree: libfdt.Fdt, path: str, name: str) -> None:
    child = tree.subnode_offset(tree.path_offset(path), name, [libfdt.FDT_ERR_NOTFOUND])
    if child >= 0:
        tree.setprop_str(child, "status", "disabled")


def _add_firmware_properties(
    tree: libfdt.Fdt, board: BoardProfile, *, serial: int, partition: int, tryboot: bool
) -> None:
    tree.setprop_str(0, "serial-number", f"{serial:016x}")
    tree.setprop_str(0, "model", f"{board.title} (QEMU {board.qemu.machine if board.qemu else ''})")
    tree.setprop_u32(_node(tree, "/system"), "linux,revision", board.revision)
    tree.setprop_u64(_node(tree, "/system"), "linux,serial", serial)
    tree.setprop_u32(_node(tree, "/chosen/bootloader"), "partition", partition)
    tree.setprop_u32(_node(tree, "/chosen/bootloader"), "tryboot", int(tryboot))


def _node(tree: libfdt.Fdt, path: str) -> int:
    """Return the offset of *path*, made where it is missing."""
    offset = 0
    for name in path.strip("/").split("/"):
        found = tree.subnode_offset(offset, name, [libfdt.FDT_ERR_NOTFOUND])
        offset = found if found >= 0 else tree.add_subnode(offset, name)
    return offset
