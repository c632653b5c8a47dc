"""The exchange with a boot ROM and its firmware, byte by byte; the board is scripted behind pyusb's own backend."""

import errno
import struct
import threading
from pathlib import Path, PurePosixPath

import pytest
import usb.core
from hypothesis import given
from hypothesis import strategies as st
from usbbackend import DONE, READ, SIZE, Bus, Stage, firmware, message, rom

from harness.deploy import rpiboot_wire as wire
from harness.deploy.rpiboot_offer import Offer
from harness.deploy.rpiboot_server import Boot
from harness.deploy.rpiboot_wire import CHIPS, Link, send_second_stage, serve
from harness.errors import LabError
from harness.model import BootFile

PI3, CM4 = 0x2764, 0x2711
CODE = b"\x0e\x00\x00\xea" * 10


@pytest.fixture(autouse=True)
def _soon(monkeypatch) -> None:
    monkeypatch.setattr(wire, "PAUSE_S", 0.01)


def board(program, bus: Bus | None = None, *, product: int = PI3, **more) -> tuple[Bus, Link]:
    bus = bus or Bus()
    bus.plug(Stage(bus, "1-1.4", program, lambda: None, product=product, **more))
    return bus, Link(usb.core.find(backend=bus, idVendor=0x0A5C))


def offer(tmp_path: Path, stock: dict[str, bytes] | None = None, ours: dict[str, bytes] | None = None) -> Offer:
    for name, content in (stock or {}).items():
        path = tmp_path / "firmware" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return Offer(
        [BootFile(PurePosixPath(name), data=data) for name, data in (ours or {}).items()], tmp_path / "firmware"
    )


def served(tmp_path: Path, program, stock=None, ours=None, *, product: int = PI3, **more) -> tuple[Boot, Bus]:
    boot = Boot()
    bus, link = board(program, product=product, **more)
    serve(link, CHIPS[product], offer(tmp_path, stock, ours), boot, stop=threading.Event())
    return boot, bus


# --- the documented exchange -----------------------------------------------------------------------------------------
def test_the_rom_gets_a_header_of_24_bytes_and_its_second_stage_and_tells_how_that_went() -> None:
    code: list[bytes] = []
    bus, link = board(rom(code))
    send_second_stage(link, CODE, pause=lambda _: None)
    assert bus.log == [
        ("control", 0x40, 0, 24, 0, 0),
        ("bulk", 1, b"\x28\x00\x00\x00" + bytes(20)),  # its length, and no signature
        ("control", 0x40, 0, 40, 0, 0),
        ("bulk", 1, CODE),
        ("control", 0xC0, 0, 4, 0, 4),
    ]
    assert bus.claimed == [0]


def test_the_firmware_gets_a_file_by_its_size_and_then_its_content(tmp_path) -> None:
    got: dict[str, bytes | None] = {}
    _, bus = served(tmp_path, firmware(["recovery.elf", "config.txt"], got), {"config.txt": b"arm_64bit=1\n"})
    assert bus.log == [
        ("control", 0xC0, 0, 260, 0, 260),  # recovery.elf, size?
        ("control", 0x40, 0, 0, 0, 0),  # no such file
        ("control", 0xC0, 0, 260, 0, 260),  # config.txt, size?
        ("control", 0x40, 0, 12, 0, 0),
        ("control", 0xC0, 0, 260, 0, 260),  # config.txt, read
        ("control", 0x40, 0, 12, 0, 0),
        ("bulk", 1, b"arm_64bit=1\n"),
        ("control", 0xC0, 0, 260, 0, 260),  # done
    ]
    assert got == {"recovery.elf": None, "config.txt": b"arm_64bit=1\n"}


def test_a_size_above_64_kib_is_split_over_both_fields_and_the_content_over_pieces_of_16_kib(tmp_path) -> None:
    content = bytes(range(256)) * 300  # 76,800 bytes
    got: dict[str, bytes | None] = {}
    _, bus = served(tmp_path, firmware(["start.elf"], got), {"start.elf": content})
    assert bus.log[1] == ("control", 0x40, 0, 76_800 - 65_536, 1, 0)
    assert [len(entry[2]) for entry in bus.log if entry[0] == "bulk"] == [16_384] * 4 + [76_800 - 4 * 16_384]
    assert got["start.elf"] == content


def test_a_board_that_is_mass_storage_as_well_is_spoken_to_by_its_second_interface() -> None:
    code: list[bytes] = []
    bus, link = board(rom(code), interfaces=((0x01, 0x82), (0x03, 0x84)))
    send_second_stage(link, CODE, pause=lambda _: None)
    assert bus.claimed == [1]
    assert {entry[1] for entry in bus.log if entry[0] == "bulk"} == {3}


def test_a_board_that_takes_less_than_it_is_given_gets_the_rest(tmp_path) -> None:
    got: dict[str, bytes | None] = {}
    content = bytes(range(250)) * 40
    served(tmp_path, firmware(["start.elf"], got), {"start.elf": content}, piece=999)
    assert got["start.elf"] == content


def test_what_a_board_says_of_itself_is_noted_and_is_no_file(tmp_path) -> None:
    def program():
        for name in ("*SERIAL*10000000\x1b[2J", "*BOARD_REV", "*"):
            yield ("in", message(SIZE, name))
            yield ("size",)
        yield ("in", message(DONE, "x"))

    boot, _ = served(tmp_path, program(), {"x": b""}, product=CM4)
    assert boot.said == {"SERIAL": r"10000000\x1b[2J", "BOARD_REV": "", "": ""}
    assert boot.missing == []


# --- which file ------------------------------------------------------------------------------------------------------
def test_our_files_go_before_the_firmwares_and_the_chips_own_folder_before_the_top(tmp_path) -> None:
    stock = {"config.txt": b"stock", "2711/config.txt": b"chip", "2711/mcb.bin": b"m", "2710/fixup.dat": b"other"}
    names = ["config.txt", "mcb.bin", "fixup.dat", "pi64/kernel8.img"]
    got: dict[str, bytes | None] = {}
    boot, _ = served(tmp_path, firmware(names, got), stock, {"pi64/kernel8.img": b"ours"}, product=CM4)
    assert got == {"config.txt": b"chip", "mcb.bin": b"m", "fixup.dat": None, "pi64/kernel8.img": b"ours"}
    assert list(boot.files) == ["2711/config.txt", "2711/mcb.bin", "pi64/kernel8.img"]
    assert boot.missing == ["fixup.dat"]
    assert offer(tmp_path, ours={"config.txt": b"ours"}).find("config.txt", "2711") == ("config.txt", b"ours")


def test_names_are_found_in_any_case_and_without_empty_parts_as_on_a_fat(tmp_path) -> None:
    got: dict[str, bytes | None] = {}
    served(tmp_path, firmware(["OVERLAYS//./Disable-BT.dtbo"], got), {"overlays/disable-bt.dtbo": b"o"})
    assert list(got.values()) == [b"o"]


def test_an_empty_file_is_sent_as_one_that_is_not_there(tmp_path) -> None:
    """The protocol has no other word for it."""
    _, bus = served(tmp_path, firmware(["timeout"], {}), {"timeout": b""})
    assert bus.log[1] == ("control", 0x40, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../lab.yaml", "leads out of its folder"),
        ("overlays/../../lab.yaml", "leads out of its folder"),
        ("..", "leads out of its folder"),
        ("/etc/passwd", "is absolute"),
        ("//etc/passwd", "is absolute"),
        ("..\\lab.yaml", "has a backslash"),
        ("overlays\\x.dtbo", "has a backslash"),
        ("a\nb", "has characters that no file name has"),
        ("a\x1b[2Jb", "has characters that no file name has"),
        ("caf\xe9", "has characters that no file name has"),
        ("./.", "names nothing"),
    ],
)
@pytest.mark.parametrize("command", [SIZE, READ])
def test_a_name_that_is_none_is_refused_and_told(tmp_path, name: str, why: str, command: int) -> None:
    (tmp_path / "lab.yaml").write_text("secret")

    def program():
        yield ("in", message(command, name))
        answers.append((yield ("size",)))
        yield ("in", errno.ENODEV)

    answers: list[int] = []
    with pytest.raises(LabError, match=r"board at USB 1-1\.4 \(0a5c:2764\) asked for ") as caught:
        served(tmp_path, program(), {"config.txt": b""})
    assert f", which {why}: refused" in caught.value.message
    assert "\x1b" not in caught.value.message
    assert answers == [0]


def test_a_refusal_is_told_even_if_the_board_leaves_upon_it(tmp_path) -> None:
    def program():
        yield ("in", message(SIZE, "../x"))

    with pytest.raises(LabError, match="leads out of its folder"):
        served(tmp_path, program(), {"config.txt": b""})


@given(st.text(min_size=1, max_size=40))
def test_no_name_that_is_taken_leads_out_of_the_folder(name: str) -> None:
    try:
        path = wire.checked(name)
    except LabError:
        return
    assert (Path("/srv/boot") / path).resolve().is_relative_to("/srv/boot")
    assert "\0" not in path


def test_a_link_that_leads_out_of_the_folder_is_no_file(tmp_path) -> None:
    found = offer(tmp_path, {"config.txt": b""})
    (tmp_path / "secret").write_text("x")
    (tmp_path / "firmware" / "start.elf").symlink_to(tmp_path / "secret")
    (tmp_path / "firmware" / "fixup.dat").symlink_to("config.txt")
    found = offer(tmp_path)
    assert found.find("start.elf", "2710") is None
    assert found.find("fixup.dat", "2710") == ("fixup.dat", b"")


def test_a_file_that_cannot_be_read_is_told(tmp_path) -> None:
    found = offer(tmp_path, {"start.elf": b"x"})
    (tmp_path / "firmware" / "start.elf").unlink()
    with pytest.raises(LabError, match=r"boot file .*start\.elf: No such file"):
        found.find("start.elf", "2710")


# --- how it ends -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "end", [("in", message(DONE, "x")), ("in", message(SIZE, "")), ("in", errno.EIO), ("in", errno.ENODEV)]
)
def test_a_board_that_has_done_or_has_left_is_the_normal_end(tmp_path, end) -> None:
    boot, _ = served(tmp_path, firmware(["config.txt"], {}, end=end), {"config.txt": b"x"})
    assert list(boot.files) == ["config.txt"]


def test_a_board_that_leaves_instead_of_taking_a_size_is_the_normal_end(tmp_path) -> None:
    def program():
        yield ("in", message(SIZE, "overlays/x.dtbo"))

    boot, _ = served(tmp_path, program(), {"x": b""})
    assert boot.missing == ["overlays/x.dtbo"]


def test_a_silent_board_is_waited_for_until_told_otherwise(tmp_path) -> None:
    stop = threading.Event()
    _, link = board(firmware([], {}, end=("in", errno.ETIMEDOUT)))
    thread = threading.Thread(target=serve, args=(link, CHIPS[PI3], offer(tmp_path), Boot()), kwargs={"stop": stop})
    thread.start()
    thread.join(0.1)
    assert thread.is_alive()
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def test_a_board_that_stalls_once_is_asked_again(tmp_path) -> None:
    def program():
        yield ("in", errno.EPIPE)
        yield ("in", message(SIZE, "start.elf"))
        yield ("size",)

    boot, _ = served(tmp_path, program())
    assert boot.missing == ["start.elf"]


def test_a_board_that_stalls_again_and_again_is_the_labs_fault(tmp_path) -> None:
    def program():
        while True:
            yield ("in", errno.EPIPE)

    with pytest.raises(LabError, match=r"board at USB 1-1\.4 \(0a5c:2764\) does not say what it wants.*Broken pipe"):
        served(tmp_path, program())


def test_a_file_that_breaks_off_is_told_with_how_far_it_came(tmp_path) -> None:
    with pytest.raises(LabError, match=r"1-1\.4 .*: start\.elf broke off after 0 of 5 bytes: No such device") as caught:
        served(tmp_path, firmware(["start.elf"], {}), {"start.elf": b"12345"}, piece=-1)
    assert "cable" in caught.value.hint


def test_a_board_that_takes_nothing_more_is_told(tmp_path) -> None:
    with pytest.raises(LabError, match=r"start\.elf broke off after 0 of 5 bytes: it takes no more"):
        served(tmp_path, firmware(["start.elf"], {}), {"start.elf": b"12345"}, piece=0)


@pytest.mark.parametrize("data", [b"", b"\0\0\0\0", b"\0\0\0", struct.pack("<i", 0) + b"n" * 256])
def test_a_message_without_an_end_is_refused(tmp_path, data: bytes) -> None:
    with pytest.raises(LabError, match=f"a message of {len(data)} bytes that has no end"):
        served(tmp_path, iter_program(data))


def iter_program(data: bytes):
    yield ("in", data)
    yield ("in", errno.ENODEV)


@pytest.mark.parametrize("command", [3, -1, 2**31 - 1])
def test_a_command_that_nobody_knows_is_refused(tmp_path, command: int) -> None:
    with pytest.raises(LabError, match=f"sent command {command}, which nobody knows, with name 'start.elf'"):
        served(tmp_path, iter_program(message(command, "start.elf")))


@given(st.binary(max_size=260))
def test_any_message_is_parsed_or_refused(data: bytes) -> None:
    try:
        _, name = wire.parse_message(data)
    except LabError:
        return
    assert "\0" not in name


# --- the second stage ------------------------------------------------------------------------------------------------
def second_stage(status, **more) -> None:
    _, link = board(rom([], status=status), **more)
    send_second_stage(link, CODE, pause=lambda _: None)


def test_a_rom_that_does_not_start_its_second_stage_is_told_with_its_status() -> None:
    with pytest.raises(LabError, match="does not start its second stage: status 0x3") as caught:
        second_stage(b"\x03\0\0\0")
    assert "of another chip" in caught.value.hint


def test_a_status_cut_short_is_told() -> None:
    with pytest.raises(LabError, match="2 of the 4 bytes came"):
        second_stage(b"\0\0")


@pytest.mark.parametrize("gone", [errno.EIO, errno.ENODEV])
def test_a_rom_that_has_left_before_it_could_tell_has_started_its_second_stage(gone: int) -> None:
    second_stage(gone)


def test_a_rom_that_tells_nothing_at_all_is_the_labs_fault() -> None:
    with pytest.raises(LabError, match=r"second stage: USB device 1-1\.4 \(0a5c:2764\): Connection timed out"):
        second_stage(errno.ETIMEDOUT)


def test_a_rom_that_leaves_while_it_is_given_its_second_stage_is_the_labs_fault() -> None:
    with pytest.raises(LabError, match="the second stage's header broke off after 0 of 24 bytes"):
        second_stage(b"", piece=-1)


def test_the_rom_is_given_time_before_it_is_asked() -> None:
    pauses: list[float] = []
    _, link = board(rom([]))
    send_second_stage(link, CODE, pause=pauses.append)
    assert pauses == [wire.PAUSE_S]
