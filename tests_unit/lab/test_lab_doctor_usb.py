"""What the doctor makes of the USB devices of a host: scripted folders, labgrid's own resources on top."""

from types import SimpleNamespace

import pytest
import usbbackend
from fakehost import PCI, FakeHost
from labgrid import Target
from labgrid.resource.udev import USBMassStorage, USBPowerPort, USBSDMuxDevice, USBSDWireDevice, USBSerialPort

from harness.lab import doctor
from harness.lab.doctor import usblog, usbtree
from harness.lab.doctor.bench import Bench
from harness.lab.doctor.parts import usb
from harness.power.usbhub import USBHubPort

FTDI = ("0403", "6001")
CH340 = ("1a86", "7523")


@pytest.fixture
def host(tmp_path) -> FakeHost:
    return FakeHost(tmp_path / "host")


def devices(host: FakeHost) -> tuple[usbtree.Device, ...]:
    return usbtree.read(host.roots.sys, host.roots.run)


def resource(cls: type = USBSerialPort, **match: str):
    return cls(Target("rpi"), name=None, match=match)


def bench_of(host: FakeHost, *resources: object, **more: object) -> Bench:
    """A bench whose target has *resources*."""
    target = SimpleNamespace(name="rpi", resources=list(resources), drivers=[], env=None)
    bench = Bench(host.folder / "lab.yaml", "rpi", roots=host.roots, clock=lambda: 4000.0, **more)
    vars(bench)["strategy"] = SimpleNamespace(target=target, power=None, console=None, medium=None)
    return bench


def answers(bench: Bench) -> list:
    return [answer for answer in doctor.examine(bench, only=["usb"]) if answer.subject not in {"bus", "udev"}]


# --- what is there ----------------------------------------------------------------------------------------------------
def test_an_adapter_that_is_plugged_in_is_told_with_its_place(host) -> None:
    host.usb("1-1", *FTDI, serial="A50285BI", manufacturer="FTDI", product="FT232R USB UART")
    host.tty("1-1", "ttyUSB0")
    (answer,) = answers(bench_of(host, resource(ID_SERIAL_SHORT="A50285BI")))
    assert answer.state == "ok"
    assert answer.fact == "FTDI FT232R serial adapter (0403:6001) at 1-1 (/dev/ttyUSB0)"


@pytest.mark.parametrize(
    "match",
    [
        {"ID_SERIAL_SHORT": "A50285BI"},
        {"ID_PATH": f"{PCI}-usb-0:1:1.0"},
        {"@ID_SERIAL_SHORT": "A50285BI"},
        {"@sys_name": "1-1"},
        {"@idVendor": "0403"},
        {"sys_name": "ttyUSB0"},
        {"ID_SERIAL_SHORT": "A50285BJ"},
        {"@sys_name": "1-2"},
    ],
)
def test_matching_is_labgrids(host, match) -> None:
    """labgrid's own method decides on the same device."""
    host.usb("1-1", *FTDI, serial="A50285BI")
    host.tty("1-1", "ttyUSB0")
    asked = resource(**match)
    tty = next(device for device in devices(host) if device.subsystem == "tty")
    asked.try_match(_Pyudev(tty))
    assert asked.avail is (usbtree.misses(asked.match, tty) == [])


class _Pyudev:
    """A device as pyudev would have it: the same words, and what only libudev knows."""

    action = None

    def __init__(self, device: usbtree.Device) -> None:
        self._device = device

    def __getattr__(self, name: str):
        return getattr(self._device, name)


@pytest.mark.parametrize("cls", [USBSDMuxDevice, USBMassStorage])
def test_a_device_with_many_interfaces_is_one(host, cls) -> None:
    host.usb("1-1", "0424", "4041", serial="00042", speed="480")
    host.interface("1-1", 1)
    host.disk("1-1", "sda")
    assert [answer.state for answer in answers(bench_of(host, resource(cls)))] == ["ok"]


def test_an_sdwire_is_known_by_the_hub_it_sits_in(host) -> None:
    host.usb("1-1", *("0424", "2640"), hub=True)
    host.usb("1-1.1", "04e8", "6001", serial="sdw-7")
    host.usb("1-2", "04e8", "6001", serial="other")
    (answer,) = answers(bench_of(host, resource(USBSDWireDevice)))
    assert answer.state == "ok"
    assert "1-1.1" in answer.fact


def test_hubs_are_found_by_their_driver(host) -> None:
    host.usb("1-1", "2109", "2817", hub=True)
    port = USBPowerPort(Target("rpi"), name=None, index=1, match={"@sys_name": "1-1"})
    (answer,) = answers(bench_of(host, port))
    assert answer.state == "ok"


# --- what is not ------------------------------------------------------------------------------------------------------
def test_a_wrong_serial_number_is_told_with_the_right_one(host) -> None:
    host.usb("1-1", *FTDI, serial="A50285BI")
    host.tty("1-1", "ttyUSB0")
    (answer,) = answers(bench_of(host, resource(ID_SERIAL_SHORT="A50285BJ")))
    assert answer.state == "fault"
    assert answer.fact.startswith("is gone from USB: no such device; nearest: FTDI FT232R serial adapter")
    assert "ID_SERIAL_SHORT=A50285BI" in answer.fact


def test_a_plug_that_was_pulled_is_told_with_the_time(host) -> None:
    host.kernel_says((3970.0, "usb 1-1.4: USB disconnect, device number 9"))
    (answer,) = answers(bench_of(host, resource(ID_SERIAL_SHORT="A50285BI")))
    assert answer.fact == "is gone from USB: no such device; something left the bus at 1-1.4 30 s ago"
    assert "--scan" in answer.remedy


def test_an_adapter_without_a_driver_is_not_gone(host) -> None:
    host.usb("1-1", *CH340)
    (answer,) = answers(bench_of(host, resource(ID_PATH=f"{PCI}-usb-0:1:1.0")))
    assert "CH340 serial adapter (1a86:7523) is on USB at 1-1, but has no tty" in answer.fact
    assert "modprobe ch341" in answer.remedy
    assert "brltty" in answer.remedy


def test_two_clones_with_one_serial_number_are_a_fault(host) -> None:
    for place, tty in (("1-1", "ttyUSB0"), ("1-2", "ttyUSB1")):
        host.usb(place, "10c4", "ea60", serial="0001")
        host.tty(place, tty)
    (answer,) = answers(bench_of(host, resource(ID_SERIAL_SHORT="0001")))
    assert answer.fact == "2 devices fit: 1-1 (/dev/ttyUSB0), 1-2 (/dev/ttyUSB1)"
    assert "ID_PATH" in answer.remedy


def test_a_plug_that_comes_off_again_and_again_is_loose(host) -> None:
    host.usb("1-1", *FTDI, serial="A50285BI")
    host.tty("1-1", "ttyUSB0")
    host.kernel_says(
        *((second, "usb 1-1: USB disconnect, device number 5") for second in (100.0, 3000.0, 3900.0, 3988.0))
    )
    there, loose = answers(bench_of(host, resource(ID_SERIAL_SHORT="A50285BI")))
    assert (there.state, loose.state) == ("ok", "fault")
    assert loose.fact == "its plug at 1-1 is loose: it left the bus 3 times within the last hour, last 12 s ago"


def test_somebodys_hand_at_the_plug_is_told_and_no_fault(host) -> None:
    host.usb("1-1", *FTDI, serial="A50285BI")
    host.tty("1-1", "ttyUSB0")
    host.kernel_says((3900.0, "usb 1-1: USB disconnect, device number 5"))
    (answer,) = answers(bench_of(host, resource(ID_SERIAL_SHORT="A50285BI")))
    assert answer.state == "ok"
    assert answer.fact.endswith("it left the bus 1 time within the last hour, last 100 s ago")


def test_a_mux_that_runs_slowly_has_a_bad_cable(host) -> None:
    host.usb("1-1", "0424", "4041", serial="00042", speed="12")
    _, slow = answers(bench_of(host, resource(USBSDMuxDevice)))
    assert slow.fact == "runs at 12 Mbit/s, not 480"


def test_without_udev_labgrid_finds_nothing_and_that_is_said(tmp_path) -> None:
    host = FakeHost(tmp_path / "host", udev=False)
    host.usb("1-1", *FTDI, serial="A50285BI")
    (found,) = [answer for answer in doctor.examine(bench_of(host), only=["usb"]) if answer.subject == "udev"]
    assert found.state == "fault"
    assert "/run/udev" in found.remedy


def test_what_a_device_says_of_itself_cannot_reach_the_terminal(host) -> None:
    host.usb("1-1", "dead", "beef", product="evil\x1b]0;owned\x07\u202e", serial="1\x1b[2J")
    host.tty("1-1", "ttyACM0")
    (answer,) = answers(bench_of(host, resource(**{"@sys_name": "1-1"})))
    assert "\\x1b]0;owned" in answer.fact
    assert "\x1b" not in answer.fact + answer.subject
    assert "\u202e" not in answer.fact


def test_a_host_without_usb_is_not_applicable(tmp_path) -> None:
    bench = bench_of(FakeHost(tmp_path / "host"))
    bench.roots = type(bench.roots)(sys=tmp_path / "nowhere", run=tmp_path / "nowhere")
    states = {answer.state for answer in doctor.examine(bench, only=["usb"])}
    assert states == {"n/a"}


# --- the hub that feeds the board -------------------------------------------------------------------------------------
def hub_port(**words: object) -> USBHubPort:
    return USBHubPort(Target("rpi"), name=None, **{"hub": "1-1", "port": 2, **words})


@pytest.mark.parametrize(
    ("mode", "words", "state", "fact"),
    [
        (1, {}, "ok", "per-port"),
        (0, {}, "fault", "switches all its ports together"),
        (0, {"ganged": True}, "ok", "ganged"),
        (2, {}, "fault", "switches no port"),
        (1, {"port": 9}, "fault", "has 4 ports"),
        (1, {"hub": "1-3"}, "fault", "no USB hub at 1-3"),
    ],
)
def test_the_hub_that_feeds_the_board_is_asked_what_it_can(host, mode, words, state, fact) -> None:
    bus = usbbackend.Bus(usbbackend.Hub("1-1", mode=mode, version=0x0200))
    (answer,) = answers(bench_of(host, hub_port(**words), usb_backend=bus))
    assert (answer.state, fact in answer.fact) == (state, True), answer
    assert bus.opened == 0


# --- the kernel log ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("line", "place", "words"),
    [
        ("usb 1-1.2: USB disconnect, device number 5", "1-1.2", "disconnect"),
        ("usb 1-1.2: device descriptor read/64, error -71", "1-1.2", "device descriptor read/64, error -71"),
        (
            "usb usb1-port2: Cannot enable. Maybe the USB cable is bad?",
            "1-2",
            "Cannot enable. Maybe the USB cable is bad?",
        ),
        ("usb 1-1-port3: unable to enumerate USB device", "1-1.3", "unable to enumerate USB device"),
        ("usb usb1-port2: over-current condition", "1-2", "over-current condition"),
    ],
)
def test_trouble_is_read_from_the_kernel_log(line, place, words) -> None:
    (event,) = usblog.parse([f"6,1,5000000,-;{line}", " SUBSYSTEM=usb", "6,2,5000001,-;usb 1-1: new device"])
    assert (event.name, event.seconds, event.words) == (place, 5.0, words)


def test_one_complaint_of_the_kernel_is_enough() -> None:
    events = list(usblog.parse(["6,1,3990000000,-;usb 1-1.2: device descriptor read/64, error -71"]))
    assert usblog.loose(usblog.recent(events, "1-1.2", now=4000.0))
    assert not usblog.loose(usblog.recent(events, "1-1.3", now=4000.0))


def test_what_falls_off_with_its_hub_is_loose_too() -> None:
    events = [usblog.Event("1-1", seconds, "disconnect") for seconds in (1.0, 2.0, 3.0)]
    assert usblog.loose(usblog.recent(events, "1-1.2", now=4.0))


def test_a_kernel_log_that_may_not_be_read_is_none(tmp_path) -> None:
    assert usblog.records(tmp_path / "kmsg") == []


def test_the_words_of_a_match_are_the_persons_own() -> None:
    assert usb.words(resource(ID_SERIAL_SHORT="A1").match) == "ID_SERIAL_SHORT=A1"
    assert "0424" in usb.words(resource(USBSDMuxDevice).match)
