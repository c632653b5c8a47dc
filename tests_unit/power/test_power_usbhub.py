"""The USB hub's port as a power switch, made by labgrid from a lab.yaml; the hub is scripted behind pyusb's backend."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import usb.backend.libusb0
import usb.backend.libusb1
import usb.backend.openusb
import usbbackend
from labgrid import Environment
from usbbackend import Bus, Gadget, Hub, usb3_hub

from harness.errors import ConfigError, LabError
from harness.lab import config
from harness.power import hub as hubs
from harness.power import usbhub

LAB = """\
imports: [harness.lab.drivers]
targets:
  pi:
    options: {{model: rpi-3-b}}
    resources:
      USBHubPort: {{{port}}}
    drivers:
      USBHubPowerDriver: {{{driver}}}
"""
STRATEGY = "      RaspberryPiStrategy: {}\n"
PORT = "hub: 1-1.4, port: 3"
QUICK = "settle: 0.1, delay: 0.0"


@pytest.fixture(autouse=True)
def _soon(monkeypatch) -> None:
    monkeypatch.setattr(usbhub, "SWITCH_S", 0.5)


@pytest.fixture
def switch(tmp_path: Path):
    """A function that makes the driver of a lab.yaml with this port, on a bus with these devices."""
    made = []

    def make(bus: Bus, port: str = PORT, driver: str = QUICK) -> Any:
        path = tmp_path / "lab.yaml"
        path.write_text(LAB.format(port=port, driver=driver))
        environment = Environment(str(path))
        made.append(environment)
        found = environment.get_target("pi").get_driver("PowerProtocol")
        found.backend = bus
        return found

    yield make
    for environment in made:
        environment.cleanup()


def fails(act: Callable[[], object]) -> LabError:
    with pytest.raises(LabError) as caught:
        act()
    assert caught.value.message.startswith("pi: ")
    return caught.value


# --- switching -------------------------------------------------------------------------------------------------------
def test_a_port_goes_off_and_on_and_no_other_does(switch) -> None:
    hub = Hub("1-1.4", version=0x0200)
    power = switch(Bus(hub))
    power.off()
    assert hub.powered == {1: True, 2: True, 3: False, 4: True}
    assert power.get() is False
    power.on()
    assert all(hub.powered.values())
    assert power.get() is True


def test_the_requests_are_those_of_the_usb_2_specification(switch) -> None:
    bus = Bus(Hub("1-1.4", version=0x0200))
    switch(bus, driver="settle: 0.0").off()
    assert bus.log == [
        ("control", 0xA0, 6, 0x2900, 0, 12),  # GetHubDescriptor
        ("control", 0x23, 1, 8, 3, 0),  # ClearPortFeature(PORT_POWER), port 3
        ("control", 0xA3, 0, 0, 3, 4),  # GetPortStatus, port 3
    ]


def test_the_requests_are_those_of_the_usb_3_specification(switch) -> None:
    bus = Bus(Hub("2-1.4", version=0x0320))
    switch(bus, port="hub: 2-1.4, port: 3, sibling: none").on()
    assert bus.log == [
        ("control", 0xA0, 6, 0x2A00, 0, 12),
        ("control", 0x23, 3, 8, 3, 0),
        ("control", 0xA3, 0, 0, 3, 4),
    ]


def test_a_cycle_and_a_reset_cut_the_5_volts_once_each(switch) -> None:
    hub, seen = Hub("1-1.4", version=0x0200), []
    usbbackend.feed([hub], 3, seen.append)
    power = switch(Bus(hub))
    power.cycle()
    power.reset()
    assert seen == [False, True, False, True]


def test_a_kernel_that_switches_the_port_on_again_is_answered_with_another_off(switch) -> None:
    hub = Hub("1-1.4", version=0x0200)
    hub.again = 3
    power = switch(Bus(hub))
    power.off()
    assert power.get() is False
    assert hub.told == [(3, False)] * 4


def test_the_hub_is_let_go_after_each_act(switch) -> None:
    """A hub that somebody holds open never sleeps, and another program may want it."""
    bus = Bus(*usb3_hub("1-1.4", "2-1.4", serial="0815"))
    power = switch(bus, port="hub: serial:0815, port: 3")
    power.cycle()
    power.get()
    assert bus.opened == 0


def test_a_root_hub_is_named_as_linux_names_it(switch) -> None:
    hub = Hub("usb1", version=0x0200)
    switch(Bus(hub), port="hub: usb1, port: 2").off()
    assert not hub.powered[2]


# --- both halves of a USB 3 hub --------------------------------------------------------------------------------------
@pytest.mark.parametrize("named", ["1-1.4", "2-1.4", "serial:0815"])
def test_both_halves_are_switched_whichever_is_named(switch, named: str) -> None:
    """One half alone would leave the 5 V on."""
    halves, seen = usb3_hub("1-1.4", "2-1.4", serial="0815"), []
    usbbackend.feed(halves, 3, seen.append)
    power = switch(Bus(*halves), port=f"hub: '{named}', port: 3")
    power.off()
    assert seen == [False]
    assert [half.powered[3] for half in halves] == [False, False]
    power.on()
    assert seen == [False, True]


def test_a_port_with_power_from_one_half_is_on(switch) -> None:
    halves = usb3_hub("1-1.4", "2-1.4")
    power = switch(Bus(*halves))
    power.off()
    halves[1].powered[3] = True
    assert power.get() is True


def test_the_other_half_is_found_by_its_container_id_wherever_it_is(switch) -> None:
    halves, other = usb3_hub("1-1.4", "4-2"), Hub("2-1.4", version=0x0320)
    other.container = bytes([7] * 16)
    switch(Bus(*halves, other)).off()
    assert [half.powered[3] for half in (*halves, other)] == [False, False, True]


def test_of_several_hubs_with_one_container_id_the_one_on_the_same_path_is_the_other_half(switch) -> None:
    first, second = usb3_hub("1-1.4", "2-1.4"), usb3_hub("1-1.3", "2-1.3")
    switch(Bus(*first, *second)).off()
    assert [half.powered[3] for half in (*first, *second)] == [False, False, True, True]


def test_several_hubs_with_one_container_id_elsewhere_are_told_apart_by_hand(switch) -> None:
    halves, third = usb3_hub("1-1.4", "4-2"), Hub("4-3", version=0x0320)
    third.container = halves[0].container
    bus = Bus(*halves, third)
    fault = fails(switch(bus).off)
    assert "its other half cannot be told: several have its container id" in fault.message
    assert fault.evidence == ("USB 3 hub 4-2 (2109:0817)", "USB 3 hub 4-3 (2109:2817)")
    assert "`sibling: PATH`" in fault.hint
    switch(bus, port=f"{PORT}, sibling: '4-2'").off()
    assert [half.powered[3] for half in (*halves, third)] == [False, False, True]


def test_a_usb_3_hub_at_a_usb_2_port_has_one_half(switch) -> None:
    hub, _ = usb3_hub("1-1.4", "2-1.4")
    switch(Bus(hub)).off()
    assert not hub.powered[3]


def test_a_usb_3_half_without_the_other_is_not_switched_alone(switch) -> None:
    _, hub = usb3_hub("1-1.4", "2-1.4")
    fault = fails(switch(Bus(hub), port="hub: 2-1.4, port: 3").off)
    assert "no USB 2 hub has its container id" in fault.message
    assert hub.powered[3]


def test_a_hub_without_container_id_beside_one_like_it_is_not_switched_alone(switch) -> None:
    bus = Bus(Hub("1-1.4", version=0x0200), Hub("2-1.4", version=0x0300))
    assert "it has no container id, and there is one like it" in fails(switch(bus).off).message


def test_an_other_half_that_may_not_be_asked_is_told_with_the_udev_rule(switch) -> None:
    halves = usb3_hub("1-1.4", "2-1.4")
    halves[1].denied = True
    fault = fails(switch(Bus(*halves)).off)
    assert "cannot be asked" in fault.message
    assert 'ATTR{idProduct}=="0817"' in fault.hint


def test_a_sibling_of_the_same_kind_is_none(switch) -> None:
    bus = Bus(Hub("1-1.4", version=0x0200), Hub("1-1.3", version=0x0200))
    fault = fails(switch(bus, port=f"{PORT}, sibling: 1-1.3").off)
    assert "cannot be the other half" in fault.message


# --- hubs that cannot ------------------------------------------------------------------------------------------------
def test_a_hub_that_answers_and_does_not_switch_is_found_out(switch) -> None:
    hub = Hub("1-1.4", version=0x0200)
    hub.obeys = False
    fault = fails(switch(Bus(hub)).off)
    assert "answers and does not switch: port 3 is still on" in fault.message
    assert fault.evidence == ("USB 2 hub 1-1.4 (2109:2817): port 3 has status 0x0100",)
    assert "docs/power.md" in fault.hint


def test_a_half_that_stays_on_is_found_out(switch) -> None:
    halves = usb3_hub("1-1.4", "2-1.4")
    halves[1].obeys = False
    assert "USB 3 hub 2-1.4 (2109:0817) answers and does not switch" in fails(switch(Bus(*halves)).off).message


def test_over_current_is_told(switch) -> None:
    hub = Hub("1-1.4", version=0x0200)
    power = switch(Bus(hub))
    power.off()
    hub.obeys, hub.extra = False, 0x0008
    fault = fails(power.on)
    assert "still off" in fault.message
    assert "over-current" in fault.hint


@pytest.mark.parametrize("mode", [2, 3])
def test_a_hub_that_says_that_it_switches_nothing_is_not_believed_to(switch, mode: int) -> None:
    """Its port status goes off when told so; the 5 V do not (USB 2.0, 11.11)."""
    hub = Hub("1-1.4", version=0x0200, mode=mode)
    fault = fails(switch(Bus(hub), port=f"{PORT}, ganged: true").off)
    assert "switches no port: it says so itself" in fault.message
    assert hub.told == []


def test_a_gang_is_refused_with_what_would_go_off_as_well(switch) -> None:
    hub = Hub("1-1.4", version=0x0200, mode=0)
    adapter = Gadget("1-1.4.2", vendor=0x0403, product=0x6001, strings={2: "FT232R\x1b[31m USB UART"})
    fault = fails(switch(Bus(hub, adapter, Gadget("1-1.4.3"), Gadget("1-1.5"))).off)
    assert "switches all its ports together: with port 3 go 1, 2, 4" in fault.message
    assert fault.evidence == (r"port 2: 1-1.4.2 0403:6001 FT232R\x1b[31m USB UART",)
    assert "`ganged: true`" in fault.hint
    assert hub.told == []


def test_a_gang_goes_off_and_on_as_a_whole_where_lab_yaml_allows_it(switch) -> None:
    """The hub keeps the 5 V on until its last port is told to go off."""
    hub, seen = Hub("1-1.4", version=0x0200, mode=0), []
    usbbackend.feed([hub], 3, seen.append)
    power = switch(Bus(hub), port=f"{PORT}, ganged: true")
    power.off()
    assert seen == [False]
    power.on()
    assert all(hub.powered.values())


def test_a_gang_in_which_another_port_comes_back_is_not_off(switch) -> None:
    hub = Hub("1-1.4", version=0x0200, mode=0)
    power = switch(Bus(hub), port=f"{PORT}, ganged: true")
    hub.again = 1
    power.off()
    assert not any(hub.powered.values())


def test_a_hub_with_one_port_switches_it_alone(switch) -> None:
    hub = Hub("1-1.4", version=0x0200, mode=0, ports=1)
    switch(Bus(hub), port="hub: 1-1.4, port: 1").off()
    assert hub.powered == {1: False}


# --- the bench -------------------------------------------------------------------------------------------------------
def test_a_hub_that_is_not_plugged_in_is_told_with_those_that_are(switch) -> None:
    there = Hub("1-2", version=0x0200, serial="0815")
    fault = fails(switch(Bus(there)).off)
    assert "no USB hub at 1-1.4: nothing is plugged in there" in fault.message
    assert fault.evidence == ("1-2 2109:2817 Scripted Hub serial:0815",)


def test_what_is_no_hub_is_named(switch) -> None:
    stick = Gadget("1-1.4", vendor=0x0781, product=0x5567, strings={2: "Cruzer Blade"})
    assert "what is there is no hub: 1-1.4 0781:5567 Cruzer Blade" in fails(switch(Bus(stick)).off).message


def test_a_serial_number_that_two_hubs_have_is_told_with_their_paths(switch) -> None:
    twins = [Hub(where, version=0x0200, serial="0001") for where in ("1-1", "1-2")]
    fault = fails(switch(Bus(*twins), port="hub: serial:0001, port: 1").off)
    assert "2 USB 2 hubs have the serial number 0001" in fault.message
    assert [line.split()[0] for line in fault.evidence] == ["1-1", "1-2"]


def test_a_serial_number_that_no_hub_has_is_told(switch) -> None:
    assert "no USB hub with serial number 4711" in fails(switch(Bus(), port="hub: serial:4711, port: 1").off).message


def test_a_hub_unplugged_meanwhile_is_told(switch) -> None:
    hub = Hub("1-1.4", version=0x0200)
    bus = Bus(hub)
    hub.watchers.append(lambda: bus.unplug(hub))
    fault = fails(switch(bus).off)
    assert "status of port 3: USB device 1-1.4 (2109:2817): No such device" in fault.message
    assert "dmesg" in fault.hint


def test_a_user_without_rights_is_given_the_udev_rule(switch) -> None:
    hub = Hub("1-1.4", version=0x0200)
    hub.denied = True
    fault = fails(switch(Bus(hub)).off)
    assert "Permission denied" in fault.message
    assert 'SUBSYSTEM=="usb", ATTR{idVendor}=="2109", ATTR{idProduct}=="2817", GROUP="plugdev"' in fault.hint


def test_a_port_that_the_hub_does_not_have_is_told_with_those_it_has(switch) -> None:
    bus = Bus(Hub("1-1.4", version=0x0200))
    assert "has 4 ports, none with number 7" in fails(switch(bus, port="hub: 1-1.4, port: 7").off).message


def test_a_host_without_libusb_is_told_the_package(switch, monkeypatch) -> None:
    for module in (usb.backend.libusb1, usb.backend.libusb0, usb.backend.openusb):
        monkeypatch.setattr(module, "get_backend", lambda: None)
    fault = fails(switch(None).off)
    assert "no libusb" in fault.message
    assert "apt-get install libusb-1.0-0" in fault.hint


# --- descriptors, from a device that is not trusted ------------------------------------------------------------------
@pytest.mark.parametrize("data", [b"", b"\x09", b"\x09\x29\x04\x09\x00", b"\x09\x2a\x04\x09\x00\x32\x00", b"\xff" * 40])
def test_a_damaged_hub_descriptor_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a USB 2 hub descriptor"):
        hubs.parse_descriptor(data, hubs.USB2)


def test_a_damaged_hub_descriptor_is_the_labs_fault(switch) -> None:
    hub = Hub("1-1.4", version=0x0200)
    hub.control = lambda *_: b"\x09\x29\x04"
    assert "not a USB 2 hub descriptor: 09 29 04" in fails(switch(Bus(hub)).off).message


def test_a_status_cut_short_is_the_labs_fault(switch) -> None:
    hub = Hub("1-1.4", version=0x0200)
    real = hub.control
    hub.control = lambda kind, *rest: b"\x00" if kind == 0xA3 else real(kind, *rest)
    assert "status of port 3: 1 of 4 bytes came" in fails(switch(Bus(hub)).off).message


@pytest.mark.parametrize(
    "bos",
    [
        b"",
        b"\x05\x0f\x05\x00\x00",
        b"\x05\x0f\x20\x00\x01\x00\x10\x04",  # a length of 0 would go on for ever
        b"\x05\x0f\x20\x00\x01\x14\x10\x04\x00" + bytes(4),  # cut off
        b"\x05\x0f\x20\x00\x01\x14\x10\x04\x00" + bytes(16),  # an id that says nothing
    ],
)
def test_a_bos_descriptor_without_a_container_id_has_none(bos: bytes) -> None:
    assert hubs.parse_container(bos) == b""


def test_a_container_id_is_found_behind_other_capabilities() -> None:
    bos = bytes.fromhex("050f 2a00 03 0710020200 0000 0a10030e0001 0a 0affff 1410 04 00") + bytes(range(1, 17))
    assert hubs.parse_container(bos) == bytes(range(1, 17))


def test_a_device_that_stalls_when_asked_for_its_container_id_has_none(switch) -> None:
    hub = Hub("1-1.4", version=0x0210)
    real = hub.control

    def control(kind: int, request: int, value: int, *rest: Any) -> bytes:
        if value >> 8 == usbbackend.BOS:
            raise usbbackend.error(errno.EPIPE)
        return real(kind, request, value, *rest)

    hub.control = control
    switch(Bus(hub)).off()
    assert not hub.powered[3]


# --- lab.yaml --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("port", "driver", "message"),
    [
        ("hub: 1-1.4", "", "`USBHubPort` lacks `port`"),
        ("port: 3", "", "`USBHubPort` lacks `hub`"),
        ("hub: 1.4, port: 3", "", "`hub` of `USBHubPort` is not good: a hub is a path"),
        ("hub: 1-1.4:3, port: 3", "", "`hub` of `USBHubPort` is not good"),
        ("hub: 'serial:', port: 3", "", "`hub` of `USBHubPort` is not good"),
        ("hub: 1-1.4, port: 0", "", "`port` of `USBHubPort` is not good: a port is a number from 1 on"),
        ("hub: 1-1.4, port: true", "", "`port` of `USBHubPort` is not good"),
        (f"{PORT}, sibling: both", "", "`sibling` of `USBHubPort` is not good"),
        (f"{PORT}, ganged: 1", "", "`ganged` of `USBHubPort` is not good"),
        (f"{PORT}, gang: true", "", "unknown key `gang`"),
        (PORT, "delay: soon", "`delay` of `USBHubPowerDriver` is not good: seconds"),
        (PORT, "settle: -1", "`settle` of `USBHubPowerDriver` is not good"),
    ],
)
def test_a_mistake_in_lab_yaml_is_told_with_its_line(port: str, driver: str, message: str) -> None:
    with pytest.raises(ConfigError, match=r"lab\.yaml:\d: ") as caught:
        config.parse(LAB.format(port=port, driver=driver) + STRATEGY, Path("lab.yaml"))
    assert message in caught.value.message


def test_a_good_port_is_good() -> None:
    lab = config.parse(
        LAB.format(port=f"{PORT}, sibling: none, ganged: true", driver=QUICK) + STRATEGY, Path("lab.yaml")
    )
    assert list(lab.targets) == ["pi"]
