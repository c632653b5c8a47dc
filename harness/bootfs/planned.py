"""What the firmware would do with a boot partition, as values: outcome, files, and the lines that decided."""

import attrs


@attrs.frozen
class Decision:
    """One thing the firmware settled, and the line that settled it."""

    what: str
    """``arm_64bit``, ``os_prefix``, ``dtb``, ``overlay_prefix``, ``cmdline``, ``kernel`` or ``initramfs``."""
    value: str
    file: str
    """Empty where no line says so and the firmware's default holds."""
    line: int
    text: str
    """The line itself, or the reason for the default."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}" if self.file else self.text


@attrs.frozen
class Overlay:
    """One ``dtoverlay=`` with the parameters that follow it."""

    name: str
    path: str | None
    """None where the file is missing; the firmware then goes on without it."""
    params: tuple[tuple[str, str], ...]


@attrs.frozen
class Loaded:
    """One file the firmware reads, in the order in which it does."""

    role: str
    """``config``, ``dtb``, ``overlay``, ``cmdline``, ``initramfs``, ``kernel``."""
    path: str
    size_bytes: int


@attrs.frozen
class FirmwarePlan:
    """What the firmware would do with a boot partition."""

    bootable: bool
    reason: str
    """Why not; empty when *bootable*."""
    board: str
    start_elf: str | None
    config: str | None
    """``config.txt`` or ``tryboot.txt``; None where it is missing and defaults hold."""
    arm_64bit: bool
    kernel: str | None
    """Path on the boot partition, as of all files here; None where it is missing."""
    kernel_kind: str
    """``arm64``, ``arm64 gzip``, ``arm32``, ``unknown``, ``damaged``, ``empty`` or ``missing``."""
    kernel_address: int
    dtb: str | None
    initramfs: tuple[str, ...]
    """Loaded one behind the other, as one."""
    cmdline: str
    """Before the firmware's own additions, ``serial0`` not yet replaced."""
    overlays: tuple[Overlay, ...]
    dtparams: tuple[tuple[str, str], ...]
    """Parameters of the base DTB, from ``dtparam=`` before any ``dtoverlay=``."""
    os_prefix: str
    """In force; empty also where the one asked for was ignored, see *os_prefix_ignored*."""
    os_prefix_ignored: str
    """Why the ``os_prefix`` asked for is not in force; empty when it is, or none was asked for."""
    overlay_prefix: str
    """Folder or prefix in force for overlays, *os_prefix* included."""
    enable_uart: bool | None
    """None: not set, the board's default holds."""
    total_mem_mib: int | None
    decided: tuple[Decision, ...]
    loaded: tuple[Loaded, ...]
    remarks: tuple[str, ...]
    """What happens in silence and surprises people."""

    def why(self, what: str) -> Decision | None:
        """Return the decision about *what*."""
        return next((decision for decision in self.decided if decision.what == what), None)
