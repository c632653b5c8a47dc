"""A kernel that needs an initramfs brings it along, and the firmware loads that one and no other."""

from pathlib import Path

import attrs
import pytest
from bootfs_samples import BASE, PI3, STOCK, built

from harness.bootfs import firmware
from harness.bootfs.compose import compose
from harness.bootfs.partition import Files
from harness.errors import DeployError
from harness.model import BootFiles, KernelBuild


@pytest.fixture
def kernel(tmp_path: Path) -> KernelBuild:
    (tmp_path / "initramfs.img").write_bytes(b"ours")
    return attrs.evolve(built(tmp_path), initramfs=tmp_path / "initramfs.img")


def contents(files: BootFiles) -> dict[str, bytes]:
    return {str(file.path): file.read() for file in files.files}


@pytest.mark.parametrize(
    ("layout", "name"), [("side-by-side", "pi64/initramfs.img"), ("in-place", "pi64-initramfs.img")]
)
@pytest.mark.parametrize("stock", ["", "auto_initramfs=1\n", "initramfs initramfs8 followkernel\n"])
def test_the_firmware_loads_our_initramfs(kernel: KernelBuild, layout: str, name: str, stock: str) -> None:
    base = {**BASE, "config.txt": stock.encode(), "initramfs8": b"stock"}
    files = compose(kernel, PI3, base, layout=layout)
    plan = firmware.plan(Files({**STOCK, **base, **contents(files)}), PI3)
    assert (plan.bootable, plan.initramfs) == (True, (name,))
    assert contents(files)[name] == b"ours"


def test_a_line_that_takes_it_away_is_named(kernel: KernelBuild) -> None:
    with pytest.raises(DeployError, match="initramfs would be"):
        compose(kernel, PI3, BASE, config_extra=["initramfs other.img followkernel"])


def test_a_kernel_without_one_composes_as_before(tmp_path: Path) -> None:
    assert "initramfs" not in contents(compose(built(tmp_path), PI3, BASE))["config.txt"].decode()
