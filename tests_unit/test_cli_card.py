"""`pi64 flash` and `pi64 restore`, as a user types them."""

import json
from collections.abc import Iterator
from pathlib import Path

import kernelpair
import pytest
import raspios
from bmapfile import make as make_bmap
from labgrid import Environment
from loopdev import looped
from scriptedmux import Mux
from smallcard import BOOT_OFFSET, ROOT_OFFSET, tool

from harness import cli
from harness.card import disks
from harness.card.disks import Disk
from harness.card.ext4 import Ext4Partition
from harness.card.fat import FatPartition
from harness.deploy.sdmux import SdMuxDeployDriver
from harness.lab import config
from harness.lab.targets import strategy_of

LAB = """
imports: [{imports}]
targets:
  rpi4:
    options:
      model: rpi-4-b
      image: {{file: {image}}}
      login: {{user: pi, password: raspberry}}
    resources:
      USBSDMuxDevice: {{match: {{ID_SERIAL_SHORT: nowhere}}, control_path: /dev/sg9, disk_path: {disk}}}
      NetworkSerialPort: {{host: 127.0.0.1, port: 9}}
    drivers:
      USBSDMuxDriver: {{}}
      ScriptedPowerDriver: {{}}
      SerialDriver: {{}}
      SdMuxDeployDriver: {{medium_timeout: 2}}
      RaspberryPiStrategy: {{}}
  filed:
    options: {{model: rpi-3-b, image: {{file: {image}}}, login: {{user: pi, password: raspberry}}}}
    resources: {{CardImage: {{file: {folder}/card.img}}}}
    drivers: {{VirtualPiDriver: {{}}, CardImageDriver: {{}}, RaspberryPiStrategy: {{}}}}
  bare:
    options: {{model: rpi-3-b, image: {{file: {image}}}, login: {{user: pi, password: raspberry}}}}
    drivers: {{VirtualPiDriver: {{}}, RaspberryPiStrategy: {{}}}}
    resources: {{CardImage: {{}}}}
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return raspios.make(tmp_path_factory.mktemp("image") / "raspios.img", "bookworm")


@pytest.fixture
def mux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mux:
    """A new card in it, on which nothing is."""
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    mux = Mux(tmp_path / "mux", monkeypatch)
    with mux.card.open("wb") as file:
        file.truncate(64 << 20)
    return mux


@pytest.fixture
def lab(tmp_path: Path, image: Path, mux: Mux) -> Path:
    path = tmp_path / "lab.yaml"
    path.write_text(LAB.format(imports="harness.lab.drivers, scriptedmux", image=image, disk=mux.disk, folder=tmp_path))
    return path


def run(*words: object) -> int:
    return cli.main([str(word) for word in words])


def test_flashing_puts_a_system_into_the_mux_that_comes_to_its_login_alone(
    lab: Path, mux: Mux, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("flash", "--board", "rpi4", "--lg-env", lab) == 0
    assert capsys.readouterr().out.startswith("rpi4: off, the card in its mux: 41 MiB of raspios.img written and read")
    assert (mux.turns, mux.mode) == (["host", "dut"], "dut")
    assert "init=" not in FatPartition(mux.card, BOOT_OFFSET).read("cmdline.txt").decode()
    assert "ssh.service" in Ext4Partition(mux.card, ROOT_OFFSET).nodes(raspios.WANTS)


def test_as_it_is_means_byte_for_byte(lab: Path, mux: Mux, image: Path) -> None:
    assert run("flash", "--board", "rpi4", "--lg-env", lab, "--as-it-is") == 0
    assert mux.card.read_bytes()[: image.stat().st_size] == image.read_bytes()


def test_a_block_map_beside_the_image_is_used(
    lab: Path, mux: Mux, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine.img"
    tool(["cp", "--sparse=always", image, mine])
    blocks = image.stat().st_size // 4096
    (tmp_path / "mine.bmap").write_bytes(
        make_bmap(image.read_bytes(), [(0, blocks // 2), (blocks // 2 + 1, blocks - 1)])
    )
    assert run("flash", "--board", "rpi4", "--lg-env", lab, "--image", mine, "--as-it-is") == 0
    assert "(mine.bmap)" in capsys.readouterr().out
    assert mux.card.read_bytes()[: image.stat().st_size] == image.read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--board", "nope"], "no target `nope`"),
        (["--board", "filed"], "filed: no card behind a mux: it deploys with CardImageDriver"),
        (["--board", "rpi4", "--image", "/nowhere.img"], "/nowhere.img: cannot be read"),
        (["--board", "rpi4", "--device", "/dev/nowhere"], "/dev/nowhere: No such file"),
        (["--board", "rpi4", "--device", "/dev/null"], "/dev/null: not a block device"),
    ],
)
def test_a_mistake_is_one_clear_line_and_status_2(
    lab: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert run("flash", "--lg-env", lab, *words) == 2
    assert message in capsys.readouterr().err


def test_a_card_that_is_too_small_is_told(lab: Path, mux: Mux, capsys: pytest.CaptureFixture[str]) -> None:
    mux.fault(lost=True)
    assert run("flash", "--board", "rpi4", "--lg-env", lab) == 2
    assert "no card at the host's side" in capsys.readouterr().err


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Path]:
    card = tmp_path / "reader"
    with card.open("wb") as file:
        file.truncate(64 << 20)
    with looped(card) as device:
        yield device


def test_a_disk_that_is_no_card_is_refused(lab: Path, loop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = loop.read_bytes()
    assert run("flash", "--board", "rpi4", "--lg-env", lab, "--device", loop) == 2
    assert "neither a removable medium nor an SD card" in capsys.readouterr().err
    assert loop.read_bytes() == before


def test_a_card_reader_is_written_without_any_mux(
    lab: Path, mux: Mux, loop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    card = Disk("loop0", (), 64 << 20, removable=True, read_only=False, bus="usb", serial="42", model="", holders=())
    monkeypatch.setattr(disks, "look", lambda _: card)  # udev shows a loop device as what it is
    assert run("flash", "--board", "rpi4", "--lg-env", lab, "--device", loop) == 0
    assert capsys.readouterr().out.startswith(f"{loop}: 41 MiB of raspios.img written and read back")
    assert "ssh.service" in Ext4Partition(loop, ROOT_OFFSET).nodes(raspios.WANTS)
    assert mux.turns == []


# --- restore ---------------------------------------------------------------------------------------------------------
def test_restore_takes_the_kernel_off_the_card_in_the_mux(
    lab: Path, mux: Mux, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("flash", "--board", "rpi4", "--lg-env", lab)
    stock = FatPartition(mux.card, BOOT_OFFSET).digests()
    files = kernelpair.files(tmp_path / "a", "6.12.1-new")
    FatPartition(mux.card, BOOT_OFFSET).write({file.path: file.read() for file in files.files})
    capsys.readouterr()
    assert run("restore", "--board", "rpi4", "--lg-env", lab) == 0
    assert capsys.readouterr().out == "rpi4: off, and its stock system is back\n"
    fat = FatPartition(mux.card, BOOT_OFFSET)
    assert b"pi64" not in fat.read("config.txt")
    assert set(fat.digests()) == set(stock)


def test_restore_of_a_card_image_makes_it_the_base_image(lab: Path, tmp_path: Path) -> None:
    assert run("restore", "--board", "filed", "--lg-env", lab) == 0
    assert Ext4Partition(tmp_path / "card.img", ROOT_OFFSET).exists("/etc/shadow")
    assert json.loads((tmp_path / "card.img.json").read_text())["boot"] == {}


@pytest.mark.parametrize(
    ("board", "message"),
    [("bare", "bare: nothing to restore: this target has no deploy method"), ("nope", "no target `nope`")],
)
def test_restore_says_why_not(lab: Path, capsys: pytest.CaptureFixture[str], board: str, message: str) -> None:
    assert run("restore", "--board", board, "--lg-env", lab) == 2
    assert message in capsys.readouterr().err


def test_restore_with_a_stuck_mux_is_told(lab: Path, mux: Mux, capsys: pytest.CaptureFixture[str]) -> None:
    mux.fault(stuck="dut")
    text = lab.read_text().replace("medium_timeout: 2", "medium_timeout: 2, switch_timeout: 1")
    lab.write_text(text)
    assert run("restore", "--board", "rpi4", "--lg-env", lab) == 2
    assert "rpi4: the mux is stuck" in capsys.readouterr().err


def test_a_mux_that_is_not_plugged_in_is_told_by_how_it_is_known(
    lab: Path, mux: Mux, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.write_text(lab.read_text().replace(f", control_path: /dev/sg9, disk_path: {mux.disk}", ""))
    assert run("restore", "--board", "rpi4", "--lg-env", lab) == 2
    message = capsys.readouterr().err
    assert "rpi4: not plugged in, or not exported: USBSDMuxDevice {'ID_SERIAL_SHORT': 'nowhere'" in message


@pytest.mark.parametrize("board", ["rpi3", "rpi4"])
def test_the_shipped_examples_are_complete(board: str) -> None:
    """They bind on a host that has none of it; nobody's hardware is asked for anything."""
    lab = Path(__file__).parents[1] / "lab.yaml"
    options = config.load(lab).target(board)
    assert (options.kernel.source, options.kernel.ref) == ("https://github.com/raspberrypi/linux.git", "rpi-6.12.y")
    strategy = strategy_of(Environment(str(lab)), board)
    assert isinstance(strategy.medium, SdMuxDeployDriver)
    assert strategy.power
    assert strategy.console
