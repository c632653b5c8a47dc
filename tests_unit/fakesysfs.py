"""A /sys with disks in it, as the kernel shows them: folders, links and files of a few bytes."""

from pathlib import Path

USB = "devices/pci0000:00/0000:00:14.0/usb1/1-2"
MMC = "devices/platform/soc/fe340000.mmc/mmc_host/mmc0"


class Sysfs:
    """``disk`` adds one; ``root`` is what the functions under test get."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "sys"
        (self.root / "dev" / "block").mkdir(parents=True)

    def disk(
        self,
        name: str,
        number: str,
        /,
        *,
        below: str = "devices/pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0",
        gib: float = 32,
        removable: bool = False,
        read_only: bool = False,
        parts: int = 2,
        **texts: str,
    ) -> Path:
        """Add a disk below a device; *texts* are files of that device, e.g. ``model``."""
        device = self.root / below
        folder = device / "block" / name
        self._block(folder, number, int(gib * 2**30), {"removable": f"{removable:d}\n", "ro": f"{read_only:d}\n"})
        (folder / "device").symlink_to(device)
        for key, text in texts.items():
            (device / key).write_bytes(text.encode(errors="surrogateescape"))
        major, _, minor = number.partition(":")
        for part in range(1, parts + 1):
            label = f"{name}p{part}" if name[-1].isdecimal() else f"{name}{part}"
            self._block(folder / label, f"{major}:{int(minor) + part}", 1 << 28, {"partition": f"{part}\n"})
        return folder

    def usb_disk(self, name: str, number: str, *, serial: str = "000000000042", **more: object) -> Path:
        """Add a disk that hangs on USB; *serial* is that of the USB device."""
        usb = self.root / USB
        usb.mkdir(parents=True, exist_ok=True)
        (usb / "idVendor").write_text("0424\n")
        (usb / "serial").write_text(f"{serial}\n")
        below = f"{USB}/1-2:1.0/host6/target6:0:0/6:0:0:0"
        return self.disk(name, number, below=below, vendor="LinuxAut\n", model="sdmux HS-SD/MMC\n", **more)  # type: ignore[arg-type]

    def _block(self, folder: Path, number: str, size: int, texts: dict[str, str]) -> None:
        (folder / "holders").mkdir(parents=True)
        for key, text in {"dev": f"{number}\n", "size": f"{size // 512}\n", **texts}.items():
            (folder / key).write_text(text)
        (self.root / "dev" / "block" / number).symlink_to(folder)
