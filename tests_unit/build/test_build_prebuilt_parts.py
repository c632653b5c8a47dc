"""What kernel images, modules and an initramfs hold, byte by byte."""

import gzip
import shutil
import struct
import subprocess
from pathlib import Path

import prebuilt_samples as samples
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prebuilt_samples import BUILD_ID, RELEASE

from harness.build.prebuilt import image, initramfs, modinfo
from harness.errors import DeployError


def read(data: bytes) -> image.KernelImage:
    return image.read(data, unzstd=bytes)


# --- images ----------------------------------------------------------------------------------------------------------
def test_the_build_ids_of_the_vdsos_do_not_count() -> None:
    vdso = samples.elf({".note": samples.note("e" * 40)})
    assert read(samples.image(extra=vdso)).build_id == BUILD_ID


def test_of_two_build_ids_none_is_believed() -> None:
    assert read(samples.image(extra=samples.note("e" * 40))).build_id == ""


def test_a_kernel_without_a_build_id_has_none() -> None:
    assert read(samples.image().replace(b"GNU\0", b"GNX\0")).build_id == ""


def test_the_banner_with_the_number_of_the_build_is_the_right_one() -> None:
    pattern = f"Linux version {RELEASE} (me@host) (gcc) # SMP\0".encode()  # /proc/version's
    data = samples.image()
    head, banner, rest = data.partition(b"Linux version")
    assert read(head + pattern + banner + rest).built.endswith("#1 SMP\r")


@pytest.mark.parametrize(
    ("built", "compiler"),
    [
        ("pi@pi) (gcc version 8.3.0 (Debian 8.3.0-6)) #1 SMP", "gcc version 8.3.0"),
        ("a@b) (aarch64-gcc-12 (Debian 12.2.0-14) 12.2.0, GNU ld 2.40) #1", "aarch64-gcc-12 (Debian 12.2.0-14) 12.2.0"),
        ("a@b) (Debian clang version 14.0.6, Debian LLD 14.0.6) #1", "clang version 14.0.6"),
        ("a@b) #1", ""),
    ],
)  # fmt: skip
def test_the_compiler_is_read_from_the_banner(built: str, compiler: str) -> None:
    assert image.KernelImage(b"", "", built, "", "").compiler == compiler


def test_a_big_endian_kernel_is_refused() -> None:
    data = bytearray(samples.image())
    data[24] |= 1
    with pytest.raises(ValueError, match="big-endian"):
        read(bytes(data))


@pytest.mark.parametrize("packed", [b"\x1f\x8b", b"\xfd7zXZ\0", b"BZh", gzip.compress(samples.image())[:-9]])
def test_damage_is_told(packed: bytes) -> None:
    with pytest.raises(ValueError, match="damaged"):
        read(packed)


@given(st.binary(max_size=400))
def test_no_bytes_bring_it_down(data: bytes) -> None:
    for tried in (data, b"MZ\0\0zimg" + data, samples.image(extra=b"\x7fELF\x02\x01\x01" + data)):
        try:
            read(tried)
        except ValueError:
            continue


# --- modules ---------------------------------------------------------------------------------------------------------
def test_a_module_tells_what_it_needs_and_drives() -> None:
    said = (
        "alias=of:N*T*Cbrcm,one",
        "alias=of:N*T*Cbrcm,oneC*",
        "alias=fs-x",
        "depends=a-b,c",
        "softdep=pre: d e post: f",
    )
    info = modinfo.parse(samples.module(*said), "sdhci-iproc.ko.xz")
    assert (info.name, info.depends, info.before) == ("sdhci_iproc", ("a_b", "c"), ("d", "e"))
    assert info.compatibles == {"brcm,one"}
    assert info.vermagic.split()[0] == RELEASE


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (samples.module(machine=40), "for another processor"),
        (samples.elf({".text": b""}), "no .modinfo"),
        (b"text", "not a 64-bit"),
        (samples.module()[:80], "ends within"),
    ],
)
def test_what_is_no_module_is_told(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        modinfo.parse(data, "x.ko")


@given(st.binary(max_size=200))
def test_no_bytes_bring_the_module_reader_down(data: bytes) -> None:
    try:
        modinfo.parse(samples.module()[:64] + data, "x.ko")
    except ValueError:
        return


def test_a_damaged_module_is_named(tmp_path: Path) -> None:
    modules = initramfs.Modules(samples.write(tmp_path, {"kernel/lib/x.ko.xz": b"damaged"}))
    with pytest.raises(DeployError, match=r"kernel/lib/x.ko.xz: no module for arm64"):
        modules.info("x")


def test_modules_that_need_each_other_in_a_circle_come_to_an_end(tmp_path: Path) -> None:
    files = {"kernel/lib/a.ko": samples.module("depends=b"), "kernel/lib/b.ko": samples.module("softdep=pre: a")}
    assert initramfs.closure(["a"], initramfs.Modules(samples.write(tmp_path, files))) == ["b", "a"]


def test_suppliers_of_the_card_come_before_it_and_others_stay_out(tmp_path: Path) -> None:
    files = {
        "kernel/drivers/regulator/zz.ko": samples.module("alias=of:N*T*Cregulator-gpio"),
        "kernel/drivers/regulator/other.ko": samples.module("alias=of:N*T*Cacme,regulator"),
        "kernel/drivers/gpu/vc4.ko": samples.module("alias=of:N*T*Cbrcm,vc4"),
        "kernel/drivers/mmc/host/card.ko": samples.module("alias=of:N*T*Cbrcm,card"),
    }
    modules = initramfs.Modules(samples.write(tmp_path, files))
    wanted = frozenset({"regulator-gpio", "brcm,card", "brcm,vc4"})
    assert initramfs.chosen(modules, wanted) == ["zz", "card"]


def test_a_damaged_device_tree_is_a_deploy_error() -> None:
    with pytest.raises(DeployError, match="damaged"):
        initramfs.compatibles(samples.dtb()[:40])


# --- the archive -----------------------------------------------------------------------------------------------------
def test_cpio_itself_reads_the_initramfs(tmp_path: Path) -> None:
    (tmp_path / "a.img").write_bytes(initramfs.cpio({"init": b"#!", "lib/modules/x/a.ko": b"12345"}))
    with (tmp_path / "a.img").open("rb") as file:
        listed = subprocess.run(["cpio", "-t", "--quiet"], stdin=file, capture_output=True, text=True, check=True)
    assert listed.stdout.split() == [
        "dev", "lib", "lib/modules", "lib/modules/x", "dev/console", "init", "lib/modules/x/a.ko"
    ]  # fmt: skip


@pytest.mark.skipif(not shutil.which("aarch64-linux-gnu-gcc"), reason="a cross compiler is what it is about")
def test_the_init_is_one_static_program_for_arm64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PI64_CACHE", str(tmp_path))
    program = initramfs.compiled_init()
    kind, machine = struct.unpack_from("<HH", program, 16)
    segments = [struct.unpack_from("<I", program, 64 + 56 * number)[0] for number in range(program[56])]
    assert (kind, machine) == (2, 183)  # an executable at a fixed place
    assert 3 not in segments  # no interpreter
    assert initramfs.compiled_init() == program
