"""The virtual board's TFTP client, against real servers where there are any and against one that makes mistakes."""

import random
import struct
import time

import pytest
import tftpservers
from tftpservers import DATA, ERROR, FaultyServer

from harness.errors import LabError
from harness.virtual import tftp
from harness.virtual.tftp import Refused, Server

SIZES = (0, 1, 511, 512, 1023, 1024, 1025, 3_000_000)


@pytest.fixture
def impatient(monkeypatch):
    """The same number of tries in a fiftieth of the time."""
    monkeypatch.setattr(tftp, "RETRY_S", 0.02)


@pytest.fixture
def tireless(impatient, monkeypatch):
    """No end of tries, for a host that is busy."""
    monkeypatch.setattr(tftp, "TRIES", 1000)


def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def kind(packet: bytes) -> int:
    return struct.unpack("!H", packet[:2])[0]


# --- real servers ----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module", params=["atftpd", "in.tftpd"])
def real(request, tmp_path_factory):
    if request.param not in tftpservers.programs():
        pytest.skip(f"{request.param} is not installed, or it needs root")
    folder = tmp_path_factory.mktemp("tftp")
    folder.chmod(0o755)
    for size in SIZES:
        (folder / f"{size}.bin").write_bytes(content(size))
    with tftpservers.real(request.param, folder) as server:
        yield server


@pytest.mark.parametrize("size", SIZES)
def test_a_real_server_s_file_arrives_as_it_is(real, size) -> None:
    """Of any length: a last block that is full is followed by an empty one."""
    assert real.fetch(f"{size}.bin") == content(size)


def test_a_real_server_refuses_what_it_has_not(real) -> None:
    with pytest.raises(Refused) as caught:
        real.fetch("50495634/start.elf")
    assert caught.value.code == tftp.NOT_FOUND


def test_a_real_server_gives_nothing_from_outside_of_its_folder(real) -> None:
    with pytest.raises(Refused):
        real.fetch("../../../../../../etc/hostname")


# --- what may go wrong on the way ------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.usefixtures("tireless")
def test_what_is_lost_or_comes_twice_is_made_good(seed) -> None:
    chance = random.Random(seed)
    data = content(40_000)
    with FaultyServer({"a": data}, mangle=lambda packet: [packet] * chance.choice((0, 1, 1, 1, 2))) as far:
        assert far.server.fetch("a") == data


@pytest.mark.usefixtures("tireless")
def test_a_block_that_comes_late_is_not_taken_for_another() -> None:
    kept: list[bytes] = []

    def late(packet: bytes) -> list[bytes]:
        kept.append(packet)
        return [packet, *kept[-3:-1]]

    data = content(20_000)
    with FaultyServer({"a": data}, mangle=late) as far:
        assert far.server.fetch("a") == data


def test_a_server_that_knows_no_options_sends_blocks_of_512() -> None:
    data = content(3000)
    with FaultyServer({"a": data}, options=False) as far:
        assert far.server.fetch("a") == data


def test_a_file_may_have_more_blocks_than_a_block_number_can_count() -> None:
    data = content(8 * 65_540 + 3)
    with FaultyServer({"a": data}, announced={"blksize": "8"}) as far:
        assert far.server.fetch("a") == data


def test_the_second_server_that_answers_is_sent_away() -> None:
    """RFC 1350, 4: its packets have another port, which is no part of this transfer, and do not disturb it."""
    with FaultyServer({"a": b"right"}) as far, FaultyServer({}) as stranger:

        def answer_twice(packet: bytes) -> list[bytes]:
            if kind(packet) == DATA:
                (transfer,) = far._transfers.values()
                stranger._door.sendto(struct.pack("!HH", DATA, 1) + b"wrong", transfer.client)
            return [packet]

        far.mangle = answer_twice
        assert far.server.fetch("a") == b"right"
        deadline = time.monotonic() + 10
        while not stranger.told and time.monotonic() < deadline:
            time.sleep(0.01)
        assert stranger.told[0][:4] == struct.pack("!HH", ERROR, tftp.UNKNOWN_TID)


def test_what_a_server_says_cannot_reach_the_terminal_as_control_characters() -> None:
    evil = struct.pack("!HH", ERROR, 2) + b"no\x1b[2J\r\nway\0"
    with FaultyServer({"a": b""}, mangle=lambda packet: [evil]) as far, pytest.raises(Refused) as caught:
        far.server.fetch("a")
    assert str(caught.value) == "error 2: no?[2J??way"


# --- what is given up ------------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("impatient")
def test_a_dead_server_is_given_up_after_five_tries() -> None:
    with FaultyServer({"a": b""}, mangle=lambda packet: []) as far:
        with pytest.raises(LabError, match=r"no answer to 5 requests for block 1 of 'a'"):
            far.server.fetch("a")
        assert far.asked == ["a"] * 5


def test_nobody_at_the_port_is_a_fault_of_the_bench_with_the_address() -> None:
    with FaultyServer({}) as far:
        port = far.port
    started = time.monotonic()
    with pytest.raises(LabError, match=rf"TFTP server 127\.0\.0\.1:{port}: no answer") as caught:
        Server("127.0.0.1", port).fetch("50495634/start.elf")
    assert "docs/deploy-netboot.md" in caught.value.hint
    assert time.monotonic() - started < 60


def test_a_name_that_does_not_resolve_is_a_fault_of_the_bench() -> None:
    with pytest.raises(LabError, match=r"TFTP server no-such-host\.invalid:69: "):
        Server("no-such-host.invalid").fetch("a")


@pytest.mark.usefixtures("impatient")
def test_a_server_that_stops_in_the_middle_is_given_up_with_the_block() -> None:
    def until_block_2(packet: bytes) -> list[bytes]:
        return [] if packet[:4] == struct.pack("!HH", DATA, 3) else [packet]

    far = FaultyServer({"a": content(9000)}, mangle=until_block_2)
    with far, pytest.raises(LabError, match=r"block 3 of 'a'"):
        far.server.fetch("a")


@pytest.mark.usefixtures("impatient")
def test_a_flood_of_other_packets_does_not_move_the_deadline() -> None:
    junk = [struct.pack("!HH", DATA, 7) + b"x", struct.pack("!HH", 99, 1), b"", b"\0"] * 20
    started = time.monotonic()
    far = FaultyServer({"a": b"right"}, mangle=lambda packet: junk)
    with far, pytest.raises(LabError, match=r"no answer"):
        far.server.fetch("a")
    assert time.monotonic() - started < 30


def test_a_file_without_an_end_is_cut_off(monkeypatch) -> None:
    monkeypatch.setattr(tftp, "SIZE_LIMIT", 1 << 20)
    with FaultyServer({"a": bytes(2 << 20)}) as far, pytest.raises(LabError, match=r"'a' has more than 1 MiB"):
        far.server.fetch("a")


def test_a_file_shorter_than_announced_is_not_taken() -> None:
    """It was being written, or somebody has replaced it meanwhile."""
    far = FaultyServer({"a": b"short"}, announced={"tsize": "6"})
    with far, pytest.raises(LabError, match=r"5 bytes of 6 came"):
        far.server.fetch("a")


def test_larger_blocks_than_asked_for_are_refused() -> None:
    far = FaultyServer({"a": b"x"}, announced={"blksize": "60000"})
    with far, pytest.raises(LabError, match=r"blocks of 60000 bytes, 1024 were asked for"):
        far.server.fetch("a")


@pytest.mark.parametrize("name", ["", "a\0b", "n" * 300])
def test_a_name_that_no_packet_can_carry_is_not_asked_for(name) -> None:
    with FaultyServer({}) as far:
        with pytest.raises(Refused):
            far.server.fetch(name)
        assert far.asked == []
