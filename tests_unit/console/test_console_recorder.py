import json
import os
import pty
import random
import time
import tty
from io import FileIO
from threading import Thread
from types import SimpleNamespace

import pytest
from pexpect import TIMEOUT
from scriptedpi import serial_driver

from harness.console.expect import ConsoleExpect
from harness.console.recorder import GATHER_S, Recorder, _write
from harness.errors import LabError


class Line:
    """A console driver that hands out what a test puts in."""

    def __init__(self) -> None:
        self.target = SimpleNamespace(name="line")
        self.name = None
        self.pieces: list[bytes | Exception] = []

    def _read(self, size: int = 1, timeout: float = 0.0, max_size: int | None = None) -> bytes:
        if not self.pieces:
            time.sleep(0.001)
            raise TIMEOUT("nothing")
        piece = self.pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        return piece

    def write(self, data: bytes) -> None:
        self.written = data


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def recorder(line, tmp_path):
    with Recorder(line, tmp_path) as recorder:
        yield recorder


def test_every_byte_is_kept_raw_and_with_its_time(line, recorder, tmp_path) -> None:
    line.pieces = [b"\xff\x00one\r\n", b"tw", b"o \xc3\xa9\x1b[0m"]
    console = ConsoleExpect(recorder, line, position=0)
    console.expect(b"\x1b\\[0m", timeout=30)
    raw = (tmp_path / "console.log").read_bytes()
    entries = [json.loads(text) for text in (tmp_path / "console.jsonl").read_text().splitlines()]
    assert raw == b"\xff\x00one\r\ntwo \xc3\xa9\x1b[0m"
    assert "".join(entry["data"] for entry in entries).encode("latin-1") == raw
    assert [entry["t"] for entry in entries] == sorted(entry["t"] for entry in entries)


def test_bytes_that_came_before_the_line_was_lost_are_read_first(line, recorder) -> None:
    line.pieces = [b"last words ", OSError("adapter gone")]
    console = ConsoleExpect(recorder, line, position=0)
    console.expect(b"last words", timeout=30)
    with pytest.raises(LabError, match="line: the serial line is lost: adapter gone"):
        console.expect(b"more", timeout=30)


def test_a_line_that_came_back_is_listened_to_again(line, recorder) -> None:
    line.pieces = [OSError("adapter gone")]
    console = ConsoleExpect(recorder, line, position=0)
    with pytest.raises(LabError):
        console.expect(b"more", timeout=30)
    line.pieces = [b"back"]
    recorder.revive()
    console.expect(b"back", timeout=30)


def test_line_numbers_are_those_of_an_editor(line, recorder) -> None:
    line.pieces = [b"one\ntwo\nthree"]
    ConsoleExpect(recorder, line, position=0).expect(b"three", timeout=30)
    assert [recorder.line_number(position) for position in (0, 4, 8)] == [1, 2, 3]


def test_what_is_typed_is_not_recorded(line, recorder, tmp_path) -> None:
    ConsoleExpect(recorder, line).sendline(b"hunter2")
    line.pieces = [b"Password: "]
    ConsoleExpect(recorder, line, position=0).expect(b"Password", timeout=30)
    assert line.written == b"hunter2\r"
    assert "hunter2" not in (tmp_path / "console.jsonl").read_text()


def test_bytes_at_full_speed_are_all_kept_while_the_reader_is_slow(tmp_path) -> None:
    """Through a real tty, which holds 4,095 bytes: whoever reads in small pieces must not hold up the recorder."""
    noise = random.Random(1).randbytes(5 << 20)
    ours, port = pty.openpty()
    tty.setraw(port)
    driver = serial_driver(tmp_path, SimpleNamespace(port=os.ttyname(port)))
    with FileIO(ours, "wb") as wire, Recorder(driver, tmp_path) as recorder:
        sender = Thread(target=_write, args=(wire, noise))
        sender.start()
        read = bytearray()
        while len(read) < len(noise) and (piece := recorder.read(len(read), timeout=30, limit=3000)):
            read += piece
        sender.join()
    os.close(port)
    assert read == noise
    assert recorder.log.read_bytes() == noise
    entries = (tmp_path / "console.jsonl").read_text().splitlines()
    assert "".join(json.loads(entry)["data"] for entry in entries).encode("latin-1") == noise


@pytest.mark.parametrize("full", ["console.log", "console.jsonl"])
def test_a_full_disk_ends_the_run_and_says_so(line, tmp_path, full) -> None:
    (tmp_path / full).symlink_to("/dev/full")
    line.pieces = [b"heard ", b"and not recorded"]
    with Recorder(line, tmp_path) as recorder:
        assert recorder.read(0, timeout=30) == b"heard "  # received is received, recorded or not
        with pytest.raises(LabError, match=r"console cannot be recorded: .*console.log: No space left") as error:
            recorder.read(6, timeout=30)
        recorder.revive()
        with pytest.raises(LabError, match="cannot be recorded"):
            recorder.read(6, timeout=30)
    assert "free some space" in error.value.hint
    assert recorder.position == 6, "nothing is read that is not recorded"


def test_what_a_disk_takes_before_it_is_full_is_on_it(line, tmp_path) -> None:
    """write(2) takes a part first; the rest must be tried again, or it is lost without a word."""

    class Piecemeal:
        taken = b""

        def write(self, data: memoryview) -> int:
            self.taken += bytes(data[:3])
            return min(len(data), 3)

    disk = Piecemeal()
    _write(disk, b"all of this")
    assert disk.taken == b"all of this"


def test_a_folder_that_cannot_be_written_to_is_known_before_the_power_comes(line, tmp_path) -> None:
    (tmp_path / "console.log").mkdir()
    with pytest.raises(OSError, match=r"console\.log"):
        Recorder(line, tmp_path).start()


def test_a_stream_in_small_pieces_is_gathered_while_a_boot_is_watched(line, recorder, tmp_path) -> None:
    with recorder.gathering():
        line.pieces = [b"xx"] * 3
        read = b""
        while len(read) < 6:
            read += recorder.read(len(read), timeout=30)
        times = [json.loads(text)["t"] for text in (tmp_path / "console.jsonl").read_text().splitlines()]
    assert times[2] - times[0] >= GATHER_S


def test_an_answer_is_not_held_up_when_no_boot_is_watched(line, recorder, tmp_path) -> None:
    line.pieces = [b"x"] * 20
    ConsoleExpect(recorder, line, position=0).expect(b"x{20}", timeout=30)
    times = [json.loads(text)["t"] for text in (tmp_path / "console.jsonl").read_text().splitlines()]
    assert times[-1] - times[0] < GATHER_S * 10


def test_a_driver_that_counts_one_byte_where_many_wait_is_not_read_byte_by_byte(recorder, line, tmp_path) -> None:
    """SerialDriver on raw TCP: while bytes are gathered, a boot would be read at 20 bytes a second."""
    waiting = bytearray(b"[    0.000000] Booting Linux\r\n" * 100)
    said = bytes(waiting)

    def read(size: int = 1, timeout: float = 0.0, max_size: int | None = None) -> bytes:
        if not waiting:
            raise TIMEOUT("nothing")
        data = bytes(waiting[:size])
        del waiting[:size]
        return data

    with recorder.gathering():
        line._read = read
        assert recorder.read(len(said) - 1, timeout=30)
    assert recorder.read(0, timeout=0) == said
    assert len((tmp_path / "console.jsonl").read_text().splitlines()) == 1


def test_a_line_that_is_lost_right_after_its_last_byte_is_lost(line, recorder) -> None:
    line.pieces = [b"x", OSError("adapter gone")]
    console = ConsoleExpect(recorder, line, position=0)
    console.expect(b"x", timeout=30)
    with pytest.raises(LabError, match="adapter gone"):
        console.expect(b"more", timeout=30)
