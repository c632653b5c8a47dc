"""The mux and the card: labgrid's own mux driver with a scripted program, real card images, a served bench."""

import errno
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
import tinycard
from fakehost import FakeHost
from labgrid import Environment
from smallcard import MIB, make_card

from harness import boards
from harness.errors import UsageError
from harness.lab import doctor
from harness.lab.doctor import cardread, handover
from harness.lab.doctor.answer import Answer
from harness.lab.doctor.bench import Bench
from harness.lab.doctor.parts import card as card_part
from harness.lab.doctor.parts import mux as mux_part
from harness.lab.targets import strategy_of

MUX = """#!{python}
import pathlib, sys
state = pathlib.Path({state!r})
control, mode = sys.argv[1:]
if mode == "get":
    print(state.read_text())
elif not pathlib.Path({stuck!r}).exists():
    state.write_text(mode)
"""
LAB = """
imports: [harness.lab.drivers]
tools: {{usbsdmux: {tool}}}
targets:
  rpi:
    options: {{model: rpi-3-b}}
    resources:
      USBSDMuxDevice: {{match: {{ID_SERIAL_SHORT: "00042"}}}}
      RawSerialPort: {{port: /dev/null}}
    drivers:
      SerialDriver: {{}}
      ExternalPowerDriver: {{cmd_on: "true", cmd_off: "{off}"}}
      USBSDMuxDriver: {{}}
      RaspberryPiStrategy: {{}}
"""
BOARD = boards.load("rpi-3-b")


@attrs.define
class Rig:
    """A mux that is a program with a state file, and a card that it shows to the host."""

    folder: Path
    host: FakeHost
    card: Path

    @property
    def mode(self) -> str:
        return (self.folder / "mode").read_text()

    def stick(self) -> None:
        (self.folder / "stuck").touch()

    def bench(self, *, off: str = "true") -> Bench:
        tool = self.folder / "usbsdmux"
        names = {name: str(self.folder / name) for name in ("state", "stuck")}
        names["state"] = str(self.folder / "mode")
        tool.write_text(MUX.format(python=sys.executable, **names))
        tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
        lab = self.folder / "lab.yaml"
        lab.write_text(LAB.format(tool=tool, off=off))
        bench = Bench(lab, "rpi", roots=self.host.roots)
        strategy = strategy_of(Environment(str(lab)), "rpi")
        device = next(one for one in strategy.target.resources if type(one).__name__ == "USBSDMuxDevice")
        device.control_path, device.disk_path = "/dev/sg1", "/dev/sda"
        vars(bench)["strategy"] = strategy
        return bench

    def asked(self, *only: str, **words) -> list[Answer]:
        bench = self.bench(**words)
        try:
            return list(doctor.examine(bench, only=only or ("mux", "card")))
        finally:
            bench.close()


@pytest.fixture(scope="session")
def healthy(tmp_path_factory) -> Path:
    return tinycard.make(tmp_path_factory.mktemp("card") / "card.img", tinycard.healthy())


@pytest.fixture
def rig(tmp_path, healthy, monkeypatch) -> Iterator[Rig]:
    monkeypatch.setattr(card_part, "APPEAR_S", 0.5)
    host = FakeHost(tmp_path / "host")
    host.usb("1-1", "0424", "4041", serial="00042", speed="480")
    node = host.disk("1-1", "sda", size_bytes=healthy.stat().st_size)
    node.unlink()
    node.symlink_to(healthy)
    (tmp_path / "mode").write_text("dut")
    return Rig(tmp_path, host, healthy)


# --- the mux ----------------------------------------------------------------------------------------------------------
def test_the_card_goes_to_the_host_is_read_and_goes_back(rig) -> None:
    answers = rig.asked()
    assert [(answer.subject, answer.state) for answer in answers] == [
        ("USBSDMuxDriver", "ok"),
        ("to the host", "ok"),
        ("to the dut", "ok"),
        ("card", "n/a"),
        (f"card {rig.host.roots.dev}/sda", "ok"),
        (f"card {rig.host.roots.dev}/sda", "ok"),
    ]
    assert answers[4].fact == "p1 FAT 16 MiB, p2 ext4 8 MiB"
    assert answers[5].fact == "the firmware would start kernel8.img with bcm2710-rpi-3-b.dtb"
    assert rig.mode == "dut"


def test_a_mux_that_is_stuck_is_told(rig) -> None:
    rig.stick()
    _, host, dut = rig.asked("mux")
    assert (host.state, host.fact) == ("fault", "the mux answers, and the card is still at the dut side")
    assert dut.state == "ok"


def test_a_mux_whose_program_fails_is_told_with_its_words(rig) -> None:
    bench = rig.bench()
    (rig.folder / "usbsdmux").write_text("#!/bin/sh\necho 'no such mux'; exit 3\n")
    (answer,) = doctor.examine(bench, prove=False, only=["mux"])
    bench.close()
    assert answer.state == "fault"
    assert "returned non-zero exit status 3" in answer.fact


def test_a_card_is_not_handed_over_while_the_board_may_be_on(rig) -> None:
    answers = rig.asked("mux", off="false")
    assert (answers[-1].state, answers[-1].remedy) == ("n/a", "see the part `power`")
    assert rig.mode == "dut"


def test_a_mux_of_a_board_in_use_is_left_alone(rig) -> None:
    bench = rig.bench()
    bench.used_by = "process 7"
    answers = list(doctor.examine(bench, only=["mux", "card"]))
    bench.close()
    assert "not tried: process 7 has the board" in [answer.fact for answer in answers]
    assert "to the host" not in [answer.subject for answer in answers]


@pytest.mark.parametrize(("said", "side"), [("TS", "host"), ("DUT", "dut"), ("client", "dut"), ("off", "off")])
def test_each_tools_word_for_a_side_is_known(said, side) -> None:
    assert handover._SIDES.get(said.lower(), said) == side


def test_a_mux_that_went_nowhere_is_a_fault() -> None:
    assert mux_part.judge("host", "off").state == "fault"


# --- the disk ---------------------------------------------------------------------------------------------------------
def test_a_slot_without_a_card_is_said(rig) -> None:
    block = next(rig.host.roots.sys.glob("class/block/sda"))
    (block / "size").write_text("0\n")
    assert rig.asked("card")[-1].fact == "the reader is there, and no card is in it"


def test_a_card_that_the_desktop_has_mounted_is_said(rig) -> None:
    number = (next(rig.host.roots.sys.glob("class/block/sda")) / "dev").read_text().strip()
    info = rig.host.roots.proc / "self" / "mountinfo"
    info.parent.mkdir()
    info.write_text(f"25 1 {number} / /media/pi/boot rw - vfat /dev/sda1 rw\n")
    faults = [answer.fact for answer in rig.asked("card") if answer.state == "fault"]
    assert faults == ["is in use: mounted at /media/pi/boot"]


def test_a_read_only_card_is_said(rig) -> None:
    (next(rig.host.roots.sys.glob("class/block/sda")) / "ro").write_text("1\n")
    assert any(answer.fact == "is read-only" for answer in rig.asked("card"))


# --- what lies on it --------------------------------------------------------------------------------------------------
def judged(path: Path) -> list[Answer]:
    return list(cardread.judge_image("card", path, BOARD))


def test_a_card_without_a_partition_table_is_none(tmp_path) -> None:
    (tmp_path / "card.img").write_bytes(bytes(MIB))
    (answer,) = judged(tmp_path / "card.img")
    assert "no card of a Raspberry Pi" in answer.fact


def test_a_card_that_ends_too_early_is_told_with_both_numbers(tmp_path) -> None:
    card = make_card(tmp_path / "card.img")
    with card.open("r+b") as file:
        file.truncate(30 * MIB)
    table = judged(card)[0]
    assert (table.state, table.fact) == ("fault", f"partition 2 ends at byte {41 * MIB}, the card at {30 * MIB}")


def test_a_card_that_would_not_boot_says_why(tmp_path) -> None:
    _, firmware = judged(make_card(tmp_path / "card.img"))
    assert firmware.state == "fault"
    assert firmware.fact.startswith("rpi-3-b would not boot: ")
    assert "pi64 bootfs" in firmware.remedy


def test_a_damaged_file_system_is_told(tmp_path, healthy) -> None:
    card = tmp_path / "card.img"
    card.write_bytes(healthy.read_bytes())
    with card.open("r+b") as file:  # the root folder of its FAT
        file.seek(MIB + 4 * 512)
        file.write(b"\xff" * 64 * 1024)
    assert "fault" in {answer.state for answer in judged(card)}


@pytest.mark.parametrize(
    ("number", "remedy"), [(errno.EIO, "worn out"), (errno.EACCES, "group `disk`"), (errno.ENOMEDIUM, "write its base")]
)
def test_a_card_that_cannot_be_read_has_the_remedy_of_its_reason(number, remedy) -> None:
    answer = cardread._unreadable("card", OSError(number, "words"))
    assert remedy in answer.remedy


def test_the_reason_may_lie_below_the_error() -> None:
    error = UsageError("cannot be read")
    error.__cause__ = OSError(errno.EIO, "Input/output error")
    assert "worn out" in cardread._unreadable("card", error).remedy


# --- nothing there yet ------------------------------------------------------------------------------------------------
VIRTUAL = """
imports: [harness.lab.drivers]
targets:
  virtual:
    options: {{model: rpi-3-b}}
    resources:
      CardImage: {{file: {card}}}
    drivers:
      VirtualPiDriver: {{}}
      CardImageDriver: {{}}
      RaspberryPiStrategy: {{}}
"""


def test_a_virtual_board_to_which_nothing_was_deployed_is_no_fault(tmp_path) -> None:
    lab = tmp_path / "lab.yaml"
    lab.write_text(VIRTUAL.format(card=tmp_path / "card.img"))
    bench = Bench(lab, "virtual", runs=tmp_path)
    answers = list(doctor.examine(bench, only=["target", "serial", "mux", "card", "power"]))
    assert bench.close() == ""
    assert "fault" not in {answer.state for answer in answers}
    nothing = [answer for answer in answers if answer.fact == "nothing deployed yet"]
    assert [answer.part for answer in nothing] == ["card", "power"]
    assert nothing[0].remedy == "`pytest tests_hw --board virtual` deploys"


def test_a_virtual_board_is_proven_off_and_on(tmp_path, healthy) -> None:
    """A kernel that says a few lines and then waits: silence after off proves little, but nothing is wrong."""
    lab = tmp_path / "lab.yaml"
    lab.write_text(VIRTUAL.format(card=tmp_path / "card.img"))
    (tmp_path / "card.img").write_bytes(healthy.read_bytes())
    bench = Bench(lab, "virtual", runs=tmp_path)
    answers = list(doctor.examine(bench, only=["target", "serial", "mux", "card", "power"]))
    assert bench.close() == ""
    assert [answer for answer in answers if answer.state == "fault"] == []
    assert {answer.subject for answer in answers} >= {"off", "on", "off again"}


def test_while_the_doctor_is_busy_no_run_gets_the_card_and_the_other_way_round(tmp_path) -> None:
    lab = tmp_path / "lab.yaml"
    lab.write_text(VIRTUAL.format(card=tmp_path / "card.img"))
    first, second = (Bench(lab, "virtual", runs=tmp_path) for _ in range(2))
    assert [answer.state for answer in doctor.examine(first, only=["target"])] == ["ok", "ok"]
    answers = list(doctor.examine(second, only=["target"]))
    assert answers[-1].fact.startswith("another run has it: ")
    assert f"process {os.getpid()}" in answers[-1].fact
    assert second.used_by
    first.close()
    second.close()
    third = Bench(lab, "virtual", runs=tmp_path)
    assert [answer.state for answer in doctor.examine(third, only=["target"])] == ["ok", "ok"]
    third.close()
