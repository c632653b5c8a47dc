"""How long a kernel takes from the build's folder onto a card: a new card, another kernel, the same kernel again.

Counted is all that a run does between having the kernel and switching the power on: depmod for its modules, composing
the boot files, reading what lies there, writing, and reading back. The card is a copy of the shipped base image.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import attrs
from _common import Figure, Inputs, boot_files, inputs, main, median, own_lab, repeats, scratch, timed
from labgrid import Environment

from harness.deploy.sdcard import CardImageDriver
from harness.model import KernelBuild

TARGET = "virtual-rpi3"
CHANGED_LIMIT_S = 3.0
UNCHANGED_LIMIT_S = 0.5
VERSION_AT = 0x40  # behind the header of an arm64 Image; the content counts, nobody boots it


def figures() -> Iterator[Figure]:
    """Measure on one card: each repeat brings another kernel and then the same one again."""
    number, given = repeats(3), inputs(TARGET)
    new: list[float] = []
    changed: list[float] = []
    unchanged: list[float] = []
    with scratch() as folder:
        os.environ["PI64_CACHE"] = str(folder)  # depmod's copies of these kernels leave with the folder
        driver = _driver(folder, given)
        with timed(new):
            _deploy(driver, given, given.kernel)
        for repeat in range(number):
            kernel = _another(given.kernel, folder / str(repeat), f"{given.kernel.release}-bench{repeat}")
            with timed(changed):
                written = _deploy(driver, given, kernel)
            assert any(name.endswith("kernel8.img") for name in written), written
            with timed(unchanged):
                assert _deploy(driver, given, kernel) == ()
        size = driver.slot.path.stat().st_size / 2**30
    yield Figure("deploy.card_size", size, "G")
    yield Figure("deploy.new_card", median(new))
    yield Figure("deploy.changed_kernel", median(changed), limit=CHANGED_LIMIT_S)
    yield Figure("deploy.unchanged", median(unchanged), limit=UNCHANGED_LIMIT_S)


def _driver(folder: Path, given: Inputs) -> CardImageDriver:
    target = Environment(str(own_lab(folder))).get_target(TARGET)
    driver: CardImageDriver = target.get_driver("CardImageDriver")
    driver.use(given.base)
    return driver


def _deploy(driver: CardImageDriver, given: Inputs, kernel: KernelBuild) -> tuple[str, ...]:
    """Do what the fixtures `boot_files` and `dut` do; return what was written."""
    written: tuple[str, ...] = driver.deploy(boot_files(given, kernel, driver.stock())).written
    return written


def _another(kernel: KernelBuild, folder: Path, release: str) -> KernelBuild:
    """Return a copy of *kernel* as a build of other sources would leave it: another Image, another release."""
    shutil.copytree(kernel.modules_root, folder / "modules", symlinks=True)
    modules = folder / "modules" / "lib" / "modules"
    (modules / kernel.release).rename(modules / release)
    content = bytearray(kernel.image.read_bytes())
    content[VERSION_AT : VERSION_AT + len(release)] = release.encode()
    image = folder / "Image"
    image.write_bytes(content)
    return attrs.evolve(kernel, release=release, image=image, modules_root=folder / "modules")


if __name__ == "__main__":
    main(figures())
