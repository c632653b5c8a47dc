"""The files of a new kernel for a boot partition: beside the stock system, or over it.

Side by side, the new files lie in a folder of their own and config.txt points there with ``os_prefix``; taking our
block out of config.txt brings the stock system back. In place is what the guide for a 64-bit kernel on Raspbian does;
it overwrites the DTBs that the stock 32-bit kernel shares. Either way ``firmware.plan`` must confirm the outcome.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from harness.bootfs import cmdline_txt, config_txt, firmware
from harness.bootfs.firmware import FirmwarePlan
from harness.bootfs.partition import Files, clean
from harness.errors import ConfigError, DeployError, UsageError
from harness.model import BoardProfile, BootFile, BootFiles, KernelBuild

BEGIN, END = "# pi64 begin", "# pi64 end"
_BLOCK = re.compile(rf"^{BEGIN}\r?\n(?:(?!^{BEGIN}).)*?^{END}[^\n]*\n?", re.MULTILINE | re.DOTALL)
KERNEL = "kernel8.img"
INITRAMFS = "initramfs.img"
LAYOUTS = ("side-by-side", "in-place")
DEFAULT_CMDLINE = "console=tty1 root=/dev/mmcblk0p2 rootfstype=ext4 fsck.repair=yes rootwait"
README = b"Overlays of the kernel in the folder above; the firmware uses this folder because this file is here.\n"


def compose(
    build: KernelBuild,
    board: BoardProfile,
    base: Mapping[str, bytes],
    *,
    layout: str = "side-by-side",
    os_prefix: str = "pi64/",
    root: str | None = None,
    cmdline_extra: Sequence[str] = (),
    config_extra: Sequence[str] = (),
    extra_files: Sequence[BootFile] = (),
) -> BootFiles:
    """Return what to write so that *board* boots *build*; *base* holds the text files of the boot partition as it is.

    *config_extra* are lines for config.txt, *cmdline_extra* parameters for the kernel, *root* replaces ``root=``,
    *extra_files* are what such a line names, a stub say.
    Composing again on the outcome gives the same. ConfigError for a line the firmware would cut; DeployError when the
    build lacks the board's DTB, or when something in *base* would keep the firmware from our kernel.
    """
    if layout not in LAYOUTS:
        raise UsageError(f"no layout `{layout}`; known: {', '.join(LAYOUTS)}")
    prefix = os_prefix if layout == "side-by-side" else ""
    if layout == "side-by-side" and not prefix.strip("/"):
        raise UsageError("layout side-by-side needs an os_prefix, e.g. `pi64/`")
    own = stock(base)
    lines = _side_by_side(prefix) if prefix else _in_place(board, own)
    if "auto_initramfs" in own:
        lines.append("auto_initramfs=0")  # the stock initramfs holds the modules of the stock kernel
    if build.initramfs:
        lines.append(f"initramfs {_initramfs(prefix)} followkernel")
    lines += [line for line in ("enable_uart=1", *map(_as_read, config_extra)) if line not in lines]
    config = with_block(own, lines)
    config_txt.lint(config)
    cmdline = cmdline_txt.for_lab(_cmdline(own, board, base), root=root, extra=[_as_read(one) for one in cmdline_extra])
    files = [
        *_kernel_files(build, board, prefix),
        _text(f"{prefix}{'cmdline.txt' if prefix else _cmdline_name(own, board, base)}", f"{cmdline}\n"),
        *extra_files,
        _text("config.txt", config),
    ]
    plan = firmware.plan(_card(files, base, board), board)
    _confirm(plan, board, prefix, cmdline, initramfs=build.initramfs is not None, ours=lines)
    return BootFiles(tuple(files), build.release, build.modules_root, layout, prefix)


def stock(base: Mapping[str, bytes]) -> str:
    """Return the config.txt of *base* without our block: what to write back to have the stock system again.

    The text is ``latin-1``: encode it so, and every byte of the stock file is what it was.
    """
    text = _BLOCK.sub("", (Files(base).read("config.txt") or b"").decode("latin-1"))
    if stray := re.search(rf"^{BEGIN}\s*$", text, re.MULTILINE):
        raise ConfigError(
            f"config.txt: `{BEGIN}` in line {text[: stray.start()].count(chr(10)) + 1} without `{END}`",
            hint="take out that line, and what of the lines below it is not yours",
        )
    return text


def with_block(text: str, lines: Sequence[str]) -> str:
    """Return config.txt *text* with *lines* in our marked block at its end, where no section is in force any more."""
    gap = "" if not text or text.endswith("\n") else "\n"
    return text + gap + "\n".join([BEGIN, "[all]", *lines, END]) + "\n"


def _side_by_side(prefix: str) -> list[str]:
    return [f"os_prefix={prefix}", "arm_64bit=1", f"kernel={KERNEL}", "cmdline=cmdline.txt"]


def _initramfs(prefix: str) -> str:
    """Return the name of our initramfs: in place one that no stock system has, so that none is overwritten."""
    return INITRAMFS if prefix else f"pi64-{INITRAMFS}"


def _in_place(board: BoardProfile, own: str) -> list[str]:
    """Return ``arm_64bit=1`` where the board needs it, or where the stock file speaks about it."""
    return ["arm_64bit=1"] if not board.arm_64bit or "arm_64bit" in own else []


def _cmdline_name(own: str, board: BoardProfile, base: Mapping[str, bytes]) -> str:
    """Return the name of the stock command line's file, which config.txt may have changed."""
    setting = config_txt.applied(own, board, Files(base).read).last("cmdline")
    return clean(setting.value) if setting and setting.value else "cmdline.txt"


def _cmdline(own: str, board: BoardProfile, base: Mapping[str, bytes]) -> str:
    """Return the stock command line, or a plain one where the boot partition has none."""
    data = Files(base).read(_cmdline_name(own, board, base)) or b""
    return cmdline_txt.first_line(data.decode("latin-1")) or DEFAULT_CMDLINE


def _kernel_files(build: KernelBuild, board: BoardProfile, prefix: str) -> list[BootFile]:
    """Return kernel, DTBs under every name the firmware may look for, and overlays with the README they need."""
    files = {KERNEL: build.image, **_dtbs(build, board, everything=not prefix)}
    if build.initramfs:
        files[_initramfs(prefix)] = build.initramfs
    files |= {f"overlays/{path.name}": path for path in build.overlays}
    found = [BootFile(PurePosixPath(clean(f"{prefix}{name}")), source=path) for name, path in files.items()]
    if prefix and build.overlays and "overlays/README" not in files:
        found.append(BootFile(PurePosixPath(clean(f"{prefix}overlays/README")), data=README))
    return found


def _dtbs(build: KernelBuild, board: BoardProfile, *, everything: bool) -> dict[str, Path]:
    """Return name -> DTB; a mainline tree has upstream names only, but the firmware looks for the downstream one."""
    built = {path.name: path for path in build.dtbs}
    ours = next((built[name] for name in board.dtbs if name in built), None)
    if ours is None:
        raise DeployError(
            f"{board.name}: kernel {build.release} was built without {' or '.join(board.dtbs)}",
            hint=f"enable the board's platform in the kernel's .config: {build.config}",
            evidence=sorted(built)[:10],
        )
    return (built if everything else {}) | {name: built.get(name, ours) for name in board.dtbs}


def _card(files: Sequence[BootFile], base: Mapping[str, bytes], board: BoardProfile) -> Files:
    """Return the boot partition as it will be: *files* over *base*, with a start.elf, which is no text file."""
    written = {clean(str(file.path)).lower(): file for file in files}
    return Files({board.start_elf[0]: b"", **{clean(name).lower(): data for name, data in base.items()}, **written})


def _confirm(
    plan: FirmwarePlan, board: BoardProfile, prefix: str, cmdline: str, *, initramfs: bool, ours: Sequence[str]
) -> None:
    """Raise DeployError unless *plan* is our kernel; the error names the line at fault, which is none of *ours*."""
    expected = {
        "arm_64bit": (str(int(plan.arm_64bit)), {"1"}),
        "kernel": (plan.kernel, {clean(f"{prefix}{KERNEL}")}),
        "dtb": (plan.dtb, {clean(f"{prefix}{name}") for name in board.dtbs}),
        "os_prefix": (plan.os_prefix, {prefix}),
        "cmdline": (plan.cmdline, {cmdline}),
    }
    if initramfs:
        expected["initramfs"] = (",".join(plan.initramfs), {clean(f"{prefix}{_initramfs(prefix)}")})
    wrong = [what for what, (found, wanted) in expected.items() if found not in wanted]
    if wrong:
        decisions = {what: plan.why(what) for what in wrong}
        guilty = [what for what, by in decisions.items() if by and by.file and by.text not in ours]
        what = (guilty or wrong)[0]
        by = decisions[what]
        raise DeployError(
            f"{plan.board}: the firmware would not take our kernel: {what} would be"
            f" {(by and by.value) or '(none)'}, not {' or '.join(sorted(expected[what][1]))}",
            hint="take that line out of the boot partition's config.txt, or put it under another section"
            * bool(guilty),
            evidence=[*([str(by)] if by else []), *plan.remarks],
        )
    if not plan.bootable:
        raise DeployError(f"{plan.board}: what was composed cannot boot: {plan.reason}", evidence=plan.remarks)


def _as_read(text: str) -> str:
    """Return *text* as it will be read back: one byte, one character."""
    return text.encode().decode("latin-1")


def _text(path: str, text: str) -> BootFile:
    return BootFile(PurePosixPath(clean(path)), data=text.encode("latin-1"))
