import json
import time
from types import SimpleNamespace

import pytest
from pexpect import TIMEOUT

from harness.console.expect import ConsoleExpect
from harness.console.recorder import Recorder
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
