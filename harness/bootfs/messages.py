"""What the firmware says on the console about a plan, in its own manner (as with ``uart_2ndstage=1``)."""

from collections.abc import Callable

from harness.bootfs.firmware import FirmwarePlan, Loaded
from harness.model import BoardProfile

TICK_S = 0.004468  # between two lines of a real log at 115200 baud
GPU_MIB = 76  # what the VideoCore keeps for itself by default
DTB_ADDRESS = 0x2EFF_0000  # where real logs show it


def log_lines(plan: FirmwarePlan, board: BoardProfile, seconds: Callable[[], float] | float = 1.1) -> list[str]:
    """Return the lines, without line ends; the last one is ``arm_loader: Starting ARM`` or why it cannot.

    *seconds* gives the time since power-on of each line, or that of the first one; this floor has no clock.
    """
    said = [*_config(plan), *_device_tree(plan), *_cmdline(plan), *_kernel(plan)]
    said += [f"arm_loader: {remark}" for remark in plan.remarks]
    said += [_end(plan, board)]
    if plan.start_elf is None:
        said = said[-1:]  # without start.elf only the boot ROM speaks
    start = 0.0 if callable(seconds) else seconds
    clock = seconds if callable(seconds) else iter(start + TICK_S * index for index in range(len(said))).__next__
    return [f"{_stamp(clock())} {line}" for line in said]


def memory_mib(board: BoardProfile, total_mem_mib: int | None = None) -> int:
    """Return the memory of the board by its revision code (bits 20-22: 256 MiB doubled), capped by ``total_mem``."""
    fitted = 256 << (board.revision >> 20 & 7)
    return min(fitted, total_mem_mib) if total_mem_mib and total_mem_mib >= 128 else fitted


def _config(plan: FirmwarePlan) -> list[str]:
    lines = [line for file in _of(plan, "config") for line in _read(file)]
    return [*lines, f"os_prefix: '{plan.os_prefix}'"] if plan.os_prefix else lines


def _device_tree(plan: FirmwarePlan) -> list[str]:
    if plan.dtb is None:
        decision = plan.why("dtb")
        return [f"dterror: Failed to load Device Tree file '{decision.value if decision else '?'}'"]
    lines = [f"dtb_file '{plan.dtb}'"]
    for file in _of(plan, "dtb"):
        lines += [*_read(file), f"Loaded '{file.path}' to 0x{DTB_ADDRESS:x} size 0x{file.size_bytes:x}"]
    lines += [f"dtparam: {name}={value}" for name, value in plan.dtparams]
    sizes = {file.path: file for file in _of(plan, "overlay")}
    for overlay in plan.overlays:
        if overlay.path is None:
            lines.append(f"dterror: Failed to load overlay '{overlay.name}'")
            continue
        lines += [*_read(sizes[overlay.path]), f"Loaded overlay '{overlay.name}'"]
        lines += [f"dtparam: {name}={value}" for name, value in overlay.params]
    return lines


def _cmdline(plan: FirmwarePlan) -> list[str]:
    files = _of(plan, "cmdline")
    if not files:
        decision = plan.why("cmdline")
        return [f"Failed to open command line file '{decision.value if decision else 'cmdline.txt'}'"]
    return [*_read(files[0]), f"Read command line from file '{files[0].path}':", f"'{plan.cmdline}'"]


def _kernel(plan: FirmwarePlan) -> list[str]:
    lines = []
    for file in _of(plan, "kernel"):
        lines += [*_read(file), f"Loaded '{file.path}' to 0x{plan.kernel_address:x} size 0x{file.size_bytes:x}"]
    if plan.kernel is None:
        decision = plan.why("kernel")
        lines.append(f"Failed to load '{decision.value if decision else ''}'")
    for file in _of(plan, "initramfs"):
        lines += [*_read(file), f"Loaded '{file.path}' size 0x{file.size_bytes:x}"]
    return lines


def _end(plan: FirmwarePlan, board: BoardProfile) -> str:
    if not plan.bootable:
        return f"arm_loader: Cannot start: {plan.reason}"
    arm_mib = memory_mib(board, plan.total_mem_mib) - GPU_MIB
    return f"arm_loader: Starting ARM in {64 if plan.arm_64bit else 32}-bit mode with {arm_mib}MB"


def _of(plan: FirmwarePlan, role: str) -> list[Loaded]:
    return [file for file in plan.loaded if file.role == role]


def _read(file: Loaded) -> list[str]:
    return [f"brfs: File read: /mfs/sd/{file.path}", f"brfs: File read: {file.size_bytes} bytes"]


def _stamp(seconds: float) -> str:
    """Return e.g. ``MESS:00:00:01.123456:0:``."""
    minutes, rest = divmod(max(seconds, 0.0), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"MESS:{hours:02}:{minutes:02}:{rest:09.6f}:0:"
