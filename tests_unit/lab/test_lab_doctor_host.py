"""The host's own parts: libraries, programs, clock, disk, lab.yaml, and the servers of a bench."""

import contextlib
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import harness
from harness import host as lab_host
from harness.deadline import within, words
from harness.errors import LabError
from harness.lab import doctor
from harness.lab.doctor import answer, wire
from harness.lab.doctor.bench import Bench
from harness.lab.doctor.parts import clock, coordinator, disk, host, network, python

MIB = 2**20
GOOD = """
imports: [harness.lab.drivers]
targets:
  virtual:
    options: {model: rpi-3-b}
    resources: {CardImage: {}}
    drivers: {VirtualPiDriver: {}, CardImageDriver: {}, RaspberryPiStrategy: {}}
"""
PLACE = GOOD.replace("CardImage: {}}", "CardImage: {}, RemotePlace: {name: rpi}}")


def asked(tmp_path: Path, part: str, text: str = GOOD, board: str = "virtual") -> list[answer.Answer]:
    lab = tmp_path / "lab.yaml"
    lab.write_text(text)
    bench = Bench(lab, board, runs=tmp_path)
    try:
        return list(doctor.examine(bench, only=[part]))
    finally:
        bench.close()


# --- the doctor itself ------------------------------------------------------------------------------------------------
def test_each_part_says_what_ought_to_be_true_and_has_a_place_of_its_own() -> None:
    parts = doctor.load_all()
    assert all(part.summary.endswith(".") for part in parts)
    assert len({part.order for part in parts}) == len(parts)
    assert [part.name for part in parts][:1] == ["python"]


def test_what_a_part_raises_is_an_answer(tmp_path, monkeypatch) -> None:
    def broken(_: Bench) -> Iterator[answer.Answer]:
        yield answer.ok("first", "seen")
        raise RuntimeError("boom\nmore")

    monkeypatch.setattr(disk, "look", broken)
    first, second = asked(tmp_path, "disk")
    assert first.state == "ok"
    assert (second.state, second.fact) == ("fault", "RuntimeError: boom")


def test_a_late_answer_is_given_up_with_its_name() -> None:
    began = time.monotonic()
    with pytest.raises(LabError, match=r"the relay: no answer within 0\.1 s"):
        within(0.1, lambda: time.sleep(30), "the relay")
    assert time.monotonic() - began < 10


def test_labgrids_steps_go_on_after_an_answer_that_never_came() -> None:
    from labgrid.step import step, steps

    @step()
    def slow() -> None:
        release.wait(30)

    @step()
    def quick() -> int:
        return 1

    release = threading.Event()
    with pytest.raises(LabError):
        within(0.2, slow, "slow")
    assert steps.get_current() is None
    assert quick() == 1
    release.set()


def test_what_is_asked_raises_as_it_would_here() -> None:
    with pytest.raises(KeyError):
        within(5, lambda: {}["x"], "a mapping")
    assert within(5, lambda: 7, "a number") == 7


def test_of_a_wrapped_error_only_the_hosts_words_are_told() -> None:
    error = RuntimeError("HTTPConnectionPool(host='x'): Max retries exceeded")
    error.__cause__ = ConnectionRefusedError(111, "Connection refused")
    assert words(error) == "Connection refused"
    assert words(RuntimeError("")) == "RuntimeError"


# --- libraries --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("version", "installed", "state", "fact"),
    [
        ("3.5.0.2", {"pyserial-labgrid"}, "ok", "pyserial-labgrid 3.5.0.2"),
        ("3.5", {"pyserial", "pyserial-labgrid"}, "fault", "plain pyserial 3.5"),
        ("3.5.0.2", {"pyserial", "pyserial-labgrid"}, "fault", "plain pyserial beside it"),
        ("not to be imported: No module named 'serial'", set(), "fault", "No module named"),
    ],
)
def test_only_labgrids_serial_library_alone_is_right(version, installed, state, fact) -> None:
    found = python.judge_serial(version, installed)
    assert (found.state, fact in found.fact) == (state, True)
    assert state == "ok" or "pip uninstall" in found.remedy


def test_an_old_python_is_a_fault() -> None:
    assert python.judge_python((3, 10)).state == "fault"
    assert python.judge_python((3, 13)).state == "ok"


def test_the_libraries_of_this_environment_are_right(tmp_path) -> None:
    assert {one.state for one in asked(tmp_path, "python")} == {"ok"}


# --- programs ---------------------------------------------------------------------------------------------------------
def test_a_missing_program_is_told_with_its_package(tmp_path, monkeypatch) -> None:
    real = lab_host.find

    def find(program: str) -> str:
        if program == "mcopy":
            raise LabError("not here")
        return real(program)

    monkeypatch.setattr(lab_host, "find", find)
    missing = [one for one in asked(tmp_path, "host") if one.state == "fault"]
    assert [(one.subject, one.fact) for one in missing] == [
        ("mcopy", "is not on this host; needed for cards and images")
    ]
    assert "apt-get install mtools" in missing[0].remedy


def test_a_qemu_without_the_boards_machine_is_too_old() -> None:
    found = host.judge_qemu("qemu-system-aarch64 7.2.22", "raspi3b   Raspberry Pi 3B\n", "raspi4b")
    assert (found.state, found.fact) == ("fault", "qemu-system-aarch64 7.2.22 has no machine raspi4b")


def test_a_muxs_program_comes_from_where_it_is_published() -> None:
    assert "pip install usbsdmux" in host.remedy("usbsdmux")
    assert "tools:" in host.remedy("sd-mux-ctrl")


# --- the clock --------------------------------------------------------------------------------------------------------
def test_a_clock_before_our_own_files_is_wrong() -> None:
    written = Path(harness.__file__).stat().st_mtime
    assert clock.judge(1000.0, written).state == "fault"
    assert clock.judge(1000.0, written).fact.startswith("1970-01-01 00:16 UTC, but files of pi64 are of ")
    assert clock.judge(written + 60, written).state == "ok"


@pytest.mark.parametrize(("state", "expected"), [(0, "ok"), (5, "n/a"), (None, "n/a")])
def test_a_clock_that_nobody_keeps_is_told_and_no_fault(state, expected) -> None:
    assert clock.judge_kept(state).state == expected


# --- the disk ---------------------------------------------------------------------------------------------------------
def test_a_full_disk_is_told_with_both_numbers() -> None:
    found = disk.judge("cache", disk.Space(7 * MIB, 1_000_000), need_mib=3072)
    assert (found.state, found.fact) == ("fault", "7 MiB free, 3072 MiB are needed")
    assert "pi64 cache prune" in found.remedy


@pytest.mark.parametrize(
    ("space", "fact"),
    [
        (disk.Space(9999 * MIB, 10), "10 files can still be made"),
        (disk.Space(9999 * MIB, -1, read_only=True), "read-only"),
        (disk.Space(9999 * MIB, -1, writable=False), "may not write"),
    ],
)
def test_a_disk_can_be_of_no_use_in_other_ways(space, fact) -> None:
    found = disk.judge("cache", space, need_mib=1)
    assert found.state == "fault"
    assert fact in found.fact


def test_a_file_system_that_counts_no_files_is_good() -> None:
    assert disk.judge("cache", disk.Space(9999 * MIB, -1), need_mib=1).state == "ok"


@pytest.fixture
def full(tmp_path) -> Iterator[Path]:
    """A disk of 2 MiB with half of one left; without root, numbers stand in for it."""
    folder = tmp_path / "full"
    folder.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=False).returncode
    )
    if mounted:
        (folder / "file").write_bytes(bytes(MIB * 3 // 2))
    yield folder
    if mounted:
        subprocess.run(["umount", folder], check=True)


def test_a_disk_that_is_really_full_is_measured(full, monkeypatch) -> None:
    if not full.is_mount():
        monkeypatch.setattr(disk, "measure", lambda _: disk.Space(MIB // 2, 100_000))
    bench = Bench(full / "lab.yaml", runs=full / "runs")
    (records,) = [one for one in doctor.examine(bench, only=["disk"]) if one.subject.startswith("records")]
    assert (records.state, records.fact) == ("fault", "0 MiB free, 100 MiB are needed")


# --- lab.yaml ---------------------------------------------------------------------------------------------------------
def test_a_good_lab_yaml_is_told_with_its_targets(tmp_path) -> None:
    (found,) = asked(tmp_path, "lab_yaml")
    assert (found.state, found.fact) == ("ok", "targets: virtual (rpi-3-b)")


@pytest.mark.parametrize(
    ("wrong", "line", "hint"),
    [
        (GOOD.replace("model:", "modle:"), 5, "rpi-3-b"),
        (GOOD.replace("VirtualPiDriver", "VirtualPieDriver"), 7, "did you mean `VirtualPiDriver`?"),
        (GOOD.replace("CardImage: {}", "CardImage: {fil: x}"), 6, "did you mean `file`?"),
        (GOOD.replace("rpi-3-b", "rpi-3-c"), 5, "did you mean"),
    ],
)
def test_a_mistake_in_lab_yaml_is_a_fault_with_its_line_and_the_nearest_word(tmp_path, wrong, line, hint) -> None:
    (found,) = asked(tmp_path, "lab_yaml", wrong)
    assert found.state == "fault"
    assert found.subject.endswith(f"lab.yaml:{line}")
    assert hint in found.remedy


def test_what_hangs_on_a_bad_lab_yaml_is_not_applicable(tmp_path) -> None:
    (found,) = asked(tmp_path, "power", "targets: {")
    assert (found.state, found.fact) == ("n/a", "lab.yaml is not good")


# --- servers ----------------------------------------------------------------------------------------------------------
@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    yield port


def test_a_coordinator_that_does_not_answer_ends_it_there(tmp_path, monkeypatch) -> None:
    with closed_port() as port:
        monkeypatch.setenv("LG_COORDINATOR", f"127.0.0.1:{port}")
        lab = tmp_path / "lab.yaml"
        lab.write_text(PLACE)
        bench = Bench(lab, "virtual", runs=tmp_path)
        found, target = doctor.examine(bench, only=["coordinator", "target"])
    assert (found.state, found.fact) == ("fault", f"127.0.0.1:{port}: Connection refused")
    assert "labgrid-coordinator" in found.remedy
    assert (target.state, target.fact) == ("n/a", "the coordinator does not answer")


def test_a_target_that_is_no_place_needs_no_coordinator(tmp_path) -> None:
    (found,) = asked(tmp_path, "coordinator")
    assert found.state == "n/a"


@pytest.mark.parametrize(
    ("words", "address"),
    [("lab:7", ("lab", 7)), ("lab", ("lab", 20408)), ("[::1]:5", ("::1", 5)), ("10.0.0.1:20408", ("10.0.0.1", 20408))],
)
def test_a_coordinators_address_is_read_as_labgrid_reads_it(words, address) -> None:
    assert coordinator.address(words) == address


@pytest.mark.parametrize(
    ("reply", "state", "fact"),
    [
        (wire.Reply(b"SSH-2.0-OpenSSH_9.2\r\n", closed=False), "ok", "answers: SSH-2.0-OpenSSH_9.2"),
        (wire.Reply(b"HTTP/1.1 400 Bad\r\n", closed=True), "fault", "is no SSH server: `HTTP/1.1 400 Bad`"),
        (wire.Reply(b"", closed=False), "fault", "accepts, and says nothing within 3 s"),
        (wire.Reply(b"", closed=True), "fault", "accepts, and hangs up at once"),
    ],
)
def test_an_ssh_server_is_known_by_its_first_words(reply, state, fact) -> None:
    found = network.judge_ssh("SSH", reply)
    assert (found.state, found.fact) == (state, fact)


def test_a_board_without_ssh_may_be_off_and_that_is_no_fault() -> None:
    with closed_port() as port:
        (found,) = network._ssh(Bench(Path("lab.yaml")), SimpleNamespace(address="127.0.0.1", port=port))
    assert found.state == "n/a"


def test_a_server_that_accepts_and_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        reply = wire.first_words("127.0.0.1", server.getsockname()[1], seconds=0.2)
    assert reply == wire.Reply(b"", closed=False)


@contextlib.contextmanager
def tftp_server(answer_with: bytes) -> Iterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind(("127.0.0.1", 0))

        def serve() -> None:
            with contextlib.suppress(OSError):
                _, peer = line.recvfrom(600)
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:  # RFC 1350: from a port of its own
                    other.sendto(answer_with, peer)

        threading.Thread(target=serve, daemon=True).start()
        yield line.getsockname()[1]


@pytest.mark.parametrize(
    ("packet", "expected", "state", "fact"),
    [
        (struct.pack("!HH", 5, 1) + b"File not found\0", None, "ok", "answers: File not found"),
        (struct.pack("!HH", 3, 1) + b"arm_64bit=1\n", b"arm_64bit=1\n", "ok", "serves 01234567/config.txt"),
        (struct.pack("!HH", 3, 1) + b"old\n", b"arm_64bit=1\n", "fault", "serves another 01234567/config.txt"),
        (struct.pack("!HH", 5, 1) + b"File not found\0", b"arm_64bit=1\n", "fault", "refuses 01234567/config.txt"),
    ],
)
def test_a_tftp_server_is_asked_for_what_lies_in_the_boards_folder(packet, expected, state, fact) -> None:
    name = "01234567/config.txt"
    with tftp_server(packet) as port:
        said = wire.tftp("127.0.0.1", port, name, seconds=10)
    found = network.judge_tftp(name, expected, said)
    assert (found.state, fact in found.fact) == (state, True)


def test_a_tftp_port_without_a_server_is_silent_or_refused() -> None:
    with pytest.raises(LabError, match="/udp: "):
        wire.tftp("127.0.0.1", 9, "x", seconds=0.2)


def test_what_is_no_tftp_is_said() -> None:
    with tftp_server(b"hello") as port, pytest.raises(ValueError, match="not TFTP: 68 65 6c"):
        wire.tftp("127.0.0.1", port, "x", seconds=10)


def test_a_folder_that_cannot_be_written_is_told() -> None:
    assert network.judge_folder("TFTP folder", Path("/srv"), exists=False, writable=False).state == "fault"
    assert "chown" in network.judge_folder("TFTP folder", Path("/srv"), exists=True, writable=False).remedy
