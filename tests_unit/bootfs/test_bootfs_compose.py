"""Composing boot files: both layouts, idempotence, and the firmware's consent."""

import tempfile
from pathlib import Path

import pytest
from bootfs_samples import ARM64, BASE, CONFIG, PI3, PI4, STOCK, ZIMAGE, built
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import boards
from harness.bootfs import firmware
from harness.bootfs.compose import BEGIN, compose, stock, with_block
from harness.bootfs.partition import Files
from harness.errors import ConfigError, DeployError, UsageError
from harness.model import BoardProfile, BootFiles

LAB_CMDLINE = (
    "dwc_otg.lpm_enable=0 console=tty1 root=PARTUUID=6c586e13-02 rootfstype=ext4 elevator=deadline "
    "fsck.repair=yes rootwait plymouth.ignore-serial-consoles console=serial0,115200"
)


def contents(files: BootFiles) -> dict[str, bytes]:
    return {str(file.path): file.read() for file in files.files}


def with_config(config: str) -> dict[str, bytes]:
    return {**BASE, "config.txt": config.encode()}


# --- side by side ----------------------------------------------------------------------------------------------------
def test_the_new_system_lies_beside_the_stock_one(tmp_path: Path) -> None:
    files = contents(compose(built(tmp_path), PI3, BASE))
    assert sorted(files) == [
        "config.txt",
        "pi64/bcm2710-rpi-3-b.dtb",
        "pi64/bcm2837-rpi-3-b.dtb",
        "pi64/cmdline.txt",
        "pi64/kernel8.img",
    ]
    assert files["pi64/kernel8.img"] == ARM64
    assert files["pi64/cmdline.txt"].decode() == f"{LAB_CMDLINE}\n"


def test_our_block_stands_behind_the_untouched_stock_lines(tmp_path: Path) -> None:
    config = contents(compose(built(tmp_path), PI3, BASE))["config.txt"].decode()
    assert config == CONFIG + (
        "# pi64 begin\n[all]\nos_prefix=pi64/\narm_64bit=1\nkernel=kernel8.img\ncmdline=cmdline.txt\nenable_uart=1\n"
        "# pi64 end\n"
    )


@pytest.mark.parametrize("name", boards.names())
@pytest.mark.parametrize("layout", ["side-by-side", "in-place"])
def test_every_model_takes_the_composed_kernel(tmp_path: Path, name: str, layout: str) -> None:
    board = boards.load(name)
    files = compose(built(tmp_path, dtbs=board.dtbs[-1:]), board, BASE, layout=layout)
    plan = firmware.plan(Files({**STOCK, **contents(files)}), board)
    assert (plan.bootable, plan.arm_64bit) == (True, True)
    assert plan.kernel == f"{files.os_prefix}kernel8.img"
    assert plan.dtb in {f"{files.os_prefix}{dtb}" for dtb in board.dtbs}


def test_a_mainline_dtb_gets_the_name_the_firmware_looks_for(tmp_path: Path) -> None:
    files = contents(compose(built(tmp_path, dtbs=("bcm2837-rpi-3-b.dtb",)), PI3, BASE))
    assert files["pi64/bcm2710-rpi-3-b.dtb"] == files["pi64/bcm2837-rpi-3-b.dtb"] == b"bcm2837-rpi-3-b.dtb"


def test_overlays_bring_the_readme_without_which_they_are_not_used(tmp_path: Path) -> None:
    files = contents(compose(built(tmp_path, overlays=("disable-bt.dtbo",)), PI3, BASE))
    assert files["pi64/overlays/disable-bt.dtbo"] == b"disable-bt.dtbo"
    assert files["pi64/overlays/README"]
    own = contents(compose(built(tmp_path, overlays=("disable-bt.dtbo", "README")), PI3, BASE))
    assert own["pi64/overlays/README"] == b"README"


def test_extra_lines_and_parameters_are_taken(tmp_path: Path) -> None:
    files = contents(
        compose(
            built(tmp_path), PI3, BASE,
            root="/dev/mmcblk0p2", config_extra=["dtoverlay=disable-bt"], cmdline_extra=["panic=10"],
        )
    )  # fmt: skip
    assert "enable_uart=1\ndtoverlay=disable-bt\n# pi64 end\n" in files["config.txt"].decode()
    assert "root=/dev/mmcblk0p2 " in files["pi64/cmdline.txt"].decode()
    assert files["pi64/cmdline.txt"].decode().endswith("panic=10 console=serial0,115200\n")


def test_a_stock_command_line_of_another_name_is_found(tmp_path: Path) -> None:
    base = {"config.txt": b"cmdline=other.txt\n", "other.txt": b"root=/dev/other\n"}
    side = contents(compose(built(tmp_path), PI3, base))
    assert side["pi64/cmdline.txt"] == b"root=/dev/other console=serial0,115200\n"
    assert contents(compose(built(tmp_path), PI3, base, layout="in-place"))["other.txt"] == side["pi64/cmdline.txt"]


def test_an_empty_boot_partition_gets_a_plain_command_line(tmp_path: Path) -> None:
    files = contents(compose(built(tmp_path), PI4, {}))
    assert b"root=/dev/mmcblk0p2 rootfstype=ext4" in files["pi64/cmdline.txt"]


# --- in place --------------------------------------------------------------------------------------------------------
def test_in_place_overwrites_the_stock_files_as_the_guide_does(tmp_path: Path) -> None:
    files = contents(compose(built(tmp_path), PI3, BASE, layout="in-place"))
    assert sorted(files) == [
        "bcm2710-rpi-3-b.dtb",
        "bcm2711-rpi-4-b.dtb",
        "bcm2837-rpi-3-b.dtb",
        "cmdline.txt",
        "config.txt",
        "kernel8.img",
    ]
    assert files["config.txt"].decode() == f"{CONFIG}# pi64 begin\n[all]\narm_64bit=1\nenable_uart=1\n# pi64 end\n"


def test_in_place_says_arm_64bit_only_where_it_is_needed(tmp_path: Path) -> None:
    def config(text: str) -> str:
        files = contents(compose(built(tmp_path), PI4, with_config(text), layout="in-place"))
        return files["config.txt"].decode().partition("# pi64 begin")[2]

    assert "arm_64bit" not in config(CONFIG)
    assert "arm_64bit=1" in config("arm_64bit=0\n")


# --- again and back --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("layout", ["side-by-side", "in-place"])
def test_composing_twice_is_composing_once(tmp_path: Path, layout: str) -> None:
    once = contents(compose(built(tmp_path), PI3, BASE, layout=layout))
    assert contents(compose(built(tmp_path), PI3, {**BASE, **once}, layout=layout)) == once


def test_changing_the_layout_leaves_no_trace_of_the_other(tmp_path: Path) -> None:
    once = contents(compose(built(tmp_path), PI3, BASE))
    assert (
        b"os_prefix" not in contents(compose(built(tmp_path), PI3, {**BASE, **once}, layout="in-place"))["config.txt"]
    )


def test_stock_gives_back_what_was_there(tmp_path: Path) -> None:
    base = {**BASE, "config.txt": CONFIG.replace("\n", "\r\n").encode() + b"# Gr\xfc\xc3\xbcn \x0b\x85\r\n"}
    files = contents(compose(built(tmp_path), PI3, base))
    assert stock(files).encode("latin-1") == base["config.txt"]


def test_lines_behind_our_block_are_kept() -> None:
    config = with_block("a=1\n", ["b=1"]) + "c=1\n"
    assert stock({"CONFIG.TXT": config.encode()}) == "a=1\nc=1\n"


@pytest.mark.parametrize("end", ["", "# pi64 begin\n[all]\n# pi64 end\n"])
def test_half_a_block_is_refused_before_it_costs_a_line(end: str) -> None:
    with pytest.raises(ConfigError, match="`# pi64 begin` in line 2 without `# pi64 end`"):
        stock({"config.txt": f"a=1\n# pi64 begin\nb=1\n{end}".encode()})


def test_an_absolute_prefix_still_gives_relative_paths(tmp_path: Path) -> None:
    files = contents(compose(built(tmp_path), PI3, BASE, os_prefix="/lab/"))
    assert "lab/kernel8.img" in files


TEXTS = st.text(st.characters(max_codepoint=255), max_size=80).filter(lambda text: BEGIN not in text)


@settings(max_examples=50, deadline=None)
@given(TEXTS)
def test_taking_the_block_out_undoes_putting_it_in(text: str) -> None:
    config = with_block(text, ["a=1"])
    assert stock({"config.txt": config.encode("latin-1")}).removesuffix("\n") == text.removesuffix("\n")
    assert with_block(stock({"config.txt": config.encode("latin-1")}), ["a=1"]) == config


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([*CONFIG.splitlines(), "[pi4]", "[none]", "kernel=k", "arm_64bit=0", "os_prefix=x/"])))
def test_no_order_of_ordinary_lines_keeps_the_firmware_from_our_kernel(lines: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        base = with_config("\n".join(lines))
        files = contents(compose(built(Path(folder)), PI4, base))
        assert contents(compose(built(Path(folder)), PI4, {**base, **files})) == files


# --- refusals --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("config", "layout", "board", "what", "line"),
    [
        ("a=1\ndevice_tree=my.dtb\n", "side-by-side", PI3, "dtb would be my.dtb", 2),
        ("device_tree=\n", "in-place", PI4, "dtb would be (none)", 1),
        ("[pi4]\nkernel=k.img\n", "in-place", PI4, "kernel would be k.img", 2),
        ("kernel=kernel7.img\n", "in-place", PI3, "arm_64bit would be 0", 1),
    ],
)
def test_a_stock_line_that_keeps_the_firmware_from_our_kernel_is_named(
    tmp_path: Path, config: str, layout: str, board: BoardProfile, what: str, line: int
) -> None:
    with pytest.raises(DeployError) as caught:
        compose(built(tmp_path), board, with_config(config), layout=layout)
    assert what in caught.value.message
    assert caught.value.evidence[0] == f"config.txt:{line}: {config.splitlines()[line - 1]}"
    assert "take that line out" in caught.value.hint


def test_an_extra_include_that_changes_the_prefix_is_named(tmp_path: Path) -> None:
    base = {**BASE, "user.txt": b"os_prefix=other/\n"}
    with pytest.raises(DeployError) as caught:
        compose(built(tmp_path), PI3, base, config_extra=["include user.txt"])
    assert caught.value.evidence[0] == "user.txt:1: os_prefix=other/"


def test_an_over_long_line_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config.txt:21: line has 99 characters, the firmware reads 98"):
        compose(built(tmp_path), PI3, with_config(CONFIG + "dtparam=" + "x" * 91 + "\n"))


def test_a_build_without_the_boards_dtb_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match=r"rpi-4-b: kernel 6\.12\.1-test was built without bcm2711-rpi-4-b.dtb"):
        compose(built(tmp_path, dtbs=("bcm2837-rpi-3-b.dtb",)), PI4, BASE)


def test_a_32_bit_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match=r"cannot boot: kernel pi64/kernel8\.img is a 32-bit zImage"):
        compose(built(tmp_path, image=ZIMAGE), PI3, BASE)


@pytest.mark.parametrize(("layout", "prefix"), [("sideways", "pi64/"), ("side-by-side", ""), ("side-by-side", "/")])
def test_a_layout_that_cannot_be_is_refused(tmp_path: Path, layout: str, prefix: str) -> None:
    with pytest.raises(UsageError):
        compose(built(tmp_path), PI3, BASE, layout=layout, os_prefix=prefix)
