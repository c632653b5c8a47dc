"""Lines of a console have the numbers of an editor and the times of the recording."""

import json
from itertools import accumulate

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.report import transcript
from harness.verdict.findings import finding
from harness.verdict.lines import split

LINE = "[   12.345678] Unable to handle kernel NULL pointer"


def jsonl(chunks: list[bytes]) -> bytes:
    entries = [{"t": float(number), "data": chunk.decode("latin-1")} for number, chunk in enumerate(chunks)]
    return "".join(json.dumps(entry) + "\n" for entry in entries).encode()


@settings(max_examples=50, deadline=None)
@given(st.binary())
def test_numbers_are_those_of_the_log_scanner(log: bytes) -> None:
    assert list(transcript.read(log).lines) == list(split([log]))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.sampled_from([b"\n", b"a", b"\\", b"\\n", b'"', b"\xff", b"\r"])).map(b"".join)))
def test_a_line_has_the_time_of_the_chunk_in_which_it_begins(chunks: list[bytes]) -> None:
    log = b"".join(chunks)
    told = transcript.read(log, jsonl(chunks))
    ends = list(accumulate(map(len, chunks)))
    begins = [0, *(at + 1 for at, byte in enumerate(log) if byte == 10)][: len(told.lines)]
    wanted = [next(float(number) for number, end in enumerate(ends) if begin < end) for begin in begins]
    assert [told.seconds(number) for number in range(1, len(told.lines) + 1)] == wanted


@settings(max_examples=50, deadline=None)
@given(st.binary(), st.binary())
def test_any_bytes_are_a_transcript(log: bytes, times: bytes) -> None:
    told = transcript.read(log, times)
    assert told.seconds(len(told.lines) + 1) is None or times


def test_a_line_of_times_that_was_cut_by_a_crash_costs_its_own_times() -> None:
    times = jsonl([b"one\n", b"two\n"])[:-5]
    told = transcript.read(b"one\ntwo\n", times)
    assert (told.seconds(1), told.seconds(2)) == (0.0, None)


def test_a_finding_stands_at_its_line() -> None:
    found = finding("oops", "x", fault="KERNEL", first_line=2, text=(LINE, "more"))
    told = transcript.read(f"\n{LINE}\x1b[0m\r\n".encode())
    assert told.places([found]) == {found: 2}


def test_a_finding_of_a_commands_output_is_found_by_its_text() -> None:
    found = finding("oops", "x", fault="KERNEL", first_line=700, text=(LINE,))
    told = transcript.read(f"a\nb\n{LINE}\r\n".encode())
    assert told.places([found]) == {found: 3}


def test_what_does_not_stand_there_has_no_place() -> None:
    other = finding("wrong-kernel", "x", fault="DEPLOY", first_line=1, text=("6.12.1",))
    bare = finding("silence", "x", fault="LAB", first_line=1)
    assert transcript.read(b"Booting Linux\n6.12.1\n").places([other, bare]) == {}
