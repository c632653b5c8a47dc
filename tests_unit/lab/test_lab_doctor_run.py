"""A run that fails for the bench tells what the doctor knows about it: soon, and without touching anything."""

import contextlib
import os
import pty
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from fakehost import FakeHost
from httprelay import HttpRelay
from labgrid import Target
from labgrid.driver import NetworkPowerDriver, SerialDriver
from labgrid.resource import NetworkPowerPort
from labgrid.resource.udev import USBSerialPort
from pluginbench import BOOTS

from harness.errors import BootFailed, LabError, Unresponsive
from harness.lab.doctor import answer, consult
from harness.lab.doctor.bench import Bench, Roots
from harness.lab.doctor.consult import Consultation, parts_for
from harness.lab.run import Run
from harness.model import BootRecord
from harness.report import summary

pytest_plugins = ["pytester", "pluginfixtures"]

LINE_LOST = LabError("rpi: the serial line is lost: device reports readiness to read but returned no data")
MUTE = BootRecord("rpi", {}, False, "silent for 90 s", (), Path("console.log"), 1)
HOLD = "import os, sys, time; os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY); print(flush=True); time.sleep(600)"


def fail(run: Run, error: Exception) -> None:
    report = SimpleNamespace(
        nodeid="test_x", outcome="failed", failed=True, when="call", duration=1.0, longrepr=str(error)
    )
    run.case(report, error)


def strategy_of(power: object, console: object, target: Target, *boots: BootRecord) -> SimpleNamespace:
    return SimpleNamespace(
        target=target, power=power, console=console, medium=None, boots=list(boots), recorder=None, still_on=""
    )


@pytest.fixture
def rig(monkeypatch, tmp_path) -> SimpleNamespace:
    """A real target whose USB adapter and relay are gone; the host's folders are scripted."""
    host = FakeHost(tmp_path / "host")
    monkeypatch.setattr(Bench, "roots", host.roots, raising=False)
    monkeypatch.setattr(consult, "Bench", _bench_at(host.roots))
    target = Target("rpi")
    USBSerialPort(target, name=None, match={"ID_SERIAL_SHORT": "A50285BI"})
    with socket.create_server(("127.0.0.1", 0)) as free:
        closed = free.getsockname()[1]
    NetworkPowerPort(target, name=None, model="rest", host=f"http://127.0.0.1:{closed}/{{index}}", index=1)
    console, power = SerialDriver(target, name=None), NetworkPowerDriver(target, name=None)
    return SimpleNamespace(host=host, strategy=strategy_of(power, console, target))


def _bench_at(roots: Roots) -> type:
    class There(Bench):
        @classmethod
        def of_run(cls, strategy, *, runs: Path) -> Bench:
            made = Bench.of_run(strategy, runs=runs)
            made.roots, made.clock = roots, lambda: 4000.0
            return made

    return There


@pytest.fixture
def run(tmp_path, rig) -> Run:
    run = Run.begin(tmp_path / "runs", target="rpi", model="rpi-3-b", argv=())
    run.watch(rig.strategy)
    return run


def evidence(run: Run) -> list[str]:
    verdict = run.finish(interrupted=False).verdict
    assert verdict
    return [line for line in verdict.evidence if line.startswith("doctor: ")]


# --- what the verdict tells -------------------------------------------------------------------------------------------
def test_a_lost_line_is_told_with_the_adapter_that_is_gone(run, rig) -> None:
    rig.host.kernel_says((3995.0, "usb 1-1.4: USB disconnect, device number 9"))
    fail(run, LINE_LOST)
    (line,) = evidence(run)
    assert line == (
        "doctor: usb: USBSerialPort ID_SERIAL_SHORT=A50285BI: is gone from USB: no such device; "
        "something left the bus at 1-1.4 5 s ago"
    )


def test_a_line_that_somebody_took_is_told_with_who(run, rig) -> None:
    rig.host.usb("1-1", "0403", "6001", serial="A50285BI")
    node = rig.host.tty("1-1", "ttyUSB0")
    rig.host.process(123, "minicom", str(node))
    rig.strategy.console.port.port = "/dev/ttyUSB0"
    fail(run, LINE_LOST)
    assert evidence(run) == [f"doctor: serial: {node}: held by minicom (pid 123)"]


def test_a_line_that_looks_right_is_told_too(run, rig) -> None:
    rig.host.usb("1-1", "0403", "6001", serial="A50285BI")
    rig.host.tty("1-1", "ttyUSB0")
    rig.strategy.console.port.port = "/dev/ttyUSB0"
    fail(run, LINE_LOST)
    told = evidence(run)
    assert "FTDI FT232R serial adapter" in told[0]
    assert told[-1].endswith("nobody else has it open")


def test_a_switch_that_does_not_answer_is_asked(run) -> None:
    fail(run, LabError("rpi: the power could not be switched off: HTTPConnectionPool(host='127.0.0.1')"))
    assert any(" power: " in line and line.endswith(": Connection refused") for line in evidence(run))


def test_a_board_without_a_word_is_a_reason_to_look_at_its_wires(run, rig) -> None:
    rig.strategy.boots.append(MUTE)
    fail(run, BootFailed(MUTE))
    record = run.finish(interrupted=False)
    assert record.verdict
    assert record.verdict.name == "LAB"
    assert any("is gone from USB" in line for line in record.verdict.evidence)
    assert any("doctor: usb" in line for line in summary.lines(record))


def test_a_full_disk_is_told_with_what_is_left(run, monkeypatch) -> None:
    monkeypatch.setattr("harness.lab.doctor.parts.disk.measure", lambda _: answer_space())
    fail(run, OSError(28, "No space left on device"))
    assert any("MiB free, 100 MiB are needed" in line for line in evidence(run))


def answer_space():
    from harness.lab.doctor.parts.disk import Space

    return Space(7 * 2**20, 100_000)


def test_the_kernels_own_faults_are_none_of_the_doctors(run, rig) -> None:
    hung = BootRecord("rpi", {"kernel": 0.3}, False, "silent for 90 s", (), Path("console.log"), 1)
    rig.strategy.boots.append(hung)
    fail(run, BootFailed(hung))
    assert evidence(run) == []


def test_the_doctors_words_never_change_whose_fault_it_is(run, rig) -> None:
    """A panic on a bench with a loose plug is a panic."""
    died = BootRecord("rpi", {"kernel": 0.3}, False, "Kernel panic", (), Path("console.log"), 1)
    rig.strategy.boots.append(died)
    run._doctor.ask("the serial line is lost", rig.strategy)
    fail(run, BootFailed(died))
    verdict = run.finish(interrupted=False).verdict
    assert verdict
    assert verdict.name == "KERNEL"
    assert not any("doctor" in line for line in verdict.evidence)


# --- how it is asked --------------------------------------------------------------------------------------------------
def test_the_same_fault_is_asked_about_once(tmp_path) -> None:
    asked = []

    def look(bench, names, seconds):
        asked.append(names)
        return [answer.fault("x", "broken", "mend it")]

    doctor = Consultation(tmp_path, look)
    for _ in range(3):
        doctor.ask("the serial line is lost", None)
    assert asked == [("usb", "serial")]
    assert doctor.lines == ("doctor: : x: broken",)


def test_a_doctor_that_is_late_is_not_waited_for(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(consult, "CONSULT_S", 0.3)

    def slow(bench, *, prove, only):
        yield answer.fault("x", "seen in time", "")
        time.sleep(30)

    monkeypatch.setattr(consult.doctor, "examine", slow)
    began = time.monotonic()
    doctor = Consultation(tmp_path)
    doctor.ask("the serial line is lost", None)
    assert time.monotonic() - began < 10
    assert doctor.lines == ("doctor: : x: seen in time",)


def test_many_faults_of_one_run_have_one_allowance_of_time(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(consult, "CONSULT_S", 0.3)
    asked = []

    def look(bench, names, seconds):
        asked.append(seconds)
        time.sleep(0.2)
        return []

    doctor = Consultation(tmp_path, look)
    for number in range(5):
        doctor.ask(f"the serial line is lost, {number}", None)
    assert len(asked) == 2
    assert asked[1] < 0.2


def test_a_board_that_fell_silent_has_its_line_looked_at(run) -> None:
    fail(run, Unresponsive("rpi: the board fell silent"))
    record = run.finish(interrupted=False)
    assert record.verdict
    assert record.verdict.name == "INCONCLUSIVE"
    assert any("is gone from USB" in line for line in record.verdict.evidence)


def test_a_run_is_looked_at_and_never_touched(rig, tmp_path) -> None:
    orders: list[bool] = []
    relay = HttpRelay(orders.append)
    rig.strategy.power.port.host = relay.url
    doctor = Consultation(tmp_path)
    doctor.ask("the power could not be switched off, and the serial line is lost", rig.strategy)
    relay.close()
    assert relay.orders == []
    assert rig.strategy.console.serial.is_open is False


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("virtual: the serial line was hung up", ("usb", "serial")),
        ("rpi: the power could not be switched off: 503", ("usb", "power")),
        ("rpi: the console cannot be recorded: /runs/x: No space left on device", ("usb", "serial", "disk")),
        ("rpi: its card /x.img is in use by another run", ("usb", "mux", "card")),
        ("program `mcopy` is not on this host", ("host",)),
        ("coordinator is unavailable", ("coordinator", "target", "usb")),
        ("something else", ()),
        (consult.MUTE, ("usb", "serial", "power")),
    ],
)
def test_the_words_of_a_fault_name_who_may_know_why(words, parts) -> None:
    assert parts_for(words) == parts


# --- from outside -----------------------------------------------------------------------------------------------------
LAB = """
imports: [harness.lab.drivers]
targets:
  rpi:
    options:
      model: rpi-3-b
      kernel: {{source: {tree}, requires: [none]}}
      image: {{file: {image}}}
      login: {{user: pi, password: hunter2}}
      depmod: target
      deadlines: {{firmware: 2, kernel: 2, silence: 2}}
    resources:
      CardImage: {{file: {card}}}
      RawSerialPort: {{port: {port}}}
      NetworkPowerPort: {{model: rest, host: "{url}", index: 1}}
    drivers:
      SerialDriver: {{}}
      NetworkPowerDriver: {{delay: 0.1}}
      CardImageDriver: {{}}
      RaspberryPiStrategy: {{}}
"""


@contextlib.contextmanager
def held_port() -> Iterator[tuple[str, int]]:
    """A serial port on which nobody speaks, and the process that has it open."""
    ours, theirs = pty.openpty()
    port = os.ttyname(theirs)
    with subprocess.Popen([sys.executable, "-c", HOLD, port], stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        holder.stdout.readline()
        try:
            yield port, holder.pid
        finally:
            holder.kill()
    os.close(ours)
    os.close(theirs)


def test_pytest_says_who_holds_the_line_of_a_board_without_a_word(bench) -> None:
    relay = HttpRelay(lambda _: None)
    with held_port() as (port, pid):
        words = {"tree": bench.path / "linux", "image": bench.image, "card": bench.path / "card.img"}
        (bench.path / "lab.yaml").write_text(LAB.format(port=port, url=relay.url, **words))
        result = bench.run(BOOTS, "--board", "rpi", "--lab-retries", "0")
    relay.close()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert bench.record["verdict"]["name"] == "LAB"
    result.stdout.fnmatch_lines([f"  | doctor: serial: {port}: held by python* (pid {pid})"])
