"""The user's own image: taken as it is, or refused with the fact and the numbers before anything is kept."""

import gzip
import lzma
import os
import zipfile
from pathlib import Path, PurePosixPath

import pytest
from smallcard import BOOT_OFFSET, MIB, ROOT_OFFSET, make_card

from harness import host
from harness.card.ext4 import Ext4Partition
from harness.errors import UsageError
from harness.image.user import user_image

P = PurePosixPath


def elf(bits: int, machine: int) -> bytes:
    return b"\x7fELF" + bytes([bits // 32, 1, 1]) + bytes(11) + machine.to_bytes(2, "little") + bytes(100)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def raspbian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like the real ones: /bin is a link, and sh is one."""
    folder = tmp_path_factory.mktemp("raspbian")
    image = make_card(folder / "raspbian.img")
    (folder / "bin").symlink_to("usr/bin")
    (folder / "sh").symlink_to("dash")
    root = Ext4Partition(image, ROOT_OFFSET)
    root.write({P("/usr/bin/dash"): elf(32, 40), P("/usr/bin/sh"): folder / "sh", P("/bin"): folder / "bin"})
    return image


@pytest.fixture(scope="module")
def packed(raspbian: Path) -> Path:
    path = raspbian.with_suffix(".img.xz")
    path.write_bytes(lzma.compress(raspbian.read_bytes(), preset=0))
    return path


def test_a_plain_image_is_used_where_it_lies(raspbian: Path, cache: Path) -> None:
    image = user_image(raspbian)
    assert (image.path, image.boot_offset, image.root_offset) == (raspbian, BOOT_OFFSET, ROOT_OFFSET)
    assert (image.boot_number, image.root_number, image.userland_bits) == (1, 2, 32)
    assert not list(cache.rglob("*.img"))


def test_an_xz_is_unpacked_once_with_its_holes(packed: Path, raspbian: Path, cache: Path) -> None:
    said: list[str] = []
    first = user_image(packed)
    second = user_image(packed, progress=said.append)
    assert first == second
    assert said == []
    assert first.path.read_bytes() == raspbian.read_bytes()
    assert first.path.stat().st_blocks * 512 < 24 * MIB
    assert [path.suffix for path in sorted((cache / "images").iterdir())] == [".img", ".lock"]


def test_gz_and_zip_are_unpacked_too(raspbian: Path, tmp_path: Path) -> None:
    (tmp_path / "a.img.gz").write_bytes(gzip.compress(raspbian.read_bytes(), 1))
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.write(raspbian, "2019-06-20-raspbian-buster-lite.img")
    assert user_image(tmp_path / "a.img.gz").userland_bits == 32
    assert user_image(tmp_path / "b.zip").userland_bits == 32


def test_a_right_checksum_is_that_of_the_file_as_given_in_any_case(packed: Path) -> None:
    assert user_image(packed, sha256=host.sha256(packed).upper()).userland_bits == 32


def test_a_wrong_checksum_names_both(packed: Path, cache: Path) -> None:
    with pytest.raises(UsageError, match="wrong checksum") as caught:
        user_image(packed, sha256="0" * 64)
    assert caught.value.evidence == (f"SHA-256 wanted: {'0' * 64}", f"SHA-256 found:  {host.sha256(packed)}")
    assert not list(cache.rglob("*.img"))


def test_a_checksum_is_read_once_and_again_after_the_file_changed(raspbian: Path, tmp_path: Path) -> None:
    image = tmp_path / "own.img"
    image.write_bytes(raspbian.read_bytes())
    right, said = host.sha256(image), []
    for _ in range(2):
        user_image(image, sha256=right, progress=said.append)
    assert len(said) == 1
    os.truncate(image, image.stat().st_size + 512)
    with pytest.raises(UsageError, match="wrong checksum"):
        user_image(image, sha256=right)


@pytest.mark.parametrize("keep", [0.5, 0.999])
def test_an_archive_that_is_cut_off_is_refused_and_nothing_is_kept(
    packed: Path, tmp_path: Path, cache: Path, keep: float
) -> None:
    data = packed.read_bytes()
    (tmp_path / "cut.img.xz").write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(UsageError, match=r"cut\.img\.xz: damaged or cut off"):
        user_image(tmp_path / "cut.img.xz")
    assert not list(cache.rglob("*.img*"))


@pytest.mark.parametrize("suffix", [".xz", ".gz", ".zip"])
def test_an_archive_that_is_none_is_refused(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"page.img{suffix}").write_bytes(b"<!DOCTYPE html>" * 100)
    with pytest.raises(UsageError, match="damaged or cut off"):
        user_image(tmp_path / f"page.img{suffix}")


def test_a_zip_without_a_single_image_lists_what_it_has(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "noobs.zip", "w") as archive:
        archive.writestr("os/Raspbian/root.tar.xz", "")
    with pytest.raises(UsageError, match=r"0 \.img files in it") as caught:
        user_image(tmp_path / "noobs.zip")
    assert caught.value.evidence == ("os/Raspbian/root.tar.xz",)


def test_an_archive_of_something_else_names_the_users_file_and_is_not_kept(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "other.img.xz").write_bytes(lzma.compress(bytes(4096)))
    with pytest.raises(UsageError, match=r"other\.img\.xz: not a card image"):
        user_image(tmp_path / "other.img.xz")
    assert not list(cache.rglob("*.img"))


@pytest.mark.parametrize(("bits", "machine"), [(32, 40), (64, 183)])
def test_the_word_size_is_read_from_a_program(tmp_path: Path, bits: int, machine: int) -> None:
    """Not from the kernel, nor from the image's name; a buildroot has no /bin/sh of its own, nor dpkg."""
    image = make_card(tmp_path / "yocto.img")
    Ext4Partition(image, ROOT_OFFSET).write({P("/sbin/init"): elf(bits, machine)})
    assert user_image(image).userland_bits == bits


def test_an_image_for_another_machine_is_refused(tmp_path: Path) -> None:
    image = make_card(tmp_path / "pc.img")
    Ext4Partition(image, ROOT_OFFSET).write({P("/bin/sh"): elf(64, 62)})
    with pytest.raises(UsageError, match="ELF machine 62, not for ARM"):
        user_image(image)


def test_a_root_without_programs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no program on partition 2"):
        user_image(make_card(tmp_path / "empty.img"))


def test_a_missing_file_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        user_image(tmp_path / "nope.img.xz")
