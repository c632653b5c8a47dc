"""Kernels that somebody else has built: whatever form they come in, the same complete KernelBuild."""

import bz2
import gzip
import lzma
import re
import struct
from collections.abc import Callable
from pathlib import Path

import attrs
import prebuilt_samples as samples
import pytest
from prebuilt_samples import BUILD_ID, RELEASE

from harness import boards, host
from harness.build import prebuilt
from harness.build.prebuilt import builddir, initramfs
from harness.errors import DeployError, UsageError
from harness.model import KernelBuild

PI3, PI4 = boards.load("rpi-3-b"), boards.load("rpi-4-b")
NEEDED = ["sdhci", "sdhci_iproc", "crc32c_generic", "ext4"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(initramfs, "compiled_init", lambda: b"init")
    monkeypatch.setattr(builddir, "STRIPPERS", ())
    return tmp_path / "cache"


def as_deb(folder: Path) -> Path:
    return write(folder / "linux-image.deb", samples.deb(samples.package()))


def as_tarball(folder: Path) -> Path:
    files = {f"linux-6.12/{name}": data for name, data in samples.package().items()}  # a folder on top of it all
    return write(folder / "linux.tar", samples.tar(files, xz=False))


def as_folder(folder: Path) -> Path:
    return samples.write(folder / "unpacked", samples.package())


def as_tuxmake(folder: Path) -> Path:
    return samples.tuxmake(folder / "tuxmake")


def as_build(folder: Path) -> Path:
    return samples.build_directory(folder / "build")


FORMS = [as_deb, as_tarball, as_folder, as_tuxmake, as_build]


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def listed(built: KernelBuild) -> list[str]:
    """The modules in the initramfs, in the order in which they are loaded."""
    assert built.initramfs is not None
    found = re.search(rb"(?:/lib/modules/\S+\.ko\n)+", built.initramfs.read_bytes())
    return [Path(line).stem for line in found[0].decode().split()] if found else []


# --- every form ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_the_same_complete_kernel(form: Callable[[Path], Path], tmp_path: Path) -> None:
    built = prebuilt.load(form(tmp_path), PI3)
    assert (built.release, built.build_id) == (RELEASE, BUILD_ID)
    assert built.image.read_bytes() == samples.image()
    assert [path.name for path in built.dtbs] == sorted(samples.DTBS)
    assert {"ext4", "sdhci_iproc", "dummy"} <= set(built.modules)
    assert (built.modules_root / "lib/modules" / RELEASE / "kernel/fs/ext4/ext4.ko").is_file()
    assert "CONFIG_MODULES=y" in built.config.read_text()
    assert built.log.is_file()
    assert listed(built) == NEEDED


def test_it_is_known_by_where_it_came_from(tmp_path: Path) -> None:
    built = prebuilt.load(as_deb(tmp_path), PI3)
    assert built.source.origin == "package linux-image-distro 1.2-3"
    assert built.source.version == RELEASE
    assert built.toolchain.version == "gcc-12 (Debian 12.2.0-14) 12.2.0"


@pytest.mark.parametrize("form", FORMS)
def test_the_second_time_it_comes_from_the_cache(form: Callable[[Path], Path], tmp_path: Path) -> None:
    path = form(tmp_path)
    first, second = prebuilt.load(path, PI3), prebuilt.load(path, PI4)
    assert (first.cached, second.cached) == (False, True)
    assert attrs.evolve(second, cached=False, seconds=first.seconds) == first


def test_the_log_is_copied_to_where_the_run_wants_it(tmp_path: Path) -> None:
    built = prebuilt.load(as_deb(tmp_path), PI3, log=tmp_path / "runs/build.log")
    assert built.log == tmp_path / "runs/build.log"
    assert f"Linux version {RELEASE}" in built.log.read_text()


def test_a_stored_kernel_that_was_changed_is_taken_anew(tmp_path: Path) -> None:
    path = as_deb(tmp_path)
    first = prebuilt.load(path, PI3)
    first.config.write_text("changed")
    again = prebuilt.load(path, PI3)
    assert (again.cached, again.config.read_text()) == (False, samples.BUILT_IN)


def test_image_and_dtbs_may_come_in_two_packages(tmp_path: Path) -> None:
    files = samples.package()
    dtbs = {name: data for name, data in files.items() if name.endswith(".dtb")}
    rest = {name: data for name, data in files.items() if name not in dtbs}
    image = write(tmp_path / "image.deb", samples.deb(rest))
    with pytest.raises(DeployError, match=r"no bcm2710-rpi-3-b.dtb or bcm2837-rpi-3-b.dtb .* came with kernel"):
        prebuilt.load(image, PI3)
    built = prebuilt.load([image, write(tmp_path / "dtb.deb", samples.deb(dtbs, name="linux-dtb"))], PI3)
    assert [path.name for path in built.dtbs] == sorted(samples.DTBS)


def test_overlays_keep_their_readme(tmp_path: Path) -> None:
    overlays = {f"usr/lib/linux-image-{RELEASE}/overlays/{name}": b"x" for name in ("README", "disable-bt.dtbo")}
    built = prebuilt.load(write(tmp_path / "a.deb", samples.deb({**samples.package(), **overlays})), PI3)
    assert [path.name for path in built.overlays] == ["README", "disable-bt.dtbo"]
    assert built.source.flavour == "raspberrypi"


def test_what_depmod_made_elsewhere_does_not_come_along(tmp_path: Path) -> None:
    names = ("modules.dep", "modules.dep.bin", "modules.builtin.bin", "modules.builtin.modinfo", "modules.alias")
    files = samples.package() | {f"lib/modules/{RELEASE}/{name}": b"x" for name in names}
    built = prebuilt.load(write(tmp_path / "a.tar", samples.tar(files)), PI3)
    installed = built.modules_root / "lib/modules" / RELEASE
    assert {path.name for path in installed.iterdir()} == {
        "kernel", "modules.builtin", "modules.builtin.modinfo", "modules.order"
    }  # fmt: skip


def test_an_archive_that_writes_elsewhere_is_refused(tmp_path: Path) -> None:
    evil = write(tmp_path / "evil.tar", samples.tar({**samples.package(), "../evil": b"x"}, xz=False))
    with pytest.raises(UsageError, match="evil"):
        prebuilt.load(evil, PI3)
    assert not list(tmp_path.rglob("evil"))


# --- packed images ---------------------------------------------------------------------------------------------------
def zstd(data: bytes) -> bytes:
    return host.run(["zstd", "--quiet", "--stdout"], stdin=data)


@pytest.mark.parametrize("pack", [lambda data: gzip.compress(data, mtime=0), lzma.compress, bz2.compress, zstd])
def test_the_image_is_unpacked(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    files = samples.package() | {f"boot/vmlinuz-{RELEASE}": pack(samples.image())}
    assert prebuilt.load(samples.write(tmp_path / "a", files), PI3).image.read_bytes() == samples.image()


def test_an_efi_zboot_image_is_unpacked(tmp_path: Path) -> None:
    packed = gzip.compress(samples.image(), mtime=0)
    zboot = struct.pack("<4s4sII8s", b"MZ\0\0", b"zimg", 64, len(packed), b"") + b"gzip".ljust(40, b"\0") + packed
    files = samples.package() | {f"boot/vmlinuz-{RELEASE}": zboot}
    assert prebuilt.load(samples.write(tmp_path / "a", files), PI3).image.read_bytes() == samples.image()


def test_packed_modules_are_unpacked_for_the_initramfs_only(tmp_path: Path) -> None:
    files = {
        f"{name}.xz" if name.endswith(".ko") else name: lzma.compress(data) if name.endswith(".ko") else data
        for name, data in samples.package().items()
    }
    built = prebuilt.load(samples.write(tmp_path / "a", files), PI3)
    assert listed(built) == NEEDED
    assert built.initramfs is not None
    assert samples.modules()["kernel/fs/ext4/ext4.ko"] in built.initramfs.read_bytes()
    assert (built.modules_root / "lib/modules" / RELEASE / "kernel/fs/ext4/ext4.ko.xz").is_file()


def test_the_configuration_inside_the_image_is_as_good_as_a_file(tmp_path: Path) -> None:
    inside = b"IKCFG_ST" + gzip.compress(samples.BUILT_IN.encode()) + b"IKCFG_ED"
    files = {name: data for name, data in samples.package().items() if "config" not in name}
    files[f"boot/vmlinuz-{RELEASE}"] = samples.image(extra=inside)
    assert prebuilt.load(samples.write(tmp_path / "a", files), PI3).config.read_text() == samples.BUILT_IN


# --- the initramfs ---------------------------------------------------------------------------------------------------
def test_a_kernel_with_card_and_ext4_built_in_gets_no_initramfs(tmp_path: Path) -> None:
    files = {name: data for name, data in samples.package().items() if "/mmc/" not in name and "ext4" not in name}
    assert prebuilt.load(samples.write(tmp_path / "a", files), PI3).initramfs is None


def test_a_module_that_is_needed_and_missing_is_named(tmp_path: Path) -> None:
    files = {name: data for name, data in samples.package().items() if not name.endswith("/sdhci.ko")}
    with pytest.raises(DeployError, match="module sdhci_iproc needs sdhci, which is not there"):
        prebuilt.load(samples.write(tmp_path / "a", files), PI3)


def test_a_kernel_that_cannot_load_the_initramfs_it_needs_is_refused(tmp_path: Path) -> None:
    files = samples.package(config="CONFIG_MODULES=y\nCONFIG_DEVTMPFS=y\n")
    with pytest.raises(DeployError, match="without CONFIG_BLK_DEV_INITRD it cannot load an initramfs"):
        prebuilt.load(samples.write(tmp_path / "a", files), PI3)


# --- what does not fit together --------------------------------------------------------------------------------------
def test_modules_of_another_release_are_refused(tmp_path: Path) -> None:
    files = samples.package() | {f"boot/vmlinuz-{RELEASE}": samples.image("6.12.2-other")}
    with pytest.raises(DeployError, match=f"kernel 6.12.2-other came with the modules of {RELEASE}"):
        prebuilt.load(samples.write(tmp_path / "a", files), PI3)


def test_modules_compiled_for_another_release_than_their_folder_says_are_refused(tmp_path: Path) -> None:
    path = samples.build_directory(tmp_path / "build")
    (path / "crypto/crc32c_generic.ko").write_bytes(samples.module(release="6.12.0-before"))
    with pytest.raises(DeployError, match=r"was compiled for 6\.12\.0-before, the kernel is"):
        prebuilt.load(path, PI3)


def test_modules_that_should_be_there_are_missed(tmp_path: Path) -> None:
    files = {name: data for name, data in samples.package().items() if "lib/modules" not in name}
    with pytest.raises(DeployError, match=f"CONFIG_MODULES=y, but there is no lib/modules/{RELEASE}"):
        prebuilt.load(samples.write(tmp_path / "a", files), PI3)


def test_a_kernel_without_modules_needs_none(tmp_path: Path) -> None:
    files = {name: data for name, data in samples.package(config="").items() if "lib/modules" not in name}
    built = prebuilt.load(samples.write(tmp_path / "a", files), PI3)
    assert (built.modules, (built.modules_root / "lib/modules" / RELEASE).is_dir()) == ((), True)


def test_a_build_directory_with_half_its_modules_is_refused(tmp_path: Path) -> None:
    path = samples.build_directory(tmp_path / "build")
    (path / "drivers/net/dummy.ko").unlink()
    with pytest.raises(DeployError, match=r"1 of 6 modules in modules\.order are not built"):
        prebuilt.load(path, PI3)


def test_an_image_older_than_its_vmlinux_is_refused(tmp_path: Path) -> None:
    path = samples.build_directory(tmp_path / "build")
    other = samples.note("f" * 40)
    head = bytearray(samples.elf({}))
    struct.pack_into("<Q", head, 32, len(head))  # e_phoff
    struct.pack_into("<HH", head, 54, 56, 1)
    program = struct.pack("<IIQQQQQQ", 4, 0, len(head) + 56, 0, 0, len(other), len(other), 4)
    (path / "vmlinux").write_bytes(bytes(head) + program + other)
    with pytest.raises(UsageError, match="but vmlinux beside it has ffff"):
        prebuilt.load(path, PI3)


# --- no kernel for a Pi ----------------------------------------------------------------------------------------------
X86 = bytes(0x202) + b"HdrS" + bytes(64)
ARM32 = bytes(36) + b"\x18\x28\x6f\x01" + bytes(64)


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        (X86, "an x86 bzImage"),
        (ARM32, "a 32-bit Arm zImage"),
        (samples.elf({}, machine=62), "an ELF file for 64-bit x86"),
        (b"hello", "no kernel image"),
        (b"", "an empty file"),
        (gzip.compress(samples.image())[:200], "damaged: it ends too early"),
        (samples.image()[:64], "no Linux kernel"),
    ],
)
def test_another_kernel_in_a_package_is_told_by_its_kind(kernel: bytes, kind: str, tmp_path: Path) -> None:
    files = samples.package() | {f"boot/vmlinuz-{RELEASE}": kernel}
    with pytest.raises(UsageError, match="no arm64 kernel in it") as caught:
        prebuilt.load(write(tmp_path / "a.deb", samples.deb(files)), PI3)
    assert kind in str(caught.value)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (X86, "an x86 bzImage"),
        (ARM32, "a 32-bit Arm zImage"),
        (samples.image(), "an image alone, without the DTBs and modules"),
        (gzip.compress(samples.image()), "an image alone"),
        (b"", "an empty file"),
        (b"hello" * 100, "cannot be unpacked"),
        (samples.deb(samples.package())[:-300], "cannot be unpacked"),
    ],
)
def test_a_file_that_is_no_package_is_told_by_its_kind(data: bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        prebuilt.load(write(tmp_path / "linux.deb", data), PI3)


def test_a_package_that_only_names_another_one_says_which(tmp_path: Path) -> None:
    data = samples.deb({"usr/share/doc/x": b""}, name="linux-image-arm64", depends=f"linux-image-{RELEASE} (= 1)")
    with pytest.raises(
        UsageError, match=f"linux-image-arm64 holds no kernel, only the name of one: linux-image-{RELEASE}"
    ):
        prebuilt.load(write(tmp_path / "a.deb", data), PI3)


def test_two_kernels_in_one_folder_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds 2 kernels"):
        prebuilt.load(samples.write(tmp_path / "a", {**samples.package(), **samples.package("6.1.0-old")}), PI3)


def test_a_configured_tree_without_a_kernel_says_how_to_build_it(tmp_path: Path) -> None:
    path = samples.write(tmp_path / "x86", {".config": b"", "arch/x86/boot/bzImage": X86})
    with pytest.raises(UsageError, match="no arm64 kernel was built there") as caught:
        prebuilt.load(path, PI3)
    assert caught.value.evidence == ("arch/x86/boot/bzImage",)


def test_a_kernel_tree_belongs_to_another_option(tmp_path: Path) -> None:
    path = samples.write(tmp_path / "linux", {"Kconfig": b"", "Makefile": b""})
    with pytest.raises(UsageError, match="a kernel tree that was not built\n  hint: --source"):
        prebuilt.load(path, PI3)


@pytest.mark.parametrize(("results", "said"), [({"status": "FAIL"}, "did not succeed: FAIL")])
def test_a_failed_build_of_tuxmakes_is_refused(results: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        prebuilt.load(samples.tuxmake(tmp_path / "tuxmake", **results), PI3)


@pytest.mark.parametrize("name", ["-x", "a\nb", "absent"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        prebuilt.load(name, PI3)
