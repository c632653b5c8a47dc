"""The serial line: ports that are held, locked or missing, and servers that are not what lab.yaml says."""

import contextlib
import os
import pty
import re
import select
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from fakehost import FakeHost
from labgrid import Target
from labgrid.driver import SerialDriver
from labgrid.resource import NetworkSerialPort, RawSerialPort
from processes import until

from harness.lab import doctor
from harness.lab.doctor import holders, speech
from harness.lab.doctor.answer import Answer
from harness.lab.doctor.bench import Bench, Roots
from harness.lab.doctor.parts import serial
from harness.virtual.tcp_serial import Rfc2217, SerialServer

HOLD = "import os, sys, time; os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY); print(flush=True); time.sleep(600)"
OFFER = bytes([255, 251, 44])


@pytest.fixture
def port() -> Iterator[str]:
    """A serial port that nobody has open but the kernel."""
    ours, theirs = pty.openpty()
    name = os.ttyname(theirs)
    yield name
    os.close(theirs)
    os.close(ours)


@contextlib.contextmanager
def held(port: str) -> Iterator[int]:
    """Let another process hold *port*."""
    with subprocess.Popen([sys.executable, "-c", HOLD, port], stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"\n"
        try:
            yield process.pid
        finally:
            process.kill()


@contextlib.contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve on loopback: *answer* has each connection until it returns."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            answer(self.request)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def wait(line: socket.socket) -> None:
    """Say nothing until the other end hangs up."""
    while line.recv(100):
        pass


def bench_of(driver: SerialDriver, roots: Roots | None = None) -> Bench:
    bench = Bench(Path("lab.yaml"), "rpi", roots=roots or Roots())
    vars(bench)["strategy"] = SimpleNamespace(target=driver.target, console=driver, power=None, medium=None)
    return bench


def local(port: str, roots: Roots | None = None, *, speed: int = 115_200) -> Bench:
    target = Target("rpi")
    RawSerialPort(target, name=None, port=port, speed=speed)
    return bench_of(SerialDriver(target, name=None), roots)


def network(port: int, protocol: str) -> Bench:
    target = Target("rpi")
    NetworkSerialPort(target, name=None, host="127.0.0.1", port=port, protocol=protocol)
    return bench_of(SerialDriver(target, name=None))


def asked(bench: Bench, *, prove: bool = False) -> list[Answer]:
    try:
        return list(doctor.examine(bench, prove=prove, only=["serial"]))
    finally:
        bench.close()


# --- a port of this host ----------------------------------------------------------------------------------------------
def test_a_free_port_is_there_and_opens(port) -> None:
    answers = asked(local(port), prove=True)
    assert [answer.state for answer in answers] == ["ok", "ok", "ok"]
    assert answers[0].fact == "is there, 115200 baud"
    assert answers[2].fact == "SerialDriver opens it"


def test_who_holds_a_port_is_named_and_it_is_left_alone(port) -> None:
    with held(port) as pid:
        bench = local(port)
        there, holder = asked(bench, prove=True)
    assert holder.state == "fault"
    assert re.fullmatch(rf"held by python\S* \(pid {pid}\)", holder.fact)
    assert f"kill {pid}" in holder.remedy
    assert there.state == "ok"
    assert not bench.console_open
    assert bench.used_by == holder.fact.removeprefix("held by ")


def test_our_own_process_is_nobody_else(port) -> None:
    handle = os.open(port, os.O_RDWR | os.O_NOCTTY)
    try:
        assert [answer.state for answer in asked(local(port))] == ["ok", "ok"]
    finally:
        os.close(handle)


def test_a_port_that_is_not_there_is_said(tmp_path) -> None:
    (answer,) = asked(local(str(tmp_path / "ttyUSB0")))
    assert (answer.state, answer.fact) == ("fault", "there is no such port")
    assert "--scan" in answer.remedy


def test_a_port_of_udev_that_is_away_is_usbs_to_tell(port) -> None:
    bench = local(port)
    bench.strategy.console.port.port = None
    (answer,) = asked(bench)
    assert (answer.state, answer.fact) == ("n/a", "its adapter is not there: see the part `usb`")


def test_a_port_that_may_not_be_opened_names_the_group() -> None:
    answer = serial.judge_node(Path("/dev/ttyUSB0"), exists=True, mine=False, group="dialout", speed=115_200)
    assert answer.remedy == "`sudo usermod -aG dialout $USER`, then log in anew"


def test_an_odd_baud_rate_is_told(port) -> None:
    there, _ = asked(local(port, speed=9600))
    assert "9600 baud (a Pi's console has 115200 unless somebody changed it)" in there.fact


@pytest.mark.parametrize(
    ("program", "remedy"),
    [
        ("ModemManager", "systemctl disable --now ModemManager"),
        ("agetty", "systemctl disable --now serial-getty@ttyUSB0"),
        ("brltty", "apt-get remove brltty"),
        ("minicom", "kill 123"),
    ],
)
def test_programs_that_nobody_started_by_hand_have_a_remedy_of_their_own(tmp_path, program, remedy) -> None:
    host = FakeHost(tmp_path / "host")
    node = host.roots.dev / "ttyUSB0"
    node.write_bytes(b"")
    host.process(7, "bash", "/dev/null")
    host.process(123, program, "/dev/null", str(node))
    _, holder = asked(local("/dev/ttyUSB0", host.roots))
    assert holder.fact == f"held by {program} (pid 123)"
    assert remedy in holder.remedy


def test_a_lock_file_tells_who_and_a_stale_one_is_no_fault(tmp_path) -> None:
    host = FakeHost(tmp_path / "host")
    (host.roots.dev / "ttyUSB0").write_bytes(b"")
    host.process(123, "cu")
    lock = host.roots.run / "lock" / "LCK..ttyUSB0"
    lock.parent.mkdir()
    lock.write_text("       123\n")
    assert asked(local("/dev/ttyUSB0", host.roots))[1].fact == "locked by cu (pid 123)"
    lock.write_text("       999\n")
    free = asked(local("/dev/ttyUSB0", host.roots))[1]
    assert free.state == "ok"
    assert f"a stale lock lies in {lock}" in free.fact


def test_a_lock_file_may_hold_its_pid_in_binary_or_rubbish(tmp_path) -> None:
    host = FakeHost(tmp_path / "host")
    node = host.roots.dev / "ttyS0"
    node.write_bytes(b"")
    host.process(258, "pppd")
    lock = host.roots.run / "lock" / "LCK..ttyS0"
    lock.parent.mkdir()
    for content, found in ((b"\x02\x01\0\0", [258]), (b"", []), (b"\xff\xfe what", [])):
        lock.write_bytes(content)
        known = holders.of(node, proc=host.roots.proc, run=host.roots.run)
        assert [holder.pid for holder in known.found] == found


def test_a_hostile_program_name_is_escaped(tmp_path) -> None:
    host = FakeHost(tmp_path / "host")
    node = host.roots.dev / "ttyUSB0"
    node.write_bytes(b"")
    host.process(66, "x\x1b[2J", str(node))
    assert "\x1b" not in asked(local("/dev/ttyUSB0", host.roots))[1].fact


# --- a port served over the network -----------------------------------------------------------------------------------
def test_a_server_of_rfc2217_answers_and_opens() -> None:
    board, ours = socket.socketpair()
    server = SerialServer(0, lambda: ours, Rfc2217)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    with contextlib.closing(board):
        (answer,) = asked(network(server.server_address[1], "rfc2217"))
    server.shutdown()
    server.server_close()
    assert (answer.state, answer.fact) == ("ok", "answers")


def test_a_raw_server_says_nothing_and_that_is_right() -> None:
    with serving(wait) as port:
        answers = asked(network(port, "raw"), prove=True)
    assert [answer.state for answer in answers] == ["ok", "ok"]


def test_a_closed_port_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (answer,) = asked(network(port, "rfc2217"))
    assert answer.fact == "Connection refused"
    assert answer.subject == f"127.0.0.1:{port}"
    assert "ser2net" in answer.remedy


def test_a_server_that_does_not_speak_rfc2217_is_raw() -> None:
    with serving(wait) as port:
        (answer,) = asked(network(port, "rfc2217"))
    assert answer.fact == "the server accepts, and does not answer RFC 2217"
    assert "protocol: raw" in answer.remedy


def test_a_server_that_offers_telnet_is_not_raw() -> None:
    def telnet(line: socket.socket) -> None:
        line.sendall(OFFER)
        wait(line)

    with serving(telnet) as port:
        (answer,) = asked(network(port, "raw"))
    assert answer.fact == "the server speaks telnet on it"
    assert "protocol: rfc2217" in answer.remedy


def test_a_port_in_use_is_told_in_the_servers_words() -> None:
    with serving(lambda line: line.sendall(b"Port already in use\r\n")) as port:
        (answer,) = asked(network(port, "raw"))
    assert answer.fact == "somebody else is connected: `Port already in use`"


def test_a_server_that_hangs_up_at_once_has_lost_its_adapter() -> None:
    with serving(lambda line: line.sendall(b"Device open failure: No such file\r\n")) as port:
        (answer,) = asked(network(port, "raw"))
    assert answer.fact == "the server accepts, and hangs up at once with `Device open failure: No such file`"


def test_in_a_run_the_line_of_our_own_is_not_asked_for_a_second_client() -> None:
    heard = []

    def listen(line: socket.socket) -> None:
        ready, _, _ = select.select([line], [], [], 5)
        heard.append(line.recv(10) if ready else b"late")

    with serving(listen) as port:
        bench = network(port, "rfc2217")
        bench.running = vars(bench)["strategy"]
        (answer,) = asked(bench)
        until(lambda: heard)
    assert answer.fact == "somebody accepts connections"
    assert heard == [b""]


# --- what came over it ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "nothing"),
        (b"\x00", "strays"),
        (b"\xff\xfe\x00", "strays"),
        (b"[    0.000000] Booting Linux\r\n", "text"),
        (b"\xff[    0.000000] Booting Linux\r\n", "text"),
        (bytes(range(128, 256)) * 4, "garbage"),
    ],
)
def test_what_came_is_told_apart(data, kind) -> None:
    assert speech.kind(data) == kind


def test_silence_after_power_on_asks_for_the_wires_in_order() -> None:
    answer = speech.judge_on(b"", seconds=30.0)
    assert answer.fact == "not one byte within 30 s of power-on"
    assert answer.remedy.index("LED") < answer.remedy.index("pin 6") < answer.remedy.index("enable_uart")


def test_a_board_that_starts_while_it_is_off_is_fed_by_something_else() -> None:
    answer = speech.judge_off(b"MESS:00:00:01.204431:0: brfs: File read: /mfs/sd/config.txt\r\n", seconds=2.0)
    assert answer.fact.startswith("it starts again and again while it is off")
    assert "pin 10" in answer.remedy


def test_a_board_that_talks_on_was_not_cut() -> None:
    answer = speech.judge_off(b"[   77.000000] usb 1-1: new device\r\n", seconds=2.0)
    assert answer.fact.endswith("the power is not cut")
    assert "another board's port" in answer.remedy
