"""The folders of a lab host, in a temporary place: what /sys, udev's database, /dev and /proc have of USB devices."""

from pathlib import Path

from harness.lab.doctor.bench import Roots

CONTROLLER = "devices/pci0000:00/0000:00:14.0"
PCI = "pci-0000:00:14.0"


class FakeHost:
    """Plug things in; ``roots`` is what the doctor looks at. Names are the kernel's: ``1-1.2``, ``ttyUSB0``."""

    def __init__(self, folder: Path, *, udev: bool = True) -> None:
        self.folder = folder
        self.udev = udev
        self.roots = Roots(folder / "proc", folder / "sys", folder / "dev", folder / "run")
        for root in (self.roots.proc, self.roots.sys, self.roots.dev, self.roots.run):
            root.mkdir(parents=True)
        if udev:
            (self.roots.run / "udev" / "data").mkdir(parents=True)
        self._minor = 0
        self._folders: dict[str, Path] = {}
        self.usb("usb1", "1d6b", "0002", product="xHCI Host Controller", hub=True)

    def usb(
        self,
        name: str,
        vendor: str,
        product_id: str,
        *,
        serial: str = "",
        manufacturer: str = "",
        product: str = "",
        speed: str = "12",
        hub: bool = False,
    ) -> None:
        """Plug in a USB device at *name*, with one interface."""
        folder = self._usb_folder(name)
        self._minor += 1
        words = self._words(name, vendor, product_id, serial)
        event = {"MAJOR": "189", "MINOR": str(self._minor), "DEVTYPE": "usb_device", "DRIVER": "usb"}
        self._make(folder, "usb", event, words, f"c189:{self._minor}")
        texts = {"idVendor": vendor, "idProduct": product_id, "serial": serial, "manufacturer": manufacturer}
        for key, value in (texts | {"product": product, "speed": speed}).items():
            if value:
                (folder / key).write_text(f"{value}\n")
        self._link("bus/usb/devices", name, folder)
        self.interface(name, 0, driver="hub" if hub else "")

    def interface(self, name: str, number: int, *, driver: str = "") -> Path:
        """Give the device *name* an interface."""
        usb = self._folders[name]
        label = f"{name.replace('usb1', '1-0')}:1.{number}"
        folder = usb / label
        if not folder.exists():
            event = {"DEVTYPE": "usb_interface"} | ({"DRIVER": driver} if driver else {})
            words = {**self._known(name), "ID_PATH": f"{self._known(name).get('ID_PATH', PCI)}:1.{number}"}
            self._make(folder, "usb", event, words, f"+usb:{label}")
            self._link("bus/usb/devices", label, folder)
        return folder

    def tty(self, name: str, tty: str, *, interface: int = 0) -> Path:
        """Give the device *name* a serial port; returns its node."""
        usb = self.interface(name, interface)
        number = {"ID_USB_INTERFACE_NUM": f"{interface:02}", "ID_PATH": f"{self._known(name)['ID_PATH']}:1.{interface}"}
        return self._child(usb / tty / "tty" / tty, "tty", 188, {**self._known(name), **number})

    def disk(self, name: str, disk: str, *, size_bytes: int = 0) -> Path:
        """Give the device *name* a disk and the generic SCSI node beside it; returns the disk's node."""
        target = self.interface(name, 0) / "host0" / "target0:0:0" / "0:0:0:0"
        self._child(target / "scsi_generic" / "sg1", "scsi_generic", 21, {})
        node = self._child(target / "block" / disk, "block", 8, self._known(name), DEVTYPE="disk")
        (target / "block" / disk / "size").write_text(f"{size_bytes // 512}\n")
        (target / "block" / disk / "ro").write_text("0\n")
        number = f"8:{self._minor}"
        (target / "block" / disk / "dev").write_text(f"{number}\n")
        self._link("dev/block", number, target / "block" / disk)
        return node

    def process(self, pid: int, program: str, *open_files: str) -> None:
        """Let a process run that has *open_files*."""
        fds = self.roots.proc / str(pid) / "fd"
        fds.mkdir(parents=True)
        (fds.parent / "comm").write_text(f"{program}\n")
        for number, name in enumerate(open_files):
            (fds / str(number)).symlink_to(name)

    def kernel_says(self, *lines: tuple[float, str]) -> None:
        """Put lines, each with the seconds since the host booted, into the kernel log."""
        records = [f"6,{number},{int(seconds * 1e6)},-;{text}\n" for number, (seconds, text) in enumerate(lines)]
        (self.roots.dev / "kmsg").write_text("".join(records))

    # --- making folders -----------------------------------------------------------------------------------------------
    def _usb_folder(self, name: str) -> Path:
        if name == "usb1":
            folder = self.roots.sys / CONTROLLER / "usb1"
        else:
            above = name.rpartition(".")[0] or "usb1"
            folder = self._folders[above] / name
        self._folders[name] = folder
        return folder

    def _words(self, name: str, vendor: str, product: str, serial: str) -> dict[str, str]:
        path = f"{PCI}-usb-0:{name.partition('-')[2]}" if "-" in name else PCI
        words = {"ID_VENDOR_ID": vendor, "ID_MODEL_ID": product, "ID_PATH": path, "ID_BUS": "usb"}
        self._folders[name].mkdir(parents=True, exist_ok=True)
        known = words | ({"ID_SERIAL_SHORT": serial} if serial else {})
        self.__dict__.setdefault("_all_words", {})[name] = known
        return known

    def _known(self, name: str) -> dict[str, str]:
        return dict(self.__dict__["_all_words"][name])

    def _child(self, folder: Path, subsystem: str, major: int, words: dict[str, str], **event: str) -> Path:
        self._minor += 1
        numbers = {"MAJOR": str(major), "MINOR": str(self._minor), "DEVNAME": folder.name}
        kind = "b" if subsystem == "block" else "c"
        self._make(folder, subsystem, numbers | event, words, f"{kind}{major}:{self._minor}")
        self._link(f"class/{subsystem}", folder.name, folder)
        node = self.roots.dev / folder.name
        node.write_bytes(b"")
        return node

    def _make(self, folder: Path, subsystem: str, event: dict[str, str], words: dict[str, str], key: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "uevent").write_text("".join(f"{name}={value}\n" for name, value in event.items()))
        (folder / "subsystem").symlink_to(self.roots.sys / "class" / subsystem)
        if self.udev:
            text = "I:1\n" + "".join(f"E:{name}={value}\n" for name, value in words.items()) + "G:systemd\n"
            (self.roots.run / "udev" / "data" / key).write_text(text)

    def _link(self, listing: str, name: str, folder: Path) -> None:
        (self.roots.sys / listing).mkdir(parents=True, exist_ok=True)
        (self.roots.sys / listing / name).symlink_to(folder)
