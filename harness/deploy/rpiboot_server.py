"""Serves boot files whenever a board's boot ROM comes to the USB bus: a thread beside the console's."""

import hashlib
import math
import threading
import time
from collections.abc import Callable
from typing import Any

import attrs
import usb.core

from harness import usbbus
from harness.deploy.rpiboot_wire import CHIPS, PAUSE_S, VENDOR, Chip, Link, Shelf, is_rom, send_second_stage, serve
from harness.errors import LabError
from harness.usbbus import Device

POLL_S = 0.2  # between two looks at the bus; the ROM waits for a host without limit
ACCESS_S = 5.0  # until udev has set the rights of a device that has just come
END_S = 25.0  # one question may wait 20 s for its answer, unless the board's power goes


@attrs.define
class Boot:
    """What one start of a board asked for, and got."""

    files: dict[str, str] = attrs.Factory(dict)
    """Path -> SHA-256, in the order in which they were sent."""
    missing: list[str] = attrs.Factory(list)
    said: dict[str, str] = attrs.Factory(dict)
    """What the board said of itself; only newer firmware does."""
    began: float = attrs.Factory(time.monotonic)
    ended: float = attrs.Factory(time.monotonic)

    def sent(self, path: str, content: bytes) -> None:
        """Take note of a file that the board has now."""
        self.files[path] = hashlib.sha256(content).hexdigest()
        self.ended = time.monotonic()

    def missed(self, name: str) -> None:
        """Take note of a file that the board asked for and that there is not."""
        self.missing.append(name)

    def told(self, key: str, value: str) -> None:
        """Take note of something the board said of itself."""
        self.said[key] = value


class BootServer:
    """Waits for a board with a *soc* (at *path*, if that is not empty) and gives it files of *shelf*, at every start.

    A fault stays until ``expect`` and does not end the thread: the next power-on is served again.
    """

    def __init__(self, shelf: Shelf, *, soc: str, path: str, backend: Any = None) -> None:
        self._shelf, self._soc, self._path, self._backend = shelf, soc, path, backend
        self._boot: Boot | None = None
        self._fault: LabError | None = None
        self._barred: tuple[tuple[int, int], float] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rpiboot", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End; returns when nothing more goes out to the board."""
        self._stop.set()
        self._thread.join(END_S)

    def expect(self) -> None:
        """Forget what came until now: the power comes next."""
        self._boot, self._fault = None, None

    def wait(self, enough: Callable[[Boot], bool], timeout_s: float) -> Boot | None:
        """Return the last start since ``expect`` once it is *enough*, or after *timeout_s*; LabError as ``boot``."""
        deadline = time.monotonic() + timeout_s
        while True:
            boot = self.boot
            if (boot and enough(boot)) or time.monotonic() >= deadline:
                return boot
            self._stop.wait(POLL_S)

    @property
    def boot(self) -> Boot | None:
        """The last start since ``expect``, as far as it has come; LabError for what went wrong since then."""
        if self._fault:
            raise self._fault
        boot = self._boot
        return attrs.evolve(boot, files=dict(boot.files), missing=list(boot.missing)) if boot else None

    # --- the thread ---------------------------------------------------------------------------------------------------
    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                device = self._next()
                if device:
                    self._serve(device)
            except LabError as error:
                self._note(error)
            except Exception as error:  # noqa: BLE001 - in a thread nobody else would hear of it
                self._note(LabError(f"serving boot files over USB failed: {type(error).__name__}: {error}"))
            self._stop.wait(POLL_S)

    def _note(self, error: LabError) -> None:
        self._fault = self._fault or error

    def _next(self) -> Device | None:
        """Return the board that has come to the bus and was not served since; LabError for two of them."""
        found = [each for each in usbbus.devices(backend=self._backend, idVendor=VENDOR) if each.idProduct in CHIPS]
        if self._path:
            found = [each for each in found if usbbus.path(each) == self._path]
        else:
            found = [each for each in found if CHIPS[each.idProduct].soc == self._soc]
        if len(found) > 1:
            places = ", ".join(map(usbbus.path, found))
            raise LabError(f"boards at {places} wait for boot files", hint="say which one with `path:` in lab.yaml")
        if found and self._barred:
            who, until = self._barred
            if who == (found[0].bus, found[0].address) and time.monotonic() < until:
                return None
        return found[0] if found else None

    def _bar(self, device: Device, seconds: float) -> None:
        """Leave *device* alone for so long, unless it goes and comes back: with another address then."""
        self._barred = (device.bus, device.address), time.monotonic() + seconds

    def _serve(self, device: Device) -> None:
        """Serve one appearance of the board: its ROM, or its firmware."""
        self._bar(device, math.inf)
        chip = CHIPS[device.idProduct]
        try:
            if chip.soc != self._soc:
                where = usbbus.path(device)
                raise LabError(f"the board at USB {where} has a {chip.title}, not a {self._soc.upper()}")
            link = self._open(device)
            if link is None:
                return
            boot = self._begin(anew=is_rom(device))
            if is_rom(device):
                path, code = self._second_stage(chip)
                boot.sent(path, code)
                send_second_stage(link, code, pause=self._stop.wait)
            else:
                serve(link, chip, self._shelf, boot, stop=self._stop)
                self._bar(device, PAUSE_S)  # the next firmware may go on where this one ended
        finally:
            usbbus.release(device)

    def _begin(self, *, anew: bool) -> Boot:
        if anew or self._boot is None:
            self._boot = Boot()
        return self._boot

    def _open(self, device: Device) -> Link | None:
        """Return the line to *device*, None if it has left again; LabError when it may not be opened."""
        deadline = time.monotonic() + ACCESS_S
        while True:
            try:
                return Link(device)
            except usb.core.USBError as error:
                if error.errno in usbbus.GONE:
                    return None
                late = time.monotonic() > deadline or self._stop.is_set()
                if late or error.errno not in usbbus.DENIED:
                    raise usbbus.fault("opening the board's boot ROM", device, error) from error
            usbbus.release(device)
            self._stop.wait(POLL_S)

    def _second_stage(self, chip: Chip) -> tuple[str, bytes]:
        found = self._shelf.find(chip.second_stage, chip.folder)
        if found is None:
            raise LabError(f"no {chip.second_stage} for the board's boot ROM")
        return found
