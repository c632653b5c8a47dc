"""A served bench under test: labgrid's real drivers at this end of the loopback, a tiny kernel at the other."""

from pathlib import Path
from typing import Any

from labgrid import Target
from labgrid.driver import NetworkPowerDriver, SerialDriver
from labgrid.resource import NetworkPowerPort, NetworkSerialPort

from harness import boards
from harness.console.expect import ConsoleExpect
from harness.console.recorder import Recorder
from harness.deploy.cardmux import NetworkCardMux, NetworkCardMuxDriver
from harness.virtual.bench import Address, Bench

PROMPT = b"login: "
EVERY = bytes(byte for byte in range(256) if byte not in b"rp~")
"""Every byte that the tiny kernel sends back; the others it obeys."""


class Served:
    """One board of a bench, behind labgrid's own drivers; as a context it records the console."""

    def __init__(self, address: Address, folder: Path, *, protocol: str = "rfc2217") -> None:
        self.address, self._folder, self._protocol = address, folder, protocol
        self.target = Target(address.name)
        base = f"http://127.0.0.1:{address.relay}"
        NetworkPowerPort(
            self.target, name=None, model="rest", host=f"{base}/relay/{{index}}/value", index=address.number
        )
        port = getattr(address, protocol)
        NetworkSerialPort(self.target, name=None, host="127.0.0.1", port=port, protocol=protocol)
        NetworkCardMux(self.target, name=None, host=f"{base}/card/{{index}}/mode", index=address.number)
        self.power = NetworkPowerDriver(self.target, name=None, delay=0.0)
        self.serial = SerialDriver(self.target, name=None)
        self.mux = NetworkCardMuxDriver(self.target, name=None)

    def __enter__(self):
        for driver in (self.power, self.serial, self.mux):
            self.target.activate(driver)
        self.recorder = Recorder(self.serial, self._folder / f"record-{self.address.name}-{self._protocol}")
        self.recorder.start()
        self.console = ConsoleExpect(self.recorder, self.serial)
        self._lifted = self.console.expecting("restart")  # starting and restarting is what is tested here
        self._lifted.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._lifted.__exit__(None, None, None)
        self.recorder.stop()
        for driver in (self.mux, self.serial, self.power):
            self.target.deactivate(driver)

    def boot(self) -> None:
        self.power.on()
        self.console.expect(PROMPT, timeout=60)

    def echo(self, data: bytes) -> bytes:
        """Type *data*, which the kernel sends back, and return what came back."""
        position = self.recorder.position
        self.serial.write(data)
        back = b""
        while len(back) < len(data):
            more = self.recorder.read(position + len(back), timeout=20)
            assert more, f"only {back!r} came back"
            back += more
        return back


def bench(*names: str, **words: Any) -> Bench:
    """A bench of virtual Pi 3s."""
    return Bench(names, boards.load("rpi-3-b"), **words)
