"""cmdline.txt: parameters, consoles, and what the firmware makes of them."""

import pytest
from bootfs_samples import CMDLINE, PI3, PI4
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.bootfs import cmdline_txt
from harness.errors import ConfigError


@pytest.mark.parametrize("text", ["a b\nc\n", "\n\na b\r\nc", "a b", " a b \0\n"])
def test_only_the_first_line_counts(text: str) -> None:
    assert cmdline_txt.first_line(text) == "a b"


def test_blanks_inside_quotes_belong_to_the_parameter() -> None:
    assert cmdline_txt.split('a="b c" "d=e f"  g') == ['a="b c"', '"d=e f"', "g"]


def test_the_last_of_a_name_counts() -> None:
    assert cmdline_txt.get(["root=/dev/sda1", "root=/dev/sda2"], "root") == "/dev/sda2"
    assert cmdline_txt.get(["rootwait"], "root") is None


def test_a_parameter_takes_the_place_of_all_of_its_name() -> None:
    assert cmdline_txt.put(["a", "root=1", "b", "root=2"], "root=3") == ["a", "root=3", "b"]


def test_a_new_console_goes_to_the_end_and_replaces_its_own_device_only() -> None:
    assert cmdline_txt.put(["console=serial0,9600", "console=tty1", "x"], "console=serial0,115200") == [
        "console=tty1",
        "x",
        "console=serial0,115200",
    ]


def test_the_lab_wants_the_serial_console_last_and_nothing_quiet() -> None:
    line = cmdline_txt.for_lab(cmdline_txt.first_line(CMDLINE))
    assert line == (
        "dwc_otg.lpm_enable=0 console=tty1 root=PARTUUID=6c586e13-02 rootfstype=ext4 elevator=deadline "
        "fsck.repair=yes rootwait plymouth.ignore-serial-consoles console=serial0,115200"
    )


def test_the_lab_keeps_the_first_boot_init_and_takes_another_root() -> None:
    line = cmdline_txt.for_lab("root=PARTUUID=1 init=/usr/lib/raspi-config/init_resize.sh", root="/dev/mmcblk0p2")
    assert line == "root=/dev/mmcblk0p2 init=/usr/lib/raspi-config/init_resize.sh console=serial0,115200"


def test_extra_parameters_have_the_last_word() -> None:
    line = cmdline_txt.for_lab("root=/dev/sda panic=1", extra=["panic=10 loglevel=7", "console=ttyAMA0,115200"])
    assert line == "root=/dev/sda panic=10 loglevel=7 console=serial0,115200 console=ttyAMA0,115200"


def test_a_line_the_kernel_would_cut_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cmdline.txt: 20\d\d characters, the kernel reads 2047"):
        cmdline_txt.for_lab("x" * 2040)


@pytest.mark.parametrize(
    ("overlays", "name"),
    [((), "ttyS0"), (("disable-bt",), "ttyAMA0"), (("miniuart-bt",), "ttyAMA0"), (("i2c",), "ttyS0")],
)
def test_serial0_is_the_uart_on_the_header(overlays: tuple[str, ...], name: str) -> None:
    assert cmdline_txt.serial_names(PI3, overlays)["serial0"] == name


def test_only_whole_console_devices_are_replaced() -> None:
    line = "console=serial0,115200 console=serial1 kgdboc=serial0,115200 xconsole=serial0 console=serial01 console=tty1"
    assert cmdline_txt.replace_serial(line, {"serial0": "ttyS0", "serial1": "ttyAMA0"}) == (
        "console=ttyS0,115200 console=ttyAMA0 kgdboc=ttyS0,115200 xconsole=serial0 console=serial01 console=tty1"
    )


@pytest.mark.parametrize(
    ("overlays", "enable_uart", "started"),
    [
        ((), True, "8250.nr_uarts=1 console=ttyS0,115200"),
        ((), None, "8250.nr_uarts=0 console=ttyS0,115200"),
        (("disable-bt",), None, "8250.nr_uarts=0 console=ttyAMA0,115200"),
        (("miniuart-bt",), None, "8250.nr_uarts=1 console=ttyAMA0,115200"),
    ],
)
def test_the_firmware_adds_whether_there_is_a_mini_uart(
    overlays: tuple[str, ...], enable_uart: bool | None, started: str
) -> None:
    assert cmdline_txt.as_started("console=serial0,115200", PI4, overlays=overlays, enable_uart=enable_uart) == started


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=200))
def test_editing_twice_is_editing_once(text: str) -> None:
    once = cmdline_txt.for_lab(cmdline_txt.first_line(text), root="/dev/x", extra=["panic=10"])
    assert cmdline_txt.for_lab(once, root="/dev/x", extra=["panic=10"]) == once
