"""An SD mux of files: programs with the names and answers of the real ones move a card between two folders."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import attr
import pytest
from labgrid import Target
from labgrid.driver import USBSDMuxDriver, USBSDWire3Driver, USBSDWireDriver
from labgrid.driver.common import Driver
from labgrid.factory import target_factory
from labgrid.protocol import PowerProtocol
from labgrid.resource.udev import USBMassStorage, USBSDMuxDevice, USBSDWire3Device, USBSDWireDevice

USBSDMUX = """\
#!{python}
import json, os, subprocess, sys
from pathlib import Path
here = Path({folder!r})
state = json.loads((here / "state").read_text())
control, mode = sys.argv[1:]
if state["broken"]:
    sys.exit("Could not open /dev/sg9: No such device")
if mode == "get":
    print(state["stuck"] or state["mode"])
elif not state["stuck"]:
    if mode != state["mode"]:
        sides = [here / "dut" / "card", Path(state["disk"])]
        there, arriving = sides if mode == "host" else sides[::-1]
        if mode == "host" and state["late_s"]:
            late = ["sh", "-c", "sleep $0; mv $1 $2", str(state["late_s"]), there, arriving]
            subprocess.Popen(late, start_new_session=True)
        elif not state["lost"]:
            os.replace(there, arriving)
    state["turns"].append(mode)
    state["mode"] = mode
    (here / "state").write_text(json.dumps(state))
"""

SD_MUX_CTRL = """\
#!/bin/sh
case "$1" in
--dut) exec usbsdmux x dut ;;
--ts) exec usbsdmux x host ;;
esac
test "$(usbsdmux x get)" = host && echo "SD connected to: TS" || echo "SD connected to: DUT"
"""
"""As ``sd-mux-ctrl --ts -e SERIAL`` and ``sd-mux-ctrl -e SERIAL -u`` answer."""
SDWIRE = """\
#!/bin/sh
case "$1" in
list) printf 'Serial\\t\\t\\tProduct Info\\n%s\\t[SDWire-3::Realtek]\\tBlock dev: none\\n' bdgrd_sdwirec_18 ;;
switch) test "$4" = ts && exec usbsdmux x host || exec usbsdmux x dut ;;
state) test "$(usbsdmux x get)" = host && echo "bdgrd_sdwirec_18 ts" || echo "bdgrd_sdwirec_18 dut" ;;
esac
"""
"""As ``sdwire list``, ``sdwire switch -s SERIAL ts`` and ``sdwire state -s SERIAL`` answer."""


@target_factory.reg_driver
@attr.s(eq=False)
class ScriptedPowerDriver(Driver, PowerProtocol):
    """A power switch that can be asked."""

    powered: bool = attr.ib(default=False)

    def on(self) -> None:
        self.powered = True

    def off(self) -> None:
        self.powered = False

    def cycle(self) -> None:
        self.on()

    def get(self) -> bool:
        return self.powered


@target_factory.reg_resource
@attr.s(eq=False)
class ScriptedReader(USBMassStorage):
    """A reader whose disk is where it is said to be."""

    disk: str = attr.ib(default="")

    @property
    def path(self) -> str:
        return self.disk


class Mux:
    """The mux, and what is wrong with it; the board has the card first."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.disk = folder, folder / "dev" / "sdx"
        self.card = folder / "dut" / "card"
        for name in ("dev", "dut", "bin"):
            (folder / name).mkdir(parents=True)
        self._put(
            {
                "mode": "dut",
                "disk": str(self.disk),
                "late_s": 0,
                "stuck": "",
                "lost": False,
                "broken": False,
                "turns": [],
            }
        )
        usbsdmux = USBSDMUX.format(python=sys.executable, folder=str(folder))
        for name, text in {"usbsdmux": usbsdmux, "sd-mux-ctrl": SD_MUX_CTRL, "sdwire": SDWIRE}.items():
            (folder / "bin" / name).write_text(text)
            (folder / "bin" / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")

    def fault(self, **what: Any) -> None:
        """Change how it behaves from now on: late_s, stuck, lost, broken."""
        self._put(self._state | what)

    @property
    def turns(self) -> list[str]:
        """The modes it was switched to."""
        turns: list[str] = self._state["turns"]
        return turns

    @property
    def mode(self) -> str:
        return str(self._state["mode"])

    @property
    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.folder / "state").read_text())
        return state

    def _put(self, state: dict[str, Any]) -> None:
        (self.folder / "state").write_text(json.dumps(state))

    def bind(self, target: Target) -> None:
        """Give *target* labgrid's own driver for it; udev knows no device of that serial number."""
        USBSDMuxDevice(
            target, name=None, match={"ID_SERIAL_SHORT": "nowhere"}, control_path="/dev/sg9", disk_path=str(self.disk)
        )
        USBSDMuxDriver(target, name=None)

    def bind_sdwire(self, target: Target) -> None:
        """Give *target* labgrid's driver for an SDWire; as udev would tell it."""
        resource = USBSDWireDevice(target, name=None, match={"ID_SERIAL_SHORT": "sdwire-18"})
        resource.control_serial, resource.disk_path = "sdwire-18", str(self.disk)
        USBSDWireDriver(target, name=None)

    def bind_sdwire3(self, target: Target) -> None:
        """Give *target* labgrid's driver for an SDWire3, and the reader in it by itself."""
        resource = USBSDWire3Device(target, name=None, match={"ID_SERIAL_SHORT": "sdwirec_18"})
        resource.control_serial = "sdwirec_18"
        USBSDWire3Driver(target, name=None)
        ScriptedReader(target, name=None, disk=str(self.disk))
