"""Boot files straight over USB, into a board whose boot ROM asks for them: nothing is written, all is served.

Modules do not go this way: they come with the root filesystem, an initramfs or NFS. docs/deploy-rpiboot.md has more.
"""

import contextlib
import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attr
from labgrid.driver.common import Driver
from labgrid.factory import target_factory
from labgrid.resource.common import Resource
from labgrid.step import step

from harness import boards, host, usbbus
from harness.deploy import DeployProtocol
from harness.deploy.rpiboot_offer import Offer
from harness.deploy.rpiboot_server import Boot, BootServer
from harness.deploy.rpiboot_wire import CHIPS, VENDOR, Chip
from harness.errors import LabError, UsageError
from harness.host import Progress
from harness.model import BaseImage, BoardProfile, BootFiles, Manifest

FEATURE = "rpiboot"
OTG_TAKEN = "the processor's only USB port goes to the Ethernet and hub chip on the board"
BY_EEPROM = "it does so only with BOOT_ORDER 0x3 in its EEPROM; then say `features: [rpiboot]` at the target"
CANNOT = {
    "rpi-3-b": OTG_TAKEN,
    "rpi-3-b-plus": OTG_TAKEN,
    "rpi-4-b": BY_EEPROM,
    "rpi-400": BY_EEPROM,
}
"""Board model -> why its boot ROM does not ask over USB."""
FIRMWARE_HINT = "the boot partition of Raspberry Pi OS has most of them, `bootcode4.bin` comes with rpiboot itself"
SILENT_HINT = (
    "is the USB cable in the port that leads to the processor, the card out, and on a Compute Module nRPIBOOT "
    "(EMMC_DISABLE) fitted? `dmesg` shows the boot ROM when it comes"
)


@target_factory.reg_resource
@attr.s(eq=False)
class RpibootPort(Resource):
    """Where the board's own USB port is plugged into this lab host.

    Args:
        path: as in /sys/bus/usb/devices, e.g. ``1-1.4``; by default whichever board of the model comes
    """

    path: str = attr.ib(default="", validator=attr.validators.matches_re(r"(\d+-\d+(\.\d+)*)?"))


@target_factory.reg_driver
@attr.s(eq=False)
class RpibootDriver(Driver, DeployProtocol):
    """Serves the boot files at every power-on and reset, from ``deploy`` on until it is deactivated.

    Args:
        firmware: folder with the files that no kernel brings (bootcode.bin or bootcode4.bin, start*.elf, fixup*.dat)
            and the stock config.txt and cmdline.txt; relative to lab.yaml
        model: board model; by default the ``model`` option of the target
        appear: seconds from power-on within which the boot ROM must come to the bus and the kernel be asked for
    """

    bindings = {"port": RpibootPort}  # noqa: RUF012 - labgrid's own way to say it
    firmware: str = attr.ib(validator=attr.validators.instance_of(str))
    model: str = attr.ib(default="", validator=attr.validators.instance_of(str))
    appear: float = attr.ib(default=30.0, validator=attr.validators.instance_of((int, float)))

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.backend: Any = None
        """pyusb's; None: libusb."""
        self._server: BootServer | None = None
        self._offered: frozenset[str] = frozenset()
        self._powered = 0.0

    # --- labgrid's life cycle -----------------------------------------------------------------------------------------
    def on_activate(self) -> None:
        """Look at the model; UsageError with the reason where it has no boot ROM that asks over USB."""
        board = self._board()
        if FEATURE not in board.features | self._own_features():
            reason = CANNOT.get(board.name, "its profile in harness/boards does not name the feature `rpiboot`")
            raise UsageError(
                f"{self.target.name}: a {board.title} cannot be booted over USB: {reason}",
                hint=f"models that can: {', '.join(sorted(_able()))}",
            )

    def on_deactivate(self) -> None:
        """Serve no more."""
        self._end()

    # --- what every deploy method does --------------------------------------------------------------------------------
    def use(self, base: BaseImage) -> None:
        """Nothing of the base image is used: the root filesystem lies elsewhere."""

    def stock(self) -> Mapping[str, bytes]:
        """Return the text files of the folder with the firmware, as the board would get them."""
        return Offer((), self._folder()).texts(self._chip().folder)

    @Driver.check_active
    @step(args=[])
    def deploy(self, files: BootFiles, *, progress: Progress = host.silent) -> Manifest:
        """Offer *files* from now on; returns what is offered: what the board took, ``fetched`` tells after a boot.

        LabError when the folder with the firmware lacks what the board cannot start without.
        """
        started = time.monotonic()
        self._end()
        board, chip, offer = self._board(), self._chip(), Offer(files.files, self._folder())
        needed = (chip.second_stage, *board.start_elf)
        if not offer.find(needed[0], chip.folder) or not any(offer.find(name, chip.folder) for name in needed[1:]):
            raise LabError(
                f"{self.target.name}: {self._folder()} lacks {needed[0]}, or {' and '.join(needed[1:])}",
                hint=FIRMWARE_HINT,
            )
        progress("rpiboot: ready to serve at power-on")
        self._offered = frozenset(str(file.path) for file in files.files)
        self._server = BootServer(offer, soc=chip.soc, path=self.port.path, backend=self.backend)
        digests = {str(file.path): hashlib.sha256(file.read()).hexdigest() for file in files.files}
        return Manifest(digests, {}, (), time.monotonic() - started)

    @Driver.check_active
    @step(args=[])
    def restore(self, *, progress: Progress = host.silent) -> None:
        """Serve no more: nothing of ours lies on the board."""
        self._end()
        progress("restore: rpiboot has written nothing")

    def expect_boot(self) -> None:
        """Take note that the power comes now."""
        self._powered = time.monotonic()
        if self._server:
            self._server.expect()

    def fetched(self) -> Manifest | None:
        """Return what the board took since then, path -> SHA-256; None when nothing is served.

        LabError for what went wrong in the server, for a board that did not ask, and for one that did not ask for the
        kernel: whatever runs on it is not what was deployed.
        """
        if self._server is None:
            return None
        try:
            boot = self._server.wait(self._has_kernel, self._powered + self.appear - time.monotonic())
        except LabError as error:
            message = f"{self.target.name}: {error.message}"
            raise LabError(message, hint=error.hint, evidence=error.evidence) from error
        if boot is None:
            raise self._never_came()
        if not self._has_kernel(boot):
            raise self._not_ours(boot)
        return Manifest(dict(boot.files), {}, tuple(boot.files), boot.ended - boot.began)

    @property
    def said(self) -> Mapping[str, str]:
        """What the board said of itself at its last start, e.g. its serial number; empty for older firmware."""
        with contextlib.suppress(LabError):
            boot = self._server.boot if self._server else None
            return dict(boot.said) if boot else {}
        return {}

    def _has_kernel(self, boot: Boot) -> bool:
        """Tell whether the board has taken more of ours than the texts, which every firmware reads."""
        return any(path in self._offered and not path.endswith(".txt") for path in boot.files)

    # --- faults -------------------------------------------------------------------------------------------------------
    def _never_came(self) -> LabError:
        wanted = ", ".join(f"{VENDOR:04x}:{product:04x}" for product, chip in CHIPS.items() if chip == self._chip())
        where = f"at USB {self.port.path}" if self.port.path else "on any USB port"
        return LabError(
            f"{self.target.name}: no boot ROM ({wanted}) {where} within {self.appear:.0f} s of power-on",
            evidence=[usbbus.described(each) for each in usbbus.devices(backend=self.backend, idVendor=VENDOR)],
            hint=SILENT_HINT,
        )

    def _not_ours(self, boot: Boot) -> LabError:
        last = list(boot.files)[-1] if boot.files else "nothing"
        return LabError(
            f"{self.target.name}: the board took {len(boot.files)} files over USB, {last} last, and not our kernel",
            evidence=[f"asked for, and not there: {name}" for name in dict.fromkeys(boot.missing)][-8:],
            hint="firmware and second stage must fit each other: take both from one release",
        )

    # --- what lab.yaml says -------------------------------------------------------------------------------------------
    def _board(self) -> BoardProfile:
        return boards.load(self.model or self.target.env.config.get_target_option(self.target.name, "model"))

    def _own_features(self) -> frozenset[str]:
        """Return the features that lab.yaml gives the target beyond its model's."""
        if self.target.env is None:
            return frozenset()
        return frozenset(self.target.env.config.get_targets()[self.target.name].get("features", ()))

    def _chip(self) -> Chip:
        soc = self._board().soc
        return next(chip for chip in CHIPS.values() if chip.soc == soc)

    def _folder(self) -> Path:
        """Return the folder with the firmware; LabError when there is none."""
        path = Path(self.target.env.config.resolve_path(self.firmware) if self.target.env else self.firmware)
        if not path.is_dir():
            raise LabError(f"{self.target.name}: no folder {path} with the board's firmware", hint=FIRMWARE_HINT)
        return path

    def _end(self) -> None:
        if self._server:
            self._server.close()
            self._server = None


def _able() -> list[str]:
    return [name for name in boards.names() if FEATURE in boards.load(name).features]
