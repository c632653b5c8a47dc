"""What the firmware would load from a boot partition, and which lines decided it.

Source: https://www.raspberrypi.com/documentation/computers/config_txt.html (boot options: ``os_prefix``,
``overlay_prefix``, ``arm_64bit``, ``kernel``, ``initramfs``, ``upstream_kernel``).
"""

from collections.abc import Sequence
from pathlib import PurePosixPath

from harness.bootfs import cmdline_txt, config_txt, overlays
from harness.bootfs.config_txt import Config, Setting
from harness.bootfs.partition import BootPartition, clean, kernel_kind
from harness.bootfs.planned import Decision, FirmwarePlan, Loaded, Overlay
from harness.model import BoardProfile

__all__ = ["BootPartition", "Decision", "FirmwarePlan", "Loaded", "Overlay", "plan"]

KERNELS_64 = frozenset({"kernel8.img", "kernel_2712.img"})
KERNELS_32 = frozenset({"kernel.img", "kernel7.img", "kernel7l.img"})
"""Names that say themselves what they are: an explicit ``kernel=`` with one of them overrules ``arm_64bit``."""


def plan(card: BootPartition, board: BoardProfile, *, tryboot: bool = False, serial: int | None = None) -> FirmwarePlan:
    """Return what *board* would load from *card*; *tryboot*: after ``reboot '0 tryboot'``. Never raises."""
    return _Planner(card, board, tryboot=tryboot, serial=serial).plan()


class _Planner:
    """The firmware at work: settles one thing after the other and remembers why."""

    def __init__(self, card: BootPartition, board: BoardProfile, *, tryboot: bool, serial: int | None) -> None:
        self.card, self.board = card, board
        self.decided: list[Decision] = []
        self.loaded: list[Loaded] = []
        self.remarks: list[str] = []
        self.config_name = "tryboot.txt" if tryboot else "config.txt"
        self.config = self._config(config_txt.Conditions(tryboot=tryboot, serial=serial))

    def plan(self) -> FirmwarePlan:
        """Settle everything, in the order in which the firmware does."""
        start = next((name for name in self.board.start_elf if self.card.exists(name)), None)
        wide = self._arm_64bit()
        prefix, ignored = self._os_prefix(wide)
        dtb = self._dtb(prefix)
        overlay_prefix = self._overlay_prefix(prefix)
        applied, dtparams = self._overlays(overlay_prefix, dtb)
        cmdline = self._cmdline(prefix)
        kernel, kind = self._kernel(prefix, wide)
        initramfs = self._initramfs(prefix, kernel)
        self._remark_unusual(cmdline)
        reason = self._reason(start, wide, kind, dtb)
        uart, memory = self.config.last("enable_uart"), self.config.last("total_mem")
        return FirmwarePlan(
            bootable=not reason,
            reason=reason,
            board=self.board.name,
            start_elf=start,
            config=self.config_name if self.card.exists(self.config_name) else None,
            arm_64bit=wide,
            kernel=kernel,
            kernel_kind=kind,
            kernel_address=self._kernel_address(wide, kind),
            dtb=dtb,
            initramfs=initramfs,
            cmdline=cmdline,
            overlays=applied,
            dtparams=dtparams,
            os_prefix=prefix,
            os_prefix_ignored=ignored,
            overlay_prefix=overlay_prefix,
            enable_uart=bool(uart.number) if uart else None,
            total_mem_mib=memory.number if memory and memory.number > 0 else None,
            decided=tuple(self.decided),
            loaded=tuple(self.loaded),
            remarks=tuple(dict.fromkeys((*self.config.remarks, *self.remarks))),
        )

    # --- the text files ----------------------------------------------------------------------------------------------
    def _config(self, given: config_txt.Conditions) -> Config:
        text = self._load("config", self.config_name)
        if text is None:
            self.remarks.append(f"{self.config_name} is missing; the firmware's defaults hold")
        return config_txt.applied(
            (text or b"").decode("latin-1"),
            self.board,
            lambda name: self._load("config", name),
            file=self.config_name,
            given=given,
        )

    def _cmdline(self, prefix: str) -> str:
        setting = self.config.last("cmdline")
        path = _resolve(setting.value if setting and setting.value else "cmdline.txt", prefix)
        self._decide("cmdline", path, setting, "default name")
        data = self._load("cmdline", path)
        if data is None:
            self.remarks.append(f"{path} is missing; the kernel gets no parameters but the firmware's own")
        return cmdline_txt.first_line((data or b"").decode("latin-1"))

    # --- what is started ---------------------------------------------------------------------------------------------
    def _arm_64bit(self) -> bool:
        setting, kernel = self.config.last("arm_64bit"), self.config.last("kernel")
        control = self.config.last("arm_control")  # the deprecated way: bit 9
        wide = bool(setting.number) if setting else self.board.arm_64bit
        if setting is None and control is not None:
            setting, wide = control, bool(control.number & 0x200)
        if kernel and kernel.value in KERNELS_64 | KERNELS_32:
            named = kernel.value in KERNELS_64
            if setting and named != wide:
                self.remarks.append(f"{_place(setting)}: `{setting.text}` is overruled by the name in `{kernel.text}`")
            setting, wide = kernel, named
        self._decide("arm_64bit", str(int(wide)), setting, f"default of {self.board.name}")
        return wide

    def _os_prefix(self, wide: bool) -> tuple[str, str]:
        """Return the prefix in force and why the one asked for is not."""
        setting = self.config.last("os_prefix")
        upstream = self.config.last("upstream_kernel") if self._upstream() else None
        asked = setting.value if setting else "upstream/" if upstream else ""
        if not asked:
            return "", ""
        kernels, dtbs = self._kernel_names(wide), self._dtb_names()
        missing = [names for names in (kernels, dtbs) if names and not self._first(names, asked)]
        why = " and ".join(f"{_resolve(names[0], asked)} is missing" for names in missing)
        decider = setting or upstream
        self._decide("os_prefix", "" if why else asked, decider, "")
        if why and decider:
            self.remarks.append(f"{_place(decider)}: os_prefix {asked} is ignored: {why}")
        return ("", why) if why else (asked, "")

    def _kernel_names(self, wide: bool) -> Sequence[str]:
        setting = self.config.last("kernel")
        if setting and setting.value:
            return [setting.value]
        return self.board.kernel_64 if wide else self.board.kernel_32

    def _kernel(self, prefix: str, wide: bool) -> tuple[str | None, str]:
        """Return path and kind of the kernel."""
        names = self._kernel_names(wide)
        path = self._first(names, prefix)
        setting = self.config.last("kernel")
        by = setting if setting and setting.value else None
        self._decide("kernel", path or _resolve(names[0], prefix), by, f"default name with arm_64bit={int(wide)}")
        if path is None:
            return None, "missing"
        return path, kernel_kind(self._load("kernel", path))

    def _kernel_address(self, wide: bool, kind: str) -> int:
        setting = self.config.last("kernel_address")
        if setting:
            return setting.number
        if self.config.last("kernel_old"):
            return 0
        return 0x8000 if not wide else 0x200000 if kind.startswith("arm64") else 0x80000

    def _initramfs(self, prefix: str, kernel: str | None) -> tuple[str, ...]:
        given = [setting for setting in self.config.settings if setting.key in {"initramfs", "ramfsfile"}]
        if given:
            names = given[-1].value.split(" ")[0].split(",")
            paths = [_resolve(name, prefix) for name in names if name]
            self._decide("initramfs", ",".join(paths), given[-1], "")
        else:
            paths = self._auto_initramfs(prefix, kernel)
        return tuple(path for path in paths if self._load_or_remark("initramfs", path))

    def _auto_initramfs(self, prefix: str, kernel: str | None) -> list[str]:
        setting = self.config.last("auto_initramfs")
        name = PurePosixPath(kernel or "").name
        if not setting or not setting.number or not name.startswith("kernel"):
            return []
        path = _resolve(f"initramfs{name.removeprefix('kernel').removesuffix('.img')}", prefix)
        self._decide("initramfs", path if self.card.exists(path) else "", setting, "")
        return [path] if self.card.exists(path) else []

    # --- the device tree ---------------------------------------------------------------------------------------------
    def _upstream(self) -> bool:
        setting = self.config.last("upstream_kernel")
        return bool(setting and setting.number)

    def _dtb_names(self) -> Sequence[str]:
        """Return the DTB names looked for, in order; the firmware takes the upstream name only when told to."""
        setting = self.config.last("device_tree")
        if setting:
            return [setting.value] if setting.value else []
        upstream, downstream = self.board.dtbs[-1], self.board.dtbs[:-1] or self.board.dtbs
        return [upstream, *downstream] if self._upstream() else downstream

    def _dtb(self, prefix: str) -> str | None:
        names = self._dtb_names()
        path = self._first(names, prefix)
        setting = self.config.last("device_tree") or (self.config.last("upstream_kernel") if self._upstream() else None)
        looked_for = path or (_resolve(names[0], prefix) if names else "")
        self._decide("dtb", looked_for, setting, f"default name for {self.board.name}")
        if path:
            self._load("dtb", path)
        return path

    def _overlay_prefix(self, prefix: str) -> str:
        setting = self.config.last("overlay_prefix")
        folder = setting.value if setting else "overlays/"
        own = bool(prefix) and self.card.exists(f"{prefix}{folder}README")
        used = any(setting.key == "dtoverlay" and setting.value for setting in self.config.settings)
        if prefix and not own and used:
            self.remarks.append(f"{clean(f'{prefix}{folder}README')} is missing: overlays come from {folder}")
        self._decide("overlay_prefix", f"{prefix * own}{folder}", setting, "default folder")
        return f"{prefix * own}{folder}"

    def _overlays(self, folder: str, dtb: str | None) -> tuple[tuple[Overlay, ...], overlays.Params]:
        """Return the overlays, found or not, and the parameters of the base DTB."""
        base, requests = overlays.requested(self.config.settings)
        found = [Overlay(one.name, self._overlay_path(one.name, folder, one.setting), one.params) for one in requests]
        setting = self.config.last("upstream_kernel")
        if setting and self._upstream() and dtb and PurePosixPath(dtb).name != self.board.dtbs[-1]:
            found.insert(0, Overlay("upstream", self._overlay_path("upstream", folder, setting), ()))
        return tuple(found), base

    def _overlay_path(self, name: str, folder: str, setting: Setting) -> str | None:
        path = self._first(overlays.file_names(name, self.board), folder)
        if path:
            self._load("overlay", path)
        else:
            missing = clean(f"{folder}{name}.dtbo")
            self.remarks.append(f"{_place(setting)}: overlay {missing} is missing; the firmware goes on without")
        return path

    # --- helpers -----------------------------------------------------------------------------------------------------
    def _first(self, names: Sequence[str], prefix: str) -> str | None:
        """Return the path of the first of *names* that is there."""
        return next((path for name in names if self.card.exists(path := _resolve(name, prefix))), None)

    def _load(self, role: str, path: str) -> bytes | None:
        data = self.card.read(path)
        if data is not None:
            self.loaded.append(Loaded(role, clean(path), len(data)))
        return data

    def _load_or_remark(self, role: str, path: str) -> bool:
        there = self._load(role, path) is not None
        if not there:
            self.remarks.append(f"{role} {path} is missing; the firmware goes on without")
        return there

    def _decide(self, what: str, value: str, setting: Setting | None, default: str) -> None:
        where = (setting.file, setting.line, setting.text) if setting else ("", 0, default)
        self.decided.append(Decision(what, value, *where))

    def _remark_unusual(self, cmdline: str) -> None:
        parameters = cmdline_txt.split(cmdline)
        if init := cmdline_txt.get(parameters, "init"):
            self.remarks.append(f"the command line starts init={init} instead of /sbin/init")
        if armstub := self.config.last("armstub"):
            what = "replaces the firmware's own stub" if self.card.exists(armstub.value) else "names a missing file"
            self.remarks.append(f"{_place(armstub)}: `{armstub.text}` {what}")
        if self.card.exists("autoboot.txt"):
            self.remarks.append("autoboot.txt may choose another partition; this model does not read it")

    def _reason(self, start: str | None, wide: bool, kind: str, dtb: str | None) -> str:
        """Return why the board would not start its kernel; empty when it would."""
        looked_for = {decision.what: decision.value for decision in self.decided}
        kernel = looked_for["kernel"]
        if start is None:
            return f"{' or '.join(self.board.start_elf)} is missing: not a boot partition for {self.board.name}"
        if kind in {"missing", "empty", "damaged"}:
            return f"kernel {kernel} is {kind}"
        if wide and kind == "arm32":
            return f"kernel {kernel} is a 32-bit zImage, but arm_64bit=1 starts it in 64-bit mode"
        if not wide and kind.startswith("arm64"):
            return f"kernel {kernel} is a 64-bit Image, but arm_64bit=0 starts it in 32-bit mode"
        if kind == "unknown" and wide:
            self.remarks.append(f"{kernel} has no arm64 Image header; if it is no raw binary, the board hangs")
        if dtb is None:
            return f"device tree {looked_for['dtb'] or '(none: device_tree= is empty)'} is missing" * wide
        return ""


def _resolve(name: str, prefix: str) -> str:
    """Return where *name* is looked for: an absolute name bypasses the prefix, which may be half a file name."""
    return clean(name) if name.startswith("/") else clean(f"{prefix}{name}")


def _place(setting: Setting) -> str:
    return f"{setting.file}:{setting.line}"
