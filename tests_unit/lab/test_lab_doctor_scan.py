"""`pi64 doctor --scan`: what is plugged in becomes lab.yaml, which our own reader accepts and labgrid matches."""

from pathlib import Path

import pytest
import usbbackend
import yaml
from fakehost import PCI, FakeHost

from harness import cli
from harness.lab import config
from harness.lab.doctor import scan, usbtree
from harness.lab.doctor.scan import Plugged

NO_HUBS = usbbackend.Bus()


@pytest.fixture
def host(tmp_path) -> FakeHost:
    return FakeHost(tmp_path / "host")


def scanned(host: FakeHost) -> list[Plugged]:
    return scan.found(host.roots, backend=NO_HUBS)


def resources(host: FakeHost) -> list[tuple[str, dict]]:
    return [(one.resource, one.arguments) for one in scanned(host)]


def test_an_adapter_with_a_number_of_its_own_is_matched_by_it(host) -> None:
    host.usb("1-1", "0403", "6001", serial="A50285BI")
    host.tty("1-1", "ttyUSB0")
    assert resources(host) == [("USBSerialPort", {"match": {"ID_SERIAL_SHORT": "A50285BI"}})]


@pytest.mark.parametrize(
    ("vendor", "product", "serial"), [("1a86", "7523", ""), ("10c4", "ea60", "0001")], ids=["CH340", "clone"]
)
def test_one_without_is_matched_by_its_place(host, vendor, product, serial) -> None:
    host.usb("1-1", vendor, product, serial=serial)
    host.tty("1-1", "ttyUSB0")
    assert resources(host) == [("USBSerialPort", {"match": {"ID_PATH": f"{PCI}-usb-0:1:1.0"}})]


def test_two_with_one_number_are_matched_by_their_places_and_named(host) -> None:
    for place in ("1-1", "1-2"):
        host.usb(place, "0403", "6001", serial="A50285BI")
        host.tty(place, f"ttyUSB{place[-1]}")
    found = yaml.safe_load(scan.to_yaml(scanned(host)))["resources"]
    assert [entry["USBSerialPort"]["name"] for entry in found] == ["usbserialport-1", "usbserialport-2"]
    assert all("ID_PATH" in entry["USBSerialPort"]["match"] for entry in found)


def test_ports_of_one_adapter_are_told_apart_by_their_interface(host) -> None:
    host.usb("1-1", "0403", "6010", serial="FT5")
    host.tty("1-1", "ttyUSB0")
    host.tty("1-1", "ttyUSB1", interface=1)
    matches = [arguments["match"] for _, arguments in resources(host)]
    assert matches == [{"ID_SERIAL_SHORT": "FT5", "ID_USB_INTERFACE_NUM": number} for number in ("00", "01")]


def test_a_debug_probe_is_a_serial_port(host) -> None:
    host.usb("1-1", "2e8a", "000c", serial="E6616408")
    host.tty("1-1", "ttyACM0", interface=1)
    (one,) = scanned(host)
    assert one.resource == "USBSerialPort"
    assert one.about == "Raspberry Pi Debug Probe (2e8a:000c), serial number E6616408, at 1-1, /dev/ttyACM0"


def test_a_muxs_disk_is_no_card_reader(host) -> None:
    host.usb("1-1", "0424", "4041", serial="00042", speed="480")
    host.disk("1-1", "sda")
    assert [name for name, _ in resources(host)] == ["USBSDMuxDevice"]


def test_an_sdwire_is_told_from_an_adapter_with_its_numbers(host) -> None:
    host.usb("1-1", "0424", "2640", hub=True)
    host.usb("1-1.1", "04e8", "6001", serial="sdw-7")
    host.usb("1-1.2", "0424", "4050")
    host.disk("1-1.2", "sdb")
    host.usb("1-2", "04e8", "6001", serial="x")
    assert resources(host) == [("USBSDWireDevice", {"match": {"ID_SERIAL_SHORT": "sdw-7"}})]


def test_a_card_reader_and_a_relay_are_found(host) -> None:
    host.usb("1-1", "0bda", "0316", serial="20120501")
    host.disk("1-1", "sda")
    host.usb("1-2", "16c0", "05df")
    found = dict(resources(host))
    assert found["USBMassStorage"] == {"match": {"ID_SERIAL_SHORT": "20120501"}}
    assert found["HIDRelay"] == {"match": {"ID_PATH": f"{PCI}-usb-0:2"}, "index": 1}


def test_a_board_that_waits_for_rpiboot_is_told(host) -> None:
    host.usb("1-1", "0a5c", "2764")
    (one,) = scanned(host)
    assert one.resource == ""
    assert "waits for rpiboot" in one.about


def test_hubs_that_can_switch_their_ports_are_found(host) -> None:
    bus = usbbackend.Bus(
        usbbackend.Hub("1-1", mode=1, version=0x0200),
        usbbackend.Hub("1-2", mode=0, version=0x0200),
        usbbackend.Hub("1-3", mode=2, version=0x0200),
    )
    found = [(one.resource, one.arguments) for one in scan.found(host.roots, backend=bus)]
    assert found == [
        ("USBHubPort", {"hub": "1-1", "port": 1}),
        ("USBHubPort", {"hub": "1-2", "port": 1, "ganged": True}),
    ]
    assert bus.opened == 0


def test_a_hub_that_may_not_be_opened_is_told_with_the_udev_rule(host) -> None:
    hub = usbbackend.Hub("1-1")
    hub.denied = True
    (one,) = scan.found(host.roots, backend=usbbackend.Bus(hub))
    assert one.resource == ""
    assert "udev/rules.d" in one.about


def test_where_udev_does_not_run_that_is_said_first(tmp_path) -> None:
    host = FakeHost(tmp_path / "host", udev=False)
    host.usb("1-1", "1a86", "7523")
    host.tty("1-1", "ttyUSB0")
    note, port = scanned(host)
    assert "/run/udev" in note.about
    assert port.arguments == {"match": {"@sys_name": "1-1"}}


def test_hostile_names_are_comments_of_one_line_and_no_yaml(host) -> None:
    host.usb("1-1", "dead", "beef", serial="x\n  - Evil: {}", product="y\n- Evil: {}\x1b[2J")
    host.tty("1-1", "ttyACM0")
    text = scan.to_yaml(scanned(host))
    assert "\x1b" not in text
    assert [list(entry) for entry in yaml.safe_load(text)["resources"]] == [["USBSerialPort"]]


def test_what_is_printed_can_be_pasted_into_lab_yaml(host, tmp_path) -> None:
    host.usb("1-1", "0403", "6001", serial="12345678901")
    host.tty("1-1", "ttyUSB0")
    host.usb("1-2", "0424", "4041", serial="00042", speed="480")
    host.disk("1-2", "sda")
    bus = usbbackend.Bus(usbbackend.Hub("1-3", version=0x0200))
    text = scan.to_yaml(scan.found(host.roots, backend=bus))
    pasted = "\n".join(f"    {line}" for line in text.splitlines())
    lab = f"""
imports: [harness.lab.drivers]
targets:
  rpi:
    options: {{model: rpi-3-b}}
{pasted}
    drivers:
      SerialDriver: {{}}
      USBHubPowerDriver: {{}}
      RaspberryPiStrategy: {{}}
"""
    assert list(config.parse(lab, tmp_path / "lab.yaml").targets) == ["rpi"]


def test_what_is_printed_fits_the_device_it_was_printed_for(host) -> None:
    host.usb("1-1", "1a86", "7523")
    tty = host.tty("1-1", "ttyUSB0").name
    host.usb("1-2", "1a86", "7523")
    host.tty("1-2", "ttyUSB1")
    devices = usbtree.read(host.roots.sys, host.roots.run)
    matches = [arguments["match"] for _, arguments in resources(host)]
    (first,) = usbtree.matching({"SUBSYSTEM": "tty", **matches[0]}, devices)
    assert first.sys_name == tty


def test_the_command_prints_yaml_or_json_and_returns_0(capsys, monkeypatch) -> None:
    monkeypatch.setattr(scan, "found", lambda roots: [Plugged("an adapter", "USBSerialPort", {"match": {"a": "b"}})])
    assert cli.main(["doctor", "--scan"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == {"resources": [{"USBSerialPort": {"match": {"a": "b"}}}]}
    assert cli.main(["doctor", "--scan", "--json"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["resources"] == [
        {"about": "an adapter", "resource": "USBSerialPort", "arguments": {"match": {"a": "b"}}}
    ]


def test_scan_of_one_board_is_a_mistake(capsys) -> None:
    assert cli.main(["doctor", "--scan", "--board", "rpi4"]) == 2
    assert "leave --board out" in capsys.readouterr().err


def test_an_empty_bus_is_said_in_words(tmp_path) -> None:
    assert scan.to_yaml([]) == "# nothing that a lab could use is plugged in"
    assert (
        scan.found(type(FakeHost(tmp_path / "h").roots)(sys=Path("/nowhere"), run=Path("/nowhere")), backend=NO_HUBS)
        == []
    )
