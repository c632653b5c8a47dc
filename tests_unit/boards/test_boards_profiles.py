"""Board profiles: what the files say, and what is refused."""

import re

import pytest

from harness import boards
from harness.errors import ConfigError, UsageError

GOOD = (boards.FOLDER / "rpi-3-b.toml").read_text()


@pytest.mark.parametrize("name", boards.names())
def test_every_file_is_a_board(name: str) -> None:
    board = boards.load(name)
    assert board.name == name
    assert board.dtbs
    assert board.kernel_64 == ("kernel8.img",)
    assert board.arm_64bit == (board.soc == "bcm2711")


def test_the_models_of_the_guide_are_there() -> None:
    assert {"rpi-3-b", "rpi-3-b-plus", "rpi-4-b"} <= set(boards.names())


@pytest.mark.parametrize(
    ("name", "machine", "memory"),
    [("rpi-3-b", "raspi3b", "1G"), ("rpi-4-b", "raspi4b", "2G"), ("rpi-3-a-plus", "raspi3ap", "512M")],
)
def test_virtual_boards_name_their_machine(name: str, machine: str, memory: str) -> None:
    qemu = boards.load(name).qemu
    assert qemu is not None
    assert (qemu.machine, qemu.memory) == (machine, memory)


@pytest.mark.parametrize("name", boards.names())
def test_the_revision_code_fits_the_model_and_its_virtual_memory(name: str) -> None:
    """Bits 12-15 are the processor, bits 20-22 the memory: 256 MiB doubled."""
    board = boards.load(name)
    assert board.revision >> 12 & 0xF == {"bcm2837": 2, "bcm2711": 3}[board.soc]
    if board.qemu:
        mib = {"512M": 512, "1G": 1024, "2G": 2048}[board.qemu.memory]
        assert 256 << (board.revision >> 20 & 7) == mib


def test_an_unknown_model_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no board model `rpi-3b`; known: .*rpi-3-b.*rpi-4-b") as caught:
        boards.load("rpi-3b")
    assert caught.value.hint == "did you mean `rpi-3-b`?"


def test_a_path_is_no_model() -> None:
    with pytest.raises(UsageError):
        boards.load("../boards/rpi-3-b")


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        ("arm_64bit =", "arm64bit =", "pi.toml: unknown key `arm64bit`", "did you mean `arm_64bit`?"),
        ("memory =", "memroy =", "pi.toml: unknown key `qemu.memroy`", "did you mean `memory`?"),
        ("title =", "zzz =", "pi.toml: unknown key `zzz`", "known keys: title"),
        ("arm_64bit = false", "", "pi.toml: key `arm_64bit` is missing", ""),
        ('machine = "raspi3b"', "", "pi.toml: key `qemu.machine` is missing", ""),
        ("arm_64bit = false", "arm_64bit = 0", "key `arm_64bit` must be true or false, not 0", ""),
        ("revision = 0xa02082", "revision = true", "key `revision` must be a whole number, not True", ""),
        ('memory = "1G"', "memory = 1", "key `qemu.memory` must be a string, not 1", ""),
        ('config_filters = ["pi3"]', 'config_filters = "pi3"', "`config_filters` must be a list of strings", ""),
        ('kernel_32 = ["kernel7.img"]', "kernel_32 = [7]", "`kernel_32` must be a list of strings", ""),
        ("title =", "title", "pi.toml: not TOML", ""),
        ("title =", 'name = "x"\ntitle =', "pi.toml: unknown key `name`", ""),
    ],
)
def test_a_faulty_file_names_file_key_and_remedy(old: str, new: str, message: str, hint: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        boards.parse(GOOD.replace(old, new), "pi.toml")
    assert hint in caught.value.hint


def test_qemu_must_be_a_table() -> None:
    text = GOOD.partition("[qemu]")[0]
    with pytest.raises(ConfigError, match="key `qemu` must be a table"):
        boards.parse(f"{text}qemu = 1\n", "pi.toml")


def test_a_board_without_qemu_is_a_board() -> None:
    assert boards.parse(GOOD.partition("[qemu]")[0], "pi.toml").qemu is None
