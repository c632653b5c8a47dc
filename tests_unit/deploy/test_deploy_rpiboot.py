"""The rpiboot driver as labgrid makes it from a lab.yaml, and as a rung of the ladder; board and bus are scripted."""

import hashlib
import re
import threading
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import usbbackend
from labgrid import Environment
from usbbackend import Board, Bus, Gadget, Hub, firmware, rom

from harness.deploy import rpiboot_server, rpiboot_wire
from harness.errors import ConfigError, LabError, UsageError
from harness.lab import config
from harness.lab.targets import strategy_of
from harness.model import Account, BaseImage, BootFile, BootFiles, Deadlines
from harness.strategy import Assignment

LAB = """\
imports: [harness.lab.drivers]
targets:
  zero:
    features: [{features}]
    options: {{model: {model}}}
    resources:
      RpibootPort: {{{port}}}
      {resources}
    drivers:
      RpibootDriver: {{{driver}}}
      {drivers}
"""
AMPLE = Deadlines(shutdown=60, firmware=60, kernel=60, rootfs=60, init=60, login=60, silence=60)
STOCK = {
    "bootcode.bin": b"second stage",
    "start.elf": b"firmware" * 9000,
    "fixup.dat": b"fix",
    "config.txt": b"stock\n",
}
OURS = {
    "pi64/kernel8.img": b"kernel" * 5000,
    "pi64/cmdline.txt": b"root=/dev/nfs\n",
    "config.txt": b"os_prefix=pi64/\n",
}
SECOND = ("recovery.elf", "config.txt", "start.elf", "fixup.dat")
THIRD = ("config.txt", "dt-blob.bin", "pi64/kernel8.img", "pi64/cmdline.txt", "config.txt")


@pytest.fixture(autouse=True)
def _soon(monkeypatch) -> None:
    for module in (rpiboot_wire, rpiboot_server):
        monkeypatch.setattr(module, "PAUSE_S", 0.01)
    monkeypatch.setattr(rpiboot_server, "POLL_S", 0.01)
    monkeypatch.setattr(rpiboot_server, "ACCESS_S", 0.3)


@pytest.fixture
def lab(tmp_path: Path):
    """A function that makes the target of a lab.yaml whose folder `boot` has the firmware."""
    made = []

    def make(
        *,
        model: str = "rpi-zero-2-w",
        port: str = "path: 1-1.4",
        driver: str = "firmware: boot, appear: 5",
        features: str = "",
        resources: str = "",
        drivers: str = "",
    ) -> Environment:
        path = tmp_path / "lab.yaml"
        words = {"model": model, "port": port, "driver": driver, "features": features}
        path.write_text(LAB.format(**words, resources=resources, drivers=drivers))
        made.append(Environment(str(path)))
        return made[-1]

    for name, content in STOCK.items():
        (tmp_path / "boot" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "boot" / name).write_bytes(content)
    yield make
    for environment in made:
        environment.cleanup()


@pytest.fixture
def medium(lab):
    """A function that makes the driver, on a bus."""

    def make(bus: Bus, **words: str) -> Any:
        found = lab(**words).get_target("zero").get_driver("DeployProtocol")
        found.backend = bus
        return found

    return make


def files(tmp_path: Path) -> BootFiles:
    """A kernel whose image is a file, as a build leaves it."""
    image = tmp_path / "Image"
    image.write_bytes(OURS["pi64/kernel8.img"])
    ours = [
        BootFile(PurePosixPath(name), source=image)
        if name.endswith(".img")
        else BootFile(PurePosixPath(name), data=data)
        for name, data in OURS.items()
    ]
    return BootFiles(tuple(ours), "6.12.1-test", tmp_path, layout="side-by-side", os_prefix="pi64/")


def board(bus: Bus, got: dict[str, bytes | None], *, where: str = "1-1.4", third: Any = THIRD, **more: Any) -> Board:
    """A Zero 2 W: its ROM, bootcode.bin, and start.elf, each on the bus for itself."""
    stages = (lambda: rom([]), lambda: firmware(SECOND, got), lambda: firmware(third, got))
    return Board(bus, where, *stages, **more)


def boots(medium: Any, board: Board) -> Any:
    """Switch on, and return what the board took by the time it has left the bus."""
    left = threading.Event()
    board.done = left.set
    medium.expect_boot()
    board.power(True)
    assert left.wait(20)
    return medium.fetched()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# --- a boot ----------------------------------------------------------------------------------------------------------
def test_the_manifest_is_what_the_board_took(medium, tmp_path) -> None:
    got: dict[str, bytes | None] = {}
    bus = Bus()
    driver = medium(bus)
    offered = driver.deploy(files(tmp_path))
    assert offered.boot == {name: sha(data) for name, data in OURS.items()}
    taken = boots(driver, board(bus, got))
    names = ["bootcode.bin", "config.txt", "start.elf", "fixup.dat", "pi64/kernel8.img", "pi64/cmdline.txt"]
    assert list(taken.written) == names
    assert taken.boot == {name: sha((STOCK | OURS)[name]) for name in names}
    assert taken.modules == {}
    assert got == {name: (STOCK | OURS).get(name) for name in ("recovery.elf", *names[1:], "dt-blob.bin")}


def test_each_start_is_served_and_told_for_itself(medium, tmp_path) -> None:
    """A reset of the guest comes back to the ROM, which asks again."""
    bus = Bus()
    driver = medium(bus)
    driver.deploy(files(tmp_path))
    first = boots(driver, board(bus, {}))
    second = boots(driver, board(bus, {}, third=("pi64/kernel8.img",)))
    assert "pi64/cmdline.txt" in first.boot
    assert list(second.boot)[-1] == "pi64/kernel8.img"


def test_a_firmware_that_goes_on_where_the_last_one_ended_is_served(medium, tmp_path) -> None:
    """It may not leave the bus in between."""
    bus, got = Bus(), {}
    driver = medium(bus)
    driver.deploy(files(tmp_path))

    def both():
        yield from firmware(SECOND, got)
        yield from firmware(THIRD, got)

    assert "pi64/kernel8.img" in boots(driver, Board(bus, "1-1.4", lambda: rom([]), both)).boot


def test_a_board_whose_eeprom_asks_has_no_rom_stage(medium, tmp_path) -> None:
    bus, got = Bus(), {}
    (tmp_path / "boot" / "bootcode4.bin").write_bytes(b"4")
    driver = medium(bus, model="rpi-4-b", features="rpiboot")
    driver.deploy(files(tmp_path))
    one = Board(bus, "1-1.4", lambda: firmware(("start4.elf", "pi64/kernel8.img"), got), product=0x2711)
    one.more["serial_index"] = 1
    one._appear = lambda: bus.plug(usbbackend.Stage(bus, one.where, one.stages[0](), one._next, **one.more))
    assert list(boots(driver, one).boot) == ["pi64/kernel8.img"]


def test_what_the_board_says_of_itself_is_kept(medium, tmp_path) -> None:
    bus = Bus()
    driver = medium(bus)
    driver.deploy(files(tmp_path))
    boots(driver, board(bus, {}, third=("*USER_SERIAL_NUM*a7eb274c", *THIRD)))
    assert driver.said == {"USER_SERIAL_NUM": "a7eb274c"}


def test_the_stock_texts_are_those_that_the_board_would_get(medium, tmp_path) -> None:
    (tmp_path / "boot" / "2710").mkdir()
    (tmp_path / "boot" / "2710" / "config.txt").write_bytes(b"chip\n")
    (tmp_path / "boot" / "cmdline.txt").write_bytes(b"quiet\n")
    assert medium(Bus()).stock() == {"config.txt": b"chip\n", "cmdline.txt": b"quiet\n"}


def test_nothing_is_served_any_more_after_the_driver_is_let_go(medium, tmp_path) -> None:
    bus = Bus()
    driver = medium(bus)
    driver.deploy(files(tmp_path))
    driver.target.deactivate(driver)
    board(bus, {}).power(True)
    assert not [thread for thread in threading.enumerate() if thread.name == "rpiboot"]
    assert bus.log == []
    assert driver.fetched() is None


def test_restoring_ends_the_service_and_writes_nothing(medium, tmp_path) -> None:
    said: list[str] = []
    driver = medium(Bus())
    driver.deploy(files(tmp_path))
    driver.restore(progress=said.append)
    assert said == ["restore: rpiboot has written nothing"]
    assert not [thread for thread in threading.enumerate() if thread.name == "rpiboot"]


# --- which board -----------------------------------------------------------------------------------------------------
def test_a_board_at_another_port_is_left_alone(medium, tmp_path) -> None:
    bus = Bus()
    driver = medium(bus, driver="firmware: boot, appear: 0.2")
    driver.deploy(files(tmp_path))
    driver.expect_boot()
    board(bus, {}, where="1-1.3").power(True)
    with pytest.raises(LabError, match=r"zero: no boot ROM \(0a5c:2764\) at USB 1-1\.4 within 0 s") as caught:
        driver.fetched()
    assert caught.value.evidence == ("1-1.3 0a5c:2764",)
    assert "nRPIBOOT" in caught.value.hint


def test_without_a_path_two_boards_are_not_guessed_at(medium, tmp_path) -> None:
    bus = Bus()
    driver = medium(bus, port="")
    driver.deploy(files(tmp_path))
    driver.expect_boot()
    for where in ("1-2", "1-3"):
        bus.plug(usbbackend.Stage(bus, where, rom([]), lambda: None, product=0x2764))
    bus.plug(usbbackend.Stage(bus, "1-4", rom([]), lambda: None, product=0x2711))  # a CM4 is no Zero 2 W
    with pytest.raises(LabError, match="boards at 1-2, 1-3 wait for boot files"):
        driver.fetched()


def test_another_chip_than_the_models_gets_nothing(medium, tmp_path) -> None:
    bus = Bus()
    driver = medium(bus)
    driver.deploy(files(tmp_path))
    driver.expect_boot()
    Board(bus, "1-1.4", lambda: rom([]), product=0x2711).power(True)
    with pytest.raises(LabError, match=r"zero: the board at USB 1-1\.4 has a BCM2711, not a BCM2837"):
        driver.fetched()
    assert bus.log == []


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("rpi-3-b", "goes to the Ethernet and hub chip"),
        ("rpi-3-b-plus", "goes to the Ethernet and hub chip"),
        ("rpi-4-b", "only with BOOT_ORDER 0x3"),
    ],
)
def test_a_model_that_cannot_is_refused_with_the_reason(medium, model: str, why: str) -> None:
    with pytest.raises(UsageError, match="cannot be booted over USB") as caught:
        medium(Bus(), model=model)
    assert why in caught.value.message
    assert "rpi-3-a-plus, rpi-cm3, rpi-cm4, rpi-zero-2-w" in caught.value.hint


# --- the bench -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["bootcode.bin", "start.elf"])
def test_a_folder_without_the_firmware_is_told_before_the_power_comes(medium, tmp_path, name: str) -> None:
    (tmp_path / "boot" / name).unlink()
    driver = medium(Bus())
    with pytest.raises(LabError, match=r"zero: .*/boot lacks bootcode\.bin, or start\.elf") as caught:
        driver.deploy(files(tmp_path))
    assert "Raspberry Pi OS" in caught.value.hint


def test_a_folder_that_is_not_there_is_told(medium, tmp_path) -> None:
    driver = medium(Bus(), driver="firmware: bott")
    with pytest.raises(LabError, match=r"zero: no folder .*/bott with the board's firmware"):
        driver.stock()


def test_a_user_without_rights_is_given_the_udev_rule(medium, tmp_path) -> None:
    bus = Bus()
    driver = medium(bus)
    driver.deploy(files(tmp_path))
    one = board(bus, {})
    driver.expect_boot()
    one.power(True)
    one.stage.denied = True
    with pytest.raises(LabError, match=r"zero: opening the board's boot ROM: .*Permission denied") as caught:
        driver.fetched()
    assert 'ATTR{idVendor}=="0a5c", ATTR{idProduct}=="2764"' in caught.value.hint


def test_rights_that_udev_sets_a_moment_later_are_waited_for(medium, tmp_path) -> None:
    bus = Bus()
    driver = medium(bus)
    driver.deploy(files(tmp_path))
    one, appear = board(bus, {}), None
    appear = one._appear

    def late() -> None:
        appear()
        stage = one.stage
        stage.denied = True
        threading.Timer(0.1, setattr, (stage, "denied", False)).start()

    one._appear = late
    assert "pi64/kernel8.img" in boots(driver, one).boot


def test_a_board_that_asks_for_something_outside_is_the_labs_fault_at_the_next_call(medium, tmp_path) -> None:
    bus = Bus()
    driver = medium(bus)
    driver.deploy(files(tmp_path))

    def asks():
        yield ("in", usbbackend.message(usbbackend.SIZE, "../lab.yaml"))
        yield ("size",)

    with pytest.raises(LabError, match=r"zero: board at USB 1-1\.4 .* asked for `\.\./lab\.yaml`, which leads out"):
        boots(driver, Board(bus, "1-1.4", lambda: rom([]), asks))


def test_after_a_fault_the_next_start_is_served(medium, tmp_path) -> None:
    bus = Bus()
    driver = medium(bus)
    driver.deploy(files(tmp_path))
    one = board(bus, {}, piece=-1)
    driver.expect_boot()
    one.power(True)
    with pytest.raises(LabError, match="broke off"):
        driver.fetched()
    one.power(False)
    assert "pi64/kernel8.img" in boots(driver, board(bus, {})).boot


def test_a_board_that_takes_its_firmware_and_not_our_kernel_is_told_with_what_it_missed(medium, tmp_path) -> None:
    bus = Bus()
    driver = medium(bus, driver="firmware: boot, appear: 0.5")
    driver.deploy(files(tmp_path))
    with pytest.raises(LabError, match=r"took 4 files over USB, fixup\.dat last, and not our kernel") as caught:
        boots(driver, board(bus, {}, third=("recovery.elf", "kernel7.img")))
    assert caught.value.evidence == ("asked for, and not there: recovery.elf", "asked for, and not there: kernel7.img")


def test_a_board_whose_second_stage_does_not_come_back_is_told(medium, tmp_path) -> None:
    bus = Bus()
    driver = medium(bus, driver="firmware: boot, appear: 0.5")
    driver.deploy(files(tmp_path))
    with pytest.raises(LabError, match=r"took 1 files over USB, bootcode\.bin last, and not our kernel"):
        boots(driver, Board(bus, "1-1.4", lambda: rom([])))


def test_a_fault_of_our_own_is_not_lost_in_the_thread(medium, tmp_path, monkeypatch) -> None:
    bus = Bus()
    driver = medium(bus)
    driver.deploy(files(tmp_path))
    monkeypatch.setattr(rpiboot_server, "is_rom", None)
    driver.expect_boot()
    board(bus, {}).power(True)
    with pytest.raises(LabError, match="zero: serving boot files over USB failed: TypeError"):
        driver.fetched()


# --- lab.yaml --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("port", "driver", "message"),
    [
        ("path: 1.4", "firmware: boot", "`path` of `RpibootPort` is not good"),
        ("path: 1-1.4", "", "`RpibootDriver` lacks `firmware`"),
        ("path: 1-1.4", "firmware: 4", "`firmware` of `RpibootDriver` is not good"),
        ("path: 1-1.4", "firmware: boot, appear: soon", "`appear` of `RpibootDriver` is not good"),
    ],
)
def test_a_mistake_in_lab_yaml_is_told_with_its_line(port: str, driver: str, message: str) -> None:
    words = {"model": "rpi-zero-2-w", "features": "", "resources": "", "drivers": "RaspberryPiStrategy: {}"}
    with pytest.raises(ConfigError, match=r"lab\.yaml:\d+: ") as caught:
        config.parse(LAB.format(port=port, driver=driver, **words), Path("lab.yaml"))
    assert message in caught.value.message


def test_the_targets_of_the_page_are_good() -> None:
    page = (Path(__file__).parents[2] / "docs" / "deploy-rpiboot.md").read_text()
    (block,) = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert list(config.parse(block, Path("lab.yaml")).targets) == ["cm4", "zero2w"]


# --- the ladder ------------------------------------------------------------------------------------------------------
@pytest.fixture
def ladder(lab, pi, tmp_path):
    """A Zero 2 W fed by port 2 of a USB hub, its own USB port in 1-1.4, its console on a pty."""
    hub, bus = Hub("1-1", version=0x0200), Bus()
    bus.plug(hub)
    bus.plug(Gadget("1-3"))
    environment = lab(
        resources=f"RawSerialPort: {{port: {pi.port}}}\n      USBHubPort: {{hub: 1-1, port: 2}}",
        drivers="SerialDriver: {}\n      USBHubPowerDriver: {settle: 0.1}\n      RaspberryPiStrategy: {}",
    )
    strategy = strategy_of(environment, "zero")
    strategy.power.backend = strategy.medium.backend = bus
    strategy.board, strategy.hub = board(bus, {}), hub
    strategy.board.done = pi.power_on

    def switched(on: bool) -> None:
        strategy.board.power(on)
        if not on and pi.powered:
            pi.power_off()

    usbbackend.feed([hub], 2, switched)
    base = BaseImage(tmp_path / "unused", 0, 1, 0, 2, 32, "none", "a test")
    strategy.prepare(Assignment(tmp_path / "record", Account("pi", "raspberry"), AMPLE), base)
    strategy.files = files(tmp_path)
    yield strategy
    strategy.close()


def test_the_ladder_leads_to_a_shell_of_the_kernel_that_was_served(ladder) -> None:
    assert ladder.transition("shell") == ["deployed", "booted", "shell"]
    assert ladder.shell.check("echo hello") == "hello"
    assert ladder.manifest.boot["pi64/kernel8.img"] == sha(OURS["pi64/kernel8.img"])
    assert "bootcode.bin" in ladder.manifest.boot


def test_a_board_that_boots_from_its_card_instead_is_the_labs_fault(ladder, pi) -> None:
    """It comes to its login, but of a kernel that nobody has deployed."""
    ladder.transition("booted")
    ladder.medium.appear = 0.5
    ladder.board._appear = pi.power_on  # a card in the slot, or the jumper gone
    with pytest.raises(LabError, match=r"zero: no boot ROM \(0a5c:2764\) at USB 1-1\.4 within"):
        ladder.cold_boot()
    assert not ladder.hub.powered[2]


def test_a_hub_unplugged_on_the_way_is_the_labs_fault_with_its_next_step(ladder) -> None:
    ladder.transition("booted")
    ladder.power.backend.unplug(ladder.hub)
    with pytest.raises(LabError, match="zero: the power could not be switched off: no USB hub at 1-1") as caught:
        ladder.cold_boot()
    assert "plug the hub in" in caught.value.hint
    ladder.power.backend.plug(ladder.hub)


def test_a_reset_by_the_guest_is_served_again(ladder, pi) -> None:
    ladder.transition("shell")
    pi.to_pi = bytes  # the scripted reboot starts the console's script again; the board asks meanwhile
    real = ladder.shell.send

    def send(command: str) -> None:
        ladder.board.done = lambda: None
        ladder.board.power(True)
        real(command)

    ladder.shell.send = send
    ladder.manifest = None
    assert ladder.reboot().reached
    assert "pi64/kernel8.img" in ladder.manifest.boot


def test_a_transfer_that_breaks_off_at_power_on_is_raised_after_the_watch_and_served_the_next_time(ladder, pi) -> None:
    good = ladder.board.more
    ladder.board.more = good | {"piece": -1}
    ladder.board._next = pi.power_on
    with pytest.raises(LabError, match=r"zero: board at USB 1-1\.4 \(0a5c:2764\): the second stage's header broke off"):
        ladder.transition("booted")
    ladder.board.more = good
    del ladder.board._next
    ladder.start_over()
    assert ladder.transition("shell") == ["deployed", "booted", "shell"]
