import attrs
import pytest

from harness.build import requirements
from harness.build.request import FRAGMENTS
from harness.build.requirements import missing
from harness.errors import ConfigError, UsageError
from harness.model import BoardProfile
from tests_unit.build.test_build_kernel import BOARD

PI4 = attrs.evolve(BOARD, name="rpi-4-b", soc="bcm2711")
SMOKE = (FRAGMENTS / "smoke.config").read_text()
RASPBERRYPI = """
CONFIG_BLOCK=y
CONFIG_MMC=y
CONFIG_MMC_BLOCK=y
CONFIG_MMC_BCM2835_SDHOST=y
CONFIG_CLK_BCM2835=y
CONFIG_MSDOS_PARTITION=y
CONFIG_EXT4_FS=y
"""


def lacking(text: str, *sets: str, board: BoardProfile = BOARD, **where: bool) -> list[str]:
    return [" ".join(each.symbols) for each in missing(text, sets, board, **where)]


@pytest.mark.parametrize("name", requirements.names())
def test_every_set_that_ships_can_be_read_and_says_what_breaks(name: str) -> None:
    found = requirements.load(name)
    assert found.purpose
    assert all(need.symbols and need.without for need in found.needs)
    assert set(found.include) <= set(requirements.names())


@pytest.mark.parametrize("board", [BOARD, PI4], ids=["bcm2837", "bcm2711"])
def test_the_smoke_fragment_has_all_that_a_virtual_board_needs(board: BoardProfile) -> None:
    sets = requirements.default(userland_bits=32, root="/dev/mmcblk0p2")
    assert sets == ("userland32", "serial-console", "reboot", "modules", "root-on-sd")
    assert not missing(SMOKE, (*sets, "systemd", "userland-armv6"), board, virtual=True)


def test_a_lack_says_what_was_wanted_what_is_there_and_what_breaks() -> None:
    (lack,) = missing(SMOKE.replace("CONFIG_COMPAT_32BIT_TIME=y", ""), ["userland32"], BOARD)
    assert str(lack).startswith("userland32: CONFIG_COMPAT_32BIT_TIME: wanted y, got n: armhf systemd dies at once")


def test_a_64_bit_userland_does_not_ask_for_compat() -> None:
    assert "userland32" not in requirements.default(userland_bits=64, root="/dev/nfs")


def test_a_root_that_is_named_by_label_tells_no_medium() -> None:
    assert requirements.default(userland_bits=64, root="LABEL=root") == ("serial-console", "reboot", "modules")


def test_raspberry_pis_own_driver_names_will_do() -> None:
    assert lacking(RASPBERRYPI, "root-on-sd") == []
    assert lacking(RASPBERRYPI.replace("_SDHOST", "_MMC"), "root-on-sd") == ["MMC_BCM2835 MMC_BCM2835_SDHOST"]


def test_each_soc_has_its_own_card_controller() -> None:
    assert lacking(RASPBERRYPI, "root-on-sd", board=PI4, virtual=True) == ["MMC_SDHCI_IPROC"]


def test_a_module_will_do_for_the_root_where_there_is_an_initramfs() -> None:
    text = RASPBERRYPI.replace("EXT4_FS=y", "EXT4_FS=m")
    assert lacking(text, "root-on-sd") == ["EXT4_FS"]
    assert lacking(text, "root-on-sd", initramfs=True) == []


def test_only_a_real_board_needs_a_driver_for_the_mini_uart() -> None:
    assert lacking(SMOKE, "serial-console", virtual=True) == []
    assert lacking("CONFIG_PRINTK=y\nCONFIG_SERIAL_AMBA_PL011_CONSOLE=y\n", "serial-console") == [
        "SERIAL_8250_CONSOLE",
        "SERIAL_8250_BCM2835AUX",
    ]


def test_an_included_set_is_asked_for_more_strictly_where_there_are_no_modules_yet() -> None:
    text = "CONFIG_NETDEVICES=y\nCONFIG_INET=y\nCONFIG_PACKET=y\nCONFIG_BCMGENET=m\n"
    assert lacking(text, "ethernet", board=PI4) == []
    assert "BCMGENET" in lacking(text, "root-on-nfs", board=PI4)
    assert "BCMGENET" in lacking(text, "ethernet", "root-on-nfs", board=PI4)


def test_an_unknown_set_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="no requirement set `root-on-sdd`") as caught:
        missing("", ["root-on-sdd"], BOARD)
    assert "did you mean `root-on-sd`?" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("purpose = 1\nneed = []", "key `purpose` must be a str"),
        ("need = []", "key `purpose` is missing"),
        ('purpose = "x"\nneeds = []', "unknown key `needs`"),
        ('purpose = "x"\n[[need]]\nsymbols = ["A"]\nvalue = "yes"\nwithout = "b"', "need 1: value 'yes' is none of"),
        ('purpose = "x"\n[[need]]\nvalue = "y"\nwithout = "b"', "need 1: key `symbols` is missing"),
        ("purpose", "not TOML"),
    ],
)
def test_a_faulty_set_names_file_and_key(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        requirements.parse(text, "mine.toml")
