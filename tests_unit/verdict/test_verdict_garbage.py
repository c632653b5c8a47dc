"""What cannot be read, told from what can: recorded boots as a UART hears them that listens at another rate."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uart import missampled

from harness.verdict import garbage
from harness.verdict.classify import classify_bytes
from harness.verdict.garbage import GarbageWatch, finding_in

LOGS = sorted((Path(__file__).parent.parent / "data").glob("*.log"))
WIRE = {log.stem: log.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for log in LOGS}
SOME = ("raspi3b-healthy", "raspi3b-module-oops", "raspi4b-no-root")
RATES = {f"{rate} Bd": rate / 115200 for rate in (9600, 19200, 38400, 57600, 230400, 460800, 921600)}
CLOCKS = {f"{ours} for {theirs} MHz": ours / theirs for ours in (250, 400) for theirs in (250, 300, 400, 500)}
DRIFTS = {f"{percent:+} %": 1 + percent / 100 for percent in (-12, -10, -8, -6, 8, 10, 12)}
# At -4..+6 % the text still reads well; a mini-UART within 20 % of 1:1 leaves much of it readable, the rest not.
MISTAKES = {name: ratio for name, ratio in {**RATES, **CLOCKS, **DRIFTS}.items() if ratio != 1}
HALF = missampled(WIRE["raspi3b-healthy"][:3000], 0.5)
ENOUGH = 250  # bytes; an adapter that drops each byte without a stop bit may leave fewer, or nothing at all


def worst(data: bytes) -> float:
    """Return the highest share of junk in any window of *data*."""
    starts = range(0, max(len(data) - garbage.WINDOW, 0) + 1, 64)
    return max(garbage.junk(data[start : start + garbage.WINDOW]) / len(data[: garbage.WINDOW]) for start in starts)


def heard_at(ratio: float, name: str = "raspi3b-healthy", **adapter: bool) -> bytes:
    """Return some 1,500 bytes, as a receiver at *ratio* of the board's rate hears the log."""
    return missampled(WIRE[name][: int(1500 / min(ratio, 2))], ratio, **adapter)


def noticed(data: bytes) -> bool:
    watch = GarbageWatch()
    watch.feed(data)
    return watch.found is not None


@pytest.mark.parametrize("name", WIRE)
def test_a_recorded_log_is_far_from_garbage(name: str) -> None:
    assert worst(WIRE[name]) < garbage.SHARE / 10
    assert finding_in(WIRE[name]) is None


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("ratio", MISTAKES.values(), ids=MISTAKES)
def test_a_log_heard_at_another_rate_is_far_from_text(ratio: float, name: str) -> None:
    heard = heard_at(ratio, name)
    assert worst(heard) > garbage.SHARE * 1.9
    assert noticed(heard)


@pytest.mark.parametrize("ratio", MISTAKES.values(), ids=MISTAKES)
@pytest.mark.parametrize("drops_errors", [False, True])
def test_it_does_not_matter_what_the_adapter_does_with_framing_errors(ratio: float, drops_errors: bool) -> None:
    heard = heard_at(ratio, drops_errors=drops_errors, waits_for_idle=True)
    assert len(heard) < ENOUGH or noticed(heard)


@pytest.mark.parametrize("ratio", [0.97, 1.03])
def test_a_clock_within_tolerance_reads_well(ratio: float) -> None:
    assert missampled(WIRE["raspi3b-healthy"], ratio) == WIRE["raspi3b-healthy"]


@pytest.mark.parametrize("byte", [b"\x00", b"\x80", b"\xff", b"\xf8", b"\x7f"])
def test_one_byte_over_and_over_without_a_line_end_is_garbage(byte: bytes) -> None:
    assert noticed(byte * 200)


def test_garbage_that_begins_in_mid_boot_is_found_where_it_begins() -> None:
    text = b"[    0.000000] a readable line\r\n" * 200
    watch = GarbageWatch()
    watch.feed(text + HALF)
    assert watch.found
    assert 180 <= watch.found.first_line <= watch.found.last_line
    assert watch.found.fault == "LAB"
    assert all(piece.isascii() and piece.isprintable() for piece in watch.found.text)


def test_a_handful_of_junk_at_power_on_is_normal() -> None:
    burst = bytes(range(128, 190)) + b"\0"
    assert not noticed(burst + WIRE["raspi3b-healthy"])
    assert finding_in(burst + WIRE["raspi3b-healthy"]) is None


@pytest.mark.parametrize(
    "text",
    [
        "● ssh.service → läuft, öffentlich für Größe, 20 °C ✓\r\n",
        "日本語のログ\r\n",
        "\x1b[0;32m  OK  \x1b[0m] Reached target \x1b[0;1;39mMulti-User System\x1b[0m.\r\n\b\b\a",
    ],
)
def test_unicode_and_what_terminals_are_told_is_text(text: str) -> None:
    assert not noticed(text.encode() * 200)


def test_german_in_latin_1_reads_well() -> None:
    assert not noticed("Öffentliche Schlüssel für Geräte prüfen, Größe ändern\r\n".encode("latin-1") * 200)


@given(st.lists(st.integers(1, 60), max_size=60))
def test_how_it_is_cut_into_pieces_does_not_matter_for_text(sizes: list[int]) -> None:
    text, watch = "Gerät → läuft ●\r\n".encode() * 60, GarbageWatch()
    for size in sizes:
        piece, text = text[:size], text[size:]
        watch.feed(piece)
    watch.feed(text)
    assert watch.found is None
    assert watch.final() is None


@given(st.lists(st.integers(1, 400), max_size=40))
def test_how_it_is_cut_into_pieces_does_not_matter_for_garbage(sizes: list[int]) -> None:
    data, watch = HALF, GarbageWatch()
    for size in sizes:
        piece, data = data[:size], data[size:]
        watch.feed(piece)
    watch.feed(data)
    assert watch.found
    assert watch.lasting


def test_a_clock_that_comes_back_leaves_a_finding_but_none_that_lasts() -> None:
    wire = WIRE["raspi3b-healthy"]
    data = HALF + wire
    watch = GarbageWatch()
    watch.feed(data)
    assert watch.found
    assert watch.lasting is None
    found = finding_in(data)
    assert found
    assert found.severity == "info"


def test_little_suffices_when_nothing_more_comes() -> None:
    watch = GarbageWatch()
    watch.feed(missampled(b"raspberrypi login: \r\n" * 12, 0.5))
    assert watch.found is None
    assert watch.final()


def test_a_hole_of_zeros_in_a_file_is_no_garbage() -> None:
    """A log that was being written when the power was cut: the file system gives zeros for what it had not written."""
    wire = WIRE["raspi3b-healthy"]
    assert finding_in(wire + b"\0" * 3000 + wire) is None


def test_the_same_garbage_has_the_same_signature_in_two_runs() -> None:
    signatures = {found.signature for ratio in (0.5, 2.0) if (found := finding_in(heard_at(ratio)))}
    assert len(signatures) == 1


NOISE = random.Random(3).randbytes(5000)


@pytest.mark.parametrize("size", [100, 1 << 16])
def test_a_log_of_garbage_is_the_benchs_and_comes_with_its_remedy(size: int) -> None:
    result = classify_bytes((NOISE[at : at + size] for at in range(0, len(NOISE), size)), "log")
    assert result["verdict"] == "LAB"
    assert garbage.REMEDY in result["evidence"][0]


def test_a_log_that_can_be_read_again_in_the_end_is_judged_by_what_it_says() -> None:
    result = classify_bytes([NOISE, b"\n", WIRE["raspi3b-healthy"]], "log")
    assert result["verdict"] == "PASS"
    assert [found["severity"] for found in result["findings"]] == ["info"]


def test_a_hole_across_blocks_is_none_either() -> None:
    wire = WIRE["raspi3b-healthy"]
    assert classify_bytes([wire[:900] + b"\0" * 60, b"\0" * 60 + wire[900:]], "log")["verdict"] == "PASS"
