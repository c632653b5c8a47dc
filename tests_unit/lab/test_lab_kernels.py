"""From a target's options to its kernel: what it must have, and what the age of the card's firmware asks for."""

from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import attrs
import prebuilt_samples as samples
import pytest
import tinycard
from smallcard import MIB

from harness.build import stubs
from harness.build.prebuilt import builddir, initramfs
from harness.card.fat import FatPartition
from harness.errors import BuildError, UsageError
from harness.lab import choices, kernels
from harness.lab.options import KernelOptions, TargetOptions
from harness.model import BaseImage, BootFile

PI4 = TargetOptions(model="rpi-4-b")
BOOT_TEXTS = {"config.txt": b"arm_64bit=1\n", "cmdline.txt": b"console=serial0,115200 root=/dev/mmcblk0p2\n"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(initramfs, "compiled_init", lambda: b"init")
    monkeypatch.setattr(builddir, "STRIPPERS", ())


# --- what it must have -----------------------------------------------------------------------------------------------
def test_userland_and_root_filesystem_say_what_a_kernel_must_have() -> None:
    meant = kernels.purpose(PI4, features=["virtual"], userland_bits=32)
    assert {"userland32", "root-on-sd", "modules"} <= set(meant.sets)
    assert meant.virtual
    nfs = kernels.purpose(attrs.evolve(PI4, root="/dev/nfs"), features=[], userland_bits=64)
    assert "root-on-nfs" in nfs.sets
    assert "userland32" not in nfs.sets


@pytest.mark.parametrize(("said", "sets"), [(("modules",), ("modules",)), (("none",), ())])
def test_who_names_sets_gets_these_and_no_others(said: tuple[str, ...], sets: tuple[str, ...]) -> None:
    options = attrs.evolve(PI4, kernel=KernelOptions(requires=said))
    assert kernels.purpose(options, features=[], userland_bits=32).sets == sets


def test_a_kernel_built_elsewhere_is_held_to_the_same(tmp_path: Path) -> None:
    folder = samples.write(tmp_path / "unpacked", samples.package())
    options = attrs.evolve(PI4, kernel=KernelOptions(prebuilt=(str(folder),)))
    meant = kernels.purpose(options, features=["virtual"], userland_bits=32)
    with pytest.raises(BuildError, match="lacks what a kernel for Raspberry Pi 4 Model B needs here") as caught:
        kernels.take(options, meant=meant)
    assert any(line.startswith("userland32: CONFIG_COMPAT: wanted y, got n") for line in caught.value.evidence)
    anything = kernels.purpose(
        attrs.evolve(options, kernel=KernelOptions(requires=("none",))), features=[], userland_bits=32
    )
    assert kernels.take(options, meant=anything).release == samples.RELEASE


def test_what_is_built_already_takes_no_words_about_how_to_build_it() -> None:
    with pytest.raises(UsageError, match=r"--kernel linux\.deb: built already, so --fragment cannot change it"):
        choices.kernel(KernelOptions(), fragments=["net"], prebuilt=["linux.deb"])
    named = KernelOptions(prebuilt=("linux.deb",))
    assert choices.kernel(named, source="/src/linux").prebuilt == ()


# --- what the age of the firmware asks for ---------------------------------------------------------------------------
@pytest.fixture
def old_card(tmp_path: Path) -> BaseImage:
    card = tinycard.make(tmp_path / "card.img", None, soc="bcm2711")
    FatPartition(card, MIB).write({PurePosixPath("start4.elf"): b"\x7fELF..\0VC_BUILD_ID_TIME: Jun 20 2019\0"})
    return BaseImage(card, MIB, 1, 17 * MIB, 2, 32, "0", "a card of 2019")


@pytest.fixture
def composed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old_card: BaseImage):
    """Compose what goes onto the card, with a stub that need not be compiled."""
    stub = BootFile(PurePosixPath("armstub8-gic.bin"), data=b"stub")
    asked = []

    def build(source, _toolchain, **_):
        asked.append(source)
        return SimpleNamespace(file=lambda name: attrs.evolve(stub, path=PurePosixPath(name)))

    monkeypatch.setattr(stubs, "build", build)
    folder = samples.write(tmp_path / "unpacked", samples.package())
    options = attrs.evolve(PI4, depmod="target", kernel=KernelOptions(prebuilt=(str(folder),), requires=("none",)))
    monkeypatch.setattr(kernels.toolchains, "system", lambda: None)

    def compose(**changes):
        mine = attrs.evolve(options, **changes)
        taken = kernels.take(mine, meant=kernels.purpose(mine, features=[], userland_bits=32))
        return kernels.boot_files(taken, mine, SimpleNamespace(stock=lambda: BOOT_TEXTS, base=old_card)), asked

    return compose


def test_a_card_with_firmware_of_2019_gets_the_stub_and_what_goes_with_it(composed) -> None:
    files, asked = composed()
    config = next(file.read().decode() for file in files.files if str(file.path) == "config.txt")
    assert {"armstub=armstub8-gic.bin", "enable_gic=1", "arm_64bit=1"} <= set(config.splitlines())
    assert any(str(file.path) == "armstub8-gic.bin" for file in files.files)
    assert asked == [stubs.SOURCE]
    assert files.remarks[0].startswith("armstub8-gic.bin: firmware of 2019-06-20 is older than")


def test_who_says_that_the_firmware_is_newer_gets_no_stub_and_the_reason(composed) -> None:
    files, asked = composed(firmware="2024-01-01")
    assert not asked
    assert not any("armstub" in str(file.path) for file in files.files)
    assert files.remarks == ("armstub left out: firmware of 2024-01-01 brings its own (since 2019-07-09)",)
