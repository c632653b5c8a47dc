"""A served bench, through labgrid's real drivers: what a real lab would do, and what is left of it in the end."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest
import requests
import serial
import tinycard
from processes import boards as board_processes
from processes import qemus, until
from servedbench import EVERY, PROMPT, Served, bench

from harness import boards, host
from harness.errors import LabError, UsageError
from harness.virtual.bench import Bench
from harness.virtual.tcp_serial import CLIENTS

PROTOCOLS = ["rfc2217", "raw"]


@pytest.fixture(scope="session")
def healthy(tmp_path_factory):
    return tinycard.make(tmp_path_factory.mktemp("card") / "healthy.img", tinycard.healthy())


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def told():
    return []


@pytest.fixture
def one(healthy, told):
    """A bench with one board, a card in its slot."""
    with bench("one", card=healthy, tell=told.append) as served:
        yield served


@pytest.fixture
def board(one, tmp_path):
    with Served(one.addresses[0], tmp_path) as board:
        yield board


@pytest.fixture(scope="module")
def idle(tmp_path_factory):
    """A bench whose board nobody switches on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PI64_CACHE", str(tmp_path_factory.mktemp("cache")))
        with bench("idle") as served:
            yield served


@pytest.fixture
def empty(told):
    """A bench with one board and no card."""
    with bench("one", tell=told.append) as served:
        yield served


# --- power -----------------------------------------------------------------------------------------------------------
def test_the_relay_switches_on_and_off_and_tells_which(board) -> None:
    assert board.power.get() is False
    board.boot()
    assert board.power.get() is True
    board.power.off()
    assert board.power.get() is False
    assert not qemus(str(_process(board)))


def test_a_power_cycle_is_a_cold_start(board) -> None:
    board.boot()
    board.power.cycle()
    board.console.expect(PROMPT, timeout=60)
    assert board.recorder.log.read_text().count("Starting ARM") == 2


def test_switching_to_what_is_switched_already_changes_nothing(board) -> None:
    board.power.off()
    board.boot()
    board.power.on()
    assert board.echo(b"alive") == b"alive"


def test_clients_that_switch_at_once_are_served_one_after_the_other(one, board) -> None:
    threads = [Thread(target=_http, args=(one, "PUT", "/relay/1/value", b"1")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    board.console.expect(PROMPT, timeout=60)
    assert _http_status(board)["boots"] == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "reason"),
    [
        ("PUT", "/relay/2/value", b"1", 404, "no board 2; this bench has 1 to 1"),
        ("PUT", "/relay/0/value", b"1", 404, "no board 0"),
        ("GET", f"/relay/{'9' * 5000}/value", None, 404, "no board 99999999"),
        ("GET", "/relay/-1/value", None, 404, "no such path"),
        ("GET", "/relay/%31/value", None, 404, "no such path"),
        ("GET", "/../etc/passwd", None, 404, "no such path"),
        ("PUT", "/", b"1", 404, "no such path"),
        ("PUT", "/relay/1/value", b"2", 400, "the body must be 0 or 1"),
        ("PUT", "/relay/1/value", b"", 400, "the body must be 0 or 1"),
        ("PUT", "/relay/1/value", b"\xff\xfe", 400, "the body must be 0 or 1"),
        ("PUT", "/relay/1/value", b"1" * 17, 413, "longer than 16 bytes"),
        ("PUT", "/relay/1/value", b"1" * 500_000, 413, "longer than 16 bytes"),
        ("PUT", "/card/1/mode", b"off", 400, "the body must be host or dut"),
        ("POST", "/relay/1/value", b"1", 501, "Unsupported method"),
        ("DELETE", "/relay/1/value", None, 501, "Unsupported method"),
    ],
)
def test_a_bad_request_is_refused_with_the_reason_and_switches_nothing(
    idle, method: str, path: str, body: bytes | None, status: int, reason: str
) -> None:
    answer = _http(idle, method, path, body)
    assert answer.status == status
    assert reason in answer.reason
    assert [board["power"] for board in _status(idle)] == [0]


@pytest.mark.parametrize("length", ["nonsense", "-1", "1_0"])
def test_a_body_without_a_length_is_refused(idle, length: str) -> None:
    request = f"PUT /relay/1/value HTTP/1.0\r\nContent-Length: {length}\r\n\r\n1"
    with socket.create_connection(("127.0.0.1", idle.addresses[0].relay), timeout=20) as connection:
        connection.sendall(request.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.0 411 ")


def test_a_client_that_says_nothing_holds_nobody_up(idle) -> None:
    with socket.create_connection(("127.0.0.1", idle.addresses[0].relay)):
        assert _http(idle, "GET", "/relay/1/value").read() == b"0"


def test_labgrid_shows_the_relays_reason(idle, tmp_path) -> None:
    with Served(idle.addresses[0], tmp_path) as board:
        board.power.port.index = "7"
        with pytest.raises(requests.HTTPError, match="no board 7; this bench has 1 to 1"):
            board.power.on()


def test_a_card_that_is_none_leaves_the_board_off_and_says_why(empty, told, tmp_path) -> None:
    with Served(empty.addresses[0], tmp_path) as board:
        empty.addresses[0].card.write_bytes(bytes(4096))
        board.mux.set_mode("dut")
        with pytest.raises(requests.HTTPError, match=r"500 Server Error: one: .*not a card image"):
            board.power.on()
        assert board.power.get() is False


# --- the serial line -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_byte_goes_both_ways(one, tmp_path, protocol: str) -> None:
    """Telnet's own byte 255 among them, and what a terminal would change."""
    data = EVERY + b"\xff\xff\r\n\r\0" + EVERY[::-1]
    with Served(one.addresses[0], tmp_path, protocol=protocol) as board:
        board.boot()
        assert board.echo(data) == data


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_first_byte_of_the_firmware_is_heard(one, tmp_path, protocol: str) -> None:
    with Served(one.addresses[0], tmp_path, protocol=protocol) as board:
        board.boot()
        assert board.recorder.log.read_bytes().startswith(b"MESS:00:")


def test_two_clients_hear_the_same_and_what_each_types_is_typed(one, tmp_path) -> None:
    with Served(one.addresses[0], tmp_path) as first, Served(one.addresses[0], tmp_path, protocol="raw") as second:
        first.boot()
        second.console.expect(PROMPT, timeout=60)
        assert first.echo(b"one says") == b"one says"
        second.console.expect(b"one says", timeout=20)
        assert second.echo(b"and I") == b"and I"
        first.console.expect(b"and I", timeout=20)


def test_more_clients_than_ser2net_would_take_are_turned_away(idle) -> None:
    address = ("127.0.0.1", idle.addresses[0].raw)
    clients = [socket.create_connection(address, timeout=20) for _ in range(CLIENTS)]
    try:
        with socket.create_connection(address, timeout=20) as late:
            assert late.recv(100) == b"Port already in use\r\n"
        clients.pop().close()
        until(lambda: _stays(address))
    finally:
        for client in clients:
            client.close()


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\xff\xf0",  # the end of a suboption that never began
        b"\xff\xfa\x2c\x01\x00\xff\xf0",  # a baud rate of one byte
        b"\xff\xfa\x2c\x03\x63\xff\xf0",  # a parity that there is not
        b"\xff\xfa\x2c" + b"a" * 3000,  # a suboption without an end
    ],
)
def test_who_speaks_no_rfc2217_is_hung_up_on_and_nobody_else_is(board, rubbish: bytes) -> None:
    board.boot()
    with socket.create_connection(("127.0.0.1", board.address.rfc2217), timeout=20) as client:
        client.sendall(rubbish)
        while client.recv(4096):
            pass
    assert board.echo(b"alive") == b"alive"


def test_a_speed_is_taken_note_of_and_loses_nothing(idle) -> None:
    port = serial.serial_for_url(f"rfc2217://127.0.0.1:{idle.addresses[0].rfc2217}", baudrate=9600)
    port.baudrate = 115200
    assert port.cd
    port.close()


# --- the card --------------------------------------------------------------------------------------------------------
def test_the_card_is_a_file_at_the_hosts_side_and_none_at_the_boards(board) -> None:
    card = board.address.card
    assert (board.mux.get_mode(), card.exists()) == ("dut", False)
    board.mux.set_mode("host")
    assert (board.mux.get_mode(), card.exists()) == ("host", True)
    board.mux.set_mode("dut")
    assert not card.exists()


@pytest.mark.parametrize("kind", ["healthy", "poweroff"])
def test_the_card_stays_while_the_power_is_on(board, kind: str) -> None:
    """Also below a board that has powered itself off: its supply is there still."""
    board.boot()
    if kind == "poweroff":
        board.serial.write(b"p")
        until(lambda: _http_status(board)["state"] == "halted")
    with pytest.raises(LabError, match="the card mux refuses") as caught:
        board.mux.set_mode("host")
    assert caught.value.evidence[0] == "one: its power is on, and the card stays"
    assert board.mux.get_mode() == "dut"
    board.power.off()
    board.mux.set_mode("host")


def test_a_card_that_is_open_on_the_host_is_not_handed_over(board) -> None:
    board.mux.set_mode("host")
    with board.address.card.open("r+b") as file:
        with pytest.raises(LabError, match="refuses") as caught:
            board.mux.set_mode("dut")
        file.write(b"it is the host's still")
    assert f"  | process {os.getpid()}: " in "\n".join(caught.value.evidence)
    assert board.address.card.exists()
    board.mux.set_mode("dut")


def test_a_file_that_somebody_put_in_the_cards_place_is_not_lost(board) -> None:
    board.address.card.write_text("precious")
    with pytest.raises(LabError, match="refuses") as caught:
        board.mux.set_mode("host")
    assert "another file lies at" in caught.value.evidence[0]
    assert board.address.card.read_text() == "precious"


def test_without_a_card_the_mux_says_what_makes_one(empty, tmp_path) -> None:
    with Served(empty.addresses[0], tmp_path) as board, pytest.raises(LabError) as caught:
        board.mux.set_mode("dut")
    assert "no card image" in caught.value.evidence[0]
    assert "deploy first" in caught.value.evidence[1]


def test_what_the_host_has_written_is_what_boots(board) -> None:
    board.boot()
    board.power.off()
    board.mux.set_mode("host")
    tinycard.put(board.address.card, "kernel8.img", tinycard.healthy("6.12.2-new"))
    board.mux.set_mode("dut")
    board.power.on()
    board.console.expect(rb"Linux version 6\.12\.2-new", timeout=60)


def test_a_board_whose_card_the_host_has_is_on_and_silent(board, told) -> None:
    """As a real one: a relay knows nothing of cards."""
    board.mux.set_mode("host")
    board.power.on()
    assert board.power.get() is True
    assert told == ["one: on, but the host has its card: nothing boots"]
    board.power.off()
    board.mux.set_mode("dut")
    board.boot()


def test_what_the_board_does_never_reaches_the_image_of_the_host(board, healthy) -> None:
    board.boot()
    board.serial.write(b"r")
    board.console.expect(PROMPT, timeout=60)
    board.power.off()
    board.mux.set_mode("host")
    assert host.sha256(board.address.card) == host.sha256(healthy)


def test_each_turn_of_the_mux_puts_a_fresh_copy_into_the_slot(one, monkeypatch) -> None:
    """What the guest wrote lasts over power cycles, as on the virtual Pi; a deploy of the same files takes it away."""
    asked = []
    [board] = one.boards
    ask = board._process.ask
    monkeypatch.setattr(board._process, "ask", lambda do, **more: (asked.append(do), ask(do, **more))[1])
    for on in (True, False, True, False):
        board.power(on)
    assert asked.count("insert") == 1
    board.switch("host")
    board.switch("dut")
    board.power(True)
    assert asked.count("insert") == 2


def test_a_mode_that_a_mux_has_not_is_refused_before_anything_is_asked(board) -> None:
    with pytest.raises(LabError, match="no mode `off` of a card mux"):
        board.mux.set_mode("off")


# --- death -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_board_that_dies_is_told_hangs_up_and_boots_again_after_a_power_cycle(one, told, tmp_path, protocol) -> None:
    with Served(one.addresses[0], tmp_path, protocol=protocol) as board:
        board.boot()
        os.kill(qemus(str(_process(board)))[0], signal.SIGKILL)
        with pytest.raises(LabError, match="serial line is lost"):
            board.console.expect(b"never", timeout=60)
        until(lambda: told)
        assert told[0].startswith("one: dead: QEMU ended by itself, status -9")
        assert _http_status(board)["state"] == "dead"
        assert board.power.get() is True
    with Served(one.addresses[0], tmp_path / "again", protocol=protocol) as board:
        board.power.off()
        board.boot()


def test_a_board_whose_process_was_killed_is_told_and_comes_back_with_the_power(one, told, tmp_path) -> None:
    with Served(one.addresses[0], tmp_path) as board:
        board.boot()
        [process] = board_processes(str(tmp_path))
        os.kill(process, signal.SIGKILL)
        with pytest.raises(LabError, match="serial line is lost"):
            board.console.expect(b"never", timeout=60)
        until(lambda: told)
        assert told == ["one: its process is gone, status -9; power off and on starts a new one"]
        assert _http_status(board)["state"] == "gone"
    board = Served(one.addresses[0], tmp_path)
    board.target.activate(board.power)
    board.power.off()
    board.power.on()
    with Served(one.addresses[0], tmp_path / "again") as board:
        board.power.cycle()
        board.console.expect(PROMPT, timeout=60)


def test_a_dead_board_leaves_the_others_alone(healthy, tmp_path) -> None:
    with (
        bench("one", "two", card=healthy) as served,
        Served(served.addresses[0], tmp_path) as one,
        Served(served.addresses[1], tmp_path) as two,
    ):
        one.boot()
        two.boot()
        os.kill(qemus(str(served.boards[0]._process.folder))[0], signal.SIGKILL)
        until(lambda: _http_status(one)["state"] == "dead")
        assert two.echo(b"alive") == b"alive"


# --- the bench as a whole --------------------------------------------------------------------------------------------
def test_four_boards_run_side_by_side_each_with_its_own_card(tmp_path) -> None:
    names = [f"lab-{number}" for number in (1, 2, 3, 4)]
    with bench(*names) as served:
        running = []
        for address in served.addresses:
            board = Served(address, tmp_path).__enter__()
            running.append(board)
            tinycard.make(address.card, tinycard.healthy(f"6.12.{address.number}-own"))
            board.mux.set_mode("dut")
            board.power.on()
        for board in running:
            board.console.expect(rf"Linux version 6\.12\.{board.address.number}-own".encode(), timeout=60)
        assert [(each["name"], each["state"], each["power"]) for each in _status(served)] == [
            (name, "running", 1) for name in names
        ]
        ports = [port for each in served.addresses for port in (each.relay, each.rfc2217, each.raw)]
        assert len(set(ports)) == 9
        for board in running:
            board.__exit__()


def test_nothing_is_left_when_the_bench_ends(healthy, cache, tmp_path) -> None:
    with bench("one", card=healthy) as served:
        address, folder = served.addresses[0], served.boards[0]._process.folder
        with Served(address, tmp_path) as board:
            board.boot()
            [process] = board_processes(str(cache))
    assert not Path(f"/proc/{process}").exists()
    assert not qemus(str(folder))
    assert not folder.exists()
    assert list((cache / "bench").iterdir()) == []
    for port in (address.relay, address.rfc2217, address.raw):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


def test_a_client_that_holds_on_does_not_hold_the_end_up(healthy, tmp_path) -> None:
    with bench("one", card=healthy) as served:
        board = Served(served.addresses[0], tmp_path).__enter__()
        board.boot()
    with pytest.raises(LabError, match="serial line is lost"):
        board.console.expect(b"never", timeout=60)
    board.__exit__()


def test_a_board_is_not_switched_on_any_more_when_the_bench_has_ended(one) -> None:
    [board] = one.boards
    board.close()
    with pytest.raises(LabError, match="the bench is being put away"):
        board.power(True)


def test_the_ports_follow_the_one_that_was_named(tmp_path) -> None:
    first = _free_range(5)
    with bench("one", "two", port=first) as served:
        found = [(each.relay, each.rfc2217, each.raw) for each in served.addresses]
    assert found == [(first, first + 1, first + 2), (first, first + 3, first + 4)]


def test_a_port_that_is_taken_is_told_and_leaves_no_board_behind(cache) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LabError, match=f"port {port} of 127.0.0.1 cannot be served"), bench("one", port=port):
            pass
    assert not board_processes(str(cache))
    assert list((cache / "bench").iterdir()) == []


def test_two_benches_cannot_serve_the_same_name(one) -> None:
    with pytest.raises(LabError, match="a board `one` is served already"), bench("one"):
        pass
    assert one.boards[0].status()["state"] == "off"


@pytest.mark.parametrize("name", ["", "../up", "a b", "-x", ".hidden", "x" * 65, "n\n"])
def test_a_name_that_is_no_file_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is no name for a board"):
        bench(name)


def test_a_model_that_qemu_has_not_is_refused() -> None:
    with pytest.raises(UsageError, match="QEMU has no machine for rpi-3-b-plus"):
        Bench(["one"], boards.load("rpi-3-b-plus"))


def test_a_missing_card_image_is_refused(tmp_path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        bench("one", card=tmp_path / "none.img")


# --- pi64 bench ------------------------------------------------------------------------------------------------------
def _start(*args: str, **words) -> subprocess.Popen:
    command = [sys.executable, "-m", "harness.cli", "bench", "--name", "one", *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **words)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_command_and_nothing_is_left(number: int, cache, tmp_path, healthy) -> None:
    lab = tmp_path / "lab.yaml"
    with _start("--lab", str(lab), "--card", str(healthy)) as command:
        until(lab.exists)
        os.kill(command.pid, number)
        assert command.wait(60) == 0
        assert command.stderr.read().splitlines() == [
            "pi64 bench: 1 board served; Ctrl-C ends it",
            "pi64 bench: putting the bench away",
        ]
    assert not lab.exists()
    assert list((cache / "bench").iterdir()) == []
    assert not board_processes(str(cache))


def test_a_bench_that_was_killed_takes_its_boards_along_and_the_next_one_its_leavings(cache, tmp_path, healthy) -> None:
    lab = tmp_path / "lab.yaml"
    with _start("--lab", str(lab), "--card", str(healthy)) as command:
        until(lab.exists)
        command.kill()
    assert (cache / "bench" / "one").exists()
    until(lambda: not board_processes(str(cache)))
    with _start("--lab", str(lab), "--count", "1") as command:
        until(lambda: f"process {command.pid}" in lab.read_text())
        assert sorted(path.name for path in (cache / "bench" / "one").iterdir()) == ["slot"]
        command.terminate()
        assert command.wait(60) == 0
    assert not lab.exists()


def test_a_lab_yaml_that_no_bench_has_made_is_not_written_over(tmp_path) -> None:
    lab = tmp_path / "lab.yaml"
    lab.write_text("targets: {}\n")
    with _start("--lab", str(lab)) as command:
        assert command.wait(60) == 2
        assert "is there, and no bench has made it" in command.stderr.read()
    assert lab.read_text() == "targets: {}\n"


def test_a_lab_yaml_that_was_edited_meanwhile_stays(tmp_path) -> None:
    lab = tmp_path / "lab.yaml"
    with _start("--lab", str(lab)) as command:
        until(lab.exists)
        lab.write_text(lab.read_text() + "# mine\n")
        command.terminate()
        command.wait(60)
    assert lab.read_text().endswith("# mine\n")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--count", "0"], "--count 0: from 1 to 64 boards"),
        (["--count", "65"], "--count 65: from 1 to 64 boards"),
        (["--port", "65535"], "--port 65535: no such port, or not enough above it"),
        (["--port", "-1"], "--port -1: no such port"),
        (["--model", "rpi-9"], "no board model `rpi-9`"),
        (["--card", "/nowhere.img"], "/nowhere.img: no such file"),
    ],
)
def test_what_cannot_be_served_is_one_clear_line_and_status_2(args: list[str], message: str) -> None:
    with _start(*args) as command:
        assert command.wait(60) == 2
        assert message in command.stderr.read()


# --- far ends --------------------------------------------------------------------------------------------------------
def _http(served: Bench, method: str, path: str, body: bytes | None = None) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", served.addresses[0].relay, timeout=60)
    connection.request(method, path, body)
    return connection.getresponse()


def _status(served: Bench) -> list[dict]:
    return json.loads(_http(served, "GET", "/").read())


def _http_status(board: Served) -> dict:
    return requests.get(f"http://127.0.0.1:{board.address.relay}/", timeout=60).json()[board.address.number - 1]


def _process(board: Served) -> Path:
    """The folder of the board's process."""
    [words] = [
        Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        for pid in board_processes("PI64_CACHE")
        if os.environ["PI64_CACHE"] in _environment(pid)
    ]
    return Path(words[words.index("--folder") + 1])


def _environment(pid: int) -> str:
    return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")


def _stays(address: tuple[str, int]) -> bool:
    """Whether a client is taken: nothing is said to it while the board is off."""
    with socket.create_connection(address, timeout=0.2) as client:
        try:
            return client.recv(100) == b"never"
        except TimeoutError:
            return True


def _free_range(count: int) -> int:
    """Return the first of *count* ports in a row that are free now."""
    for first in range(23000, 30000, count):
        try:
            for server in [socket.create_server(("127.0.0.1", first + more)) for more in range(count)]:
                server.close()
        except OSError:
            continue
        return first
    raise AssertionError("no free ports")
