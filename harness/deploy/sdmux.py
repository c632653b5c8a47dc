"""Deploy onto a real card behind an SD mux: the board's power off, the card at the host's side, and back again.

The mux may hang on this computer or on an exporter's; the work is done where the card is (``cardwork``).
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attr
from labgrid.driver import USBSDMuxDriver, USBSDWire3Driver, USBSDWireDriver
from labgrid.driver.common import Driver
from labgrid.driver.exception import ExecutionError
from labgrid.factory import target_factory
from labgrid.protocol import PowerProtocol
from labgrid.resource.common import NetworkResource
from labgrid.resource.remote import NetworkUSBSDWire3Device
from labgrid.resource.udev import USBSDWire3Device
from labgrid.step import step

from harness import host
from harness.card.firstboot import Account
from harness.card.flashplan import Plan
from harness.deploy import DeployProtocol, cardwork, listing
from harness.deploy.cardwork import Place
from harness.deploy.listing import Listing
from harness.deploy.order import settle
from harness.deploy.reach import Reach
from harness.errors import LabError
from harness.host import Progress
from harness.model import BaseImage, BootFiles, Manifest

MODES = {"ts": "host", "host": "host", "dut": "dut"}
"""What the programs of the muxes call the sides; SDWire's says TS, for test server."""
POLL_S = 0.2
TOOLS = (ExecutionError, OSError, ValueError, LookupError)
"""What labgrid's mux drivers raise; subprocess.CalledProcessError is caught by name, it is none of these."""


@target_factory.reg_driver
@attr.s(eq=False)
class SdMuxDeployDriver(Driver, DeployProtocol):
    """Writes kernel, boot files and modules onto the card in an SD mux, beside the system that is there.

    Only what differs is written. The mux is asked what it did, where it can tell, and the card goes back to the board
    whatever happens.

    Args:
        switch_timeout: seconds a mux may take to say that it has switched
        medium_timeout: seconds the card may take to be readable after that
    """

    bindings = {  # noqa: RUF012 - labgrid's own way to say it
        "mux": {USBSDMuxDriver, USBSDWireDriver, USBSDWire3Driver},
        "storage": {"USBMassStorage", "NetworkUSBMassStorage", None},
        "power": {PowerProtocol, None},
    }
    stock_on_card = True
    switch_timeout: float = attr.ib(default=10.0, converter=float)
    medium_timeout: float = attr.ib(default=30.0, converter=float)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self._base: BaseImage | None = None

    def use(self, base: BaseImage) -> None:
        """Say from which base image the card was made; a card with other partitions is not the one meant."""
        self._base = base

    @Driver.check_active
    @step(args=[])
    def stock(self) -> Mapping[str, bytes]:
        """Return the text files of the card's boot partition as they are. LabError."""
        with self._at_host() as card:
            found = card.look({}, progress=host.silent)
        return {name: text.encode("latin-1") for name, text in found.texts.items()}

    @Driver.check_active
    @step(args=[])
    def deploy(self, files: BootFiles, *, progress: Progress = host.silent) -> Manifest:
        """Bring the card to *files*; returns what was written. LabError: the card boots what it booted before then."""
        started = time.monotonic()
        modules = listing.digests(files.modules_root)
        sizes = {name: (files.modules_root / name).lstat().st_size for name in modules}
        with self._at_host() as card:
            found = card.look(sizes, progress=progress)
            files = settle(files, found.listed, found.live)
            now = Listing(listing.boot(files), modules)
            work = cardwork.plan(files, found, now)
            if not work.order.empty:
                card.write(work, files, progress=progress)
        return Manifest(now.boot, now.modules, work.order.written, time.monotonic() - started)

    @Driver.check_active
    @step(args=[])
    def restore(self, *, progress: Progress = host.silent) -> None:
        """Take what is ours off the card, so that its own system boots. LabError."""
        with self._at_host() as card:
            card.restore(progress=progress)

    @Driver.check_active
    @step(args=[])
    def flash(self, plan: Plan, who: Account | None, *, forced: str = "", progress: Progress = host.silent) -> None:
        """Write a whole image over the card; unless *who* is None, make it come to that account's login by itself."""
        with self._at_host() as card:
            card.flash(plan, forced=forced, progress=progress)
            if who:
                card.prepare(who, progress=progress)

    # --- the mux ------------------------------------------------------------------------------------------------------
    @contextmanager
    def _at_host(self) -> Iterator[Reach]:
        """Yield the card in reach, the board off meanwhile; afterwards the board has it."""
        self._refuse_powered()
        self._switch("host")
        try:
            with self._reach() as reach:
                yield reach
        finally:
            failing = sys.exception() is not None
            try:
                self._switch("dut")
            except LabError as error:
                if not failing:
                    raise
                self.logger.error("%s", error.message)  # noqa: TRY400 - the first error is the one to tell

    def _refuse_powered(self) -> None:
        """Raise LabError when the power switch says that it is on: the card must not be pulled from a running board."""
        if not hasattr(self.power, "get"):
            return
        try:
            powered = self.power.get()
        except NotImplementedError:  # a PDU that cannot be asked
            return
        if powered:
            raise LabError(
                f"{self.target.name}: the board has power: its card is not taken away from under it",
                hint="switch it off first: a transition to `off` does, or `labgrid-client power off`",
            )

    def _switch(self, mode: str) -> None:
        """Hand the card over, and believe it when the mux says so."""
        self._ask(lambda: self.mux.set_mode(mode), f"switch to {mode}")
        deadline = time.monotonic() + self.switch_timeout
        while (found := self._mode()) != mode:
            if time.monotonic() > deadline:
                raise LabError(
                    f"{self.target.name}: the mux is stuck: told to hand the card to `{mode}`, after "
                    f"{self.switch_timeout:.0f} s it says `{found}`",
                    hint="pull its USB plug and put it in again; try by hand: labgrid-client sd-mux get",
                )
            time.sleep(POLL_S)

    def _mode(self) -> str:
        said = str(self._ask(self.mux.get_mode, "tell its mode")).strip().lower()
        return MODES.get(said, said[:40])

    def _ask(self, do: Callable[[], Any], what: str) -> Any:
        try:
            return do()
        except subprocess.CalledProcessError as error:
            words = (error.output or error.stderr or b"").decode(errors="replace").splitlines()[-5:]
            raise LabError(
                f"{self.target.name}: the mux did not {what}: its program returned {error.returncode}", evidence=words
            ) from error
        except TOOLS as error:
            raise LabError(f"{self.target.name}: the mux did not {what}: {_words(error)}") from error

    # --- the card -----------------------------------------------------------------------------------------------------
    def _reach(self) -> Reach:
        resource = self.storage or self.mux.mux
        place = Place(
            device=self._device(resource),
            timeout_s=self.medium_timeout,
            what=f"the card of {self.target.name} ({type(resource).__name__})",
            boot_offset=self.base.boot_offset,
            root_offset=self.base.root_offset,
            origin=self.base.origin,
        )
        return Reach(place, resource if isinstance(resource, NetworkResource) else None)

    def _device(self, resource: Any) -> Path:
        """Return where the card's disk is; labgrid learns that from udev, or from the exporter, when it appears."""
        if isinstance(resource, USBSDWire3Device | NetworkUSBSDWire3Device):
            # labgrid takes any disk of the hub that it is plugged into for the one in it.
            raise LabError(
                f"{self.target.name}: the disk of an SDWire3 has to be named",
                hint="a `USBMassStorage` beside it, with the reader's `match:`; see docs/deploy-sdmux.md",
            )
        deadline = time.monotonic() + self.medium_timeout
        while not resource.path:
            if time.monotonic() > deadline:
                raise LabError(
                    f"{self.target.name}: after {self.medium_timeout:.0f} s labgrid knows no disk "
                    f"of {type(resource).__name__}",
                    hint="is it plugged in, with a card in it? `labgrid-client resources`, or `lsblk`",
                )
            self.target.update_resources()
            time.sleep(POLL_S)
        return Path(resource.path)

    @property
    def base(self) -> BaseImage:
        """The base image that the card was made from."""
        if self._base is None:
            raise LabError(f"{self.target.name}: no base image was chosen for its card")
        return self._base


def _words(error: object) -> str:
    """Return what *error* says; labgrid's hold their text in ``msg``."""
    return str(getattr(error, "msg", None) or error or type(error).__name__).partition("\n")[0][:200]
