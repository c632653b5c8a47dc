"""The system that a card made here has before anything is deployed to it over SSH."""

from pathlib import Path, PurePosixPath

import pytest

from harness.bootfs import compose
from harness.build.requirements import Purpose
from harness.errors import ConfigError
from harness.lab import config, stock
from harness.lab.options import KernelOptions, TargetOptions
from harness.model import BootFile, BootFiles

ROOT = Path(__file__).resolve().parents[2]
CONFIG = "arm_64bit=1\n# pi64 begin\n[all]\nenable_uart=1\n# pi64 end\n"


class Medium:
    """A strategy's medium of no kind in particular."""

    live = False


class Strategy:
    medium = Medium()
    boots = ()

    class target:  # noqa: N801 - as labgrid calls it
        name = "here"


def test_nothing_in_a_stock_config_txt_is_marked_as_ours(tmp_path) -> None:
    """Else a deploy over SSH would take these lines for its own, and restore would take them out."""
    config_txt = BootFile(PurePosixPath("config.txt"), data=CONFIG.encode())
    kernel = BootFile(PurePosixPath("kernel8.img"), data=b"kernel")
    files = stock.as_stock(BootFiles((kernel, config_txt), "6.1", tmp_path, "in-place", ""))
    text = files.files[1].read()
    assert text == b"arm_64bit=1\n[all]\nenable_uart=1\n"
    assert compose.stock({"config.txt": text}) == text.decode()
    assert files.files[0] is kernel


def test_a_target_without_stock_is_left_alone() -> None:
    stock.provide(TargetOptions("rpi-3-b"), Strategy(), meant=Purpose())  # type: ignore[arg-type]


def test_stock_is_refused_where_nothing_is_deployed_to_a_running_system() -> None:
    asked = TargetOptions("rpi-3-b", stock=KernelOptions())
    with pytest.raises(ConfigError, match="here: `stock:` is for a card that the lab makes") as caught:
        stock.provide(asked, Strategy(), meant=Purpose())  # type: ignore[arg-type]
    assert "SshDeployDriver" in caught.value.hint


def test_the_target_that_ships_has_the_same_kernel_below_as_it_builds() -> None:
    """So that the first run builds one kernel and not two."""
    options = config.load(ROOT / "lab.yaml").target("virtual-rpi3-ssh")
    assert options.stock == options.kernel
    assert "net" in options.kernel.fragments
    assert "ip=dhcp" in options.cmdline


def test_a_misspelt_word_below_stock_is_found_before_anything_moves() -> None:
    text = (ROOT / "lab.yaml").read_text().replace("stock: *with-network", "stock: {sauce: x}")
    with pytest.raises(ConfigError, match="unknown key `sauce`"):
        config.parse(text, ROOT / "lab.yaml")
