"""The boot partition: what mtools wrote is what our own reader finds, and no boot file is ever half there."""

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness import host
from harness.card.fat import BESIDE, ENVIRONMENT, FatPartition
from harness.card.fat_read import FatReader
from harness.card.layout import reading
from harness.errors import LabError

P = PurePosixPath


@pytest.fixture
def boot(card: Path, boot_offset: int) -> FatPartition:
    return FatPartition(card, boot_offset)


def test_written_files_read_back_with_their_folders(boot: FatPartition, tmp_path: Path) -> None:
    source = tmp_path / "vmlinux.bin"
    source.write_bytes(b"K" * 3_000_001)
    boot.write({P("pi64/kernel8.img"): source, P("pi64/overlays/README"): b"text", P("config.txt"): b""})
    assert boot.sizes() == {P("config.txt"): 0, P("pi64/kernel8.img"): 3_000_001, P("pi64/overlays/README"): 4}
    assert boot.read("pi64/kernel8.img") == source.read_bytes()


def test_a_file_is_found_and_replaced_in_any_case_of_its_name(boot: FatPartition) -> None:
    boot.write({P("Config.TXT"): b"old"})
    boot.write({P("config.txt"): b"new and longer"})
    assert boot.read("/CONFIG.txt") == b"new and longer"
    assert len(boot.sizes()) == 1


def test_nothing_is_left_beside_what_was_written(boot: FatPartition) -> None:
    host.run(["mmd", "-i", f"{boot.image}@@{boot.offset}", f"::{BESIDE}"], env=ENVIRONMENT)  # left by a killed write
    boot.write({P("a.txt"): b"a"})
    assert list(boot.sizes()) == [P("a.txt")]
    assert boot.folders() == []


def test_writing_the_same_again_frees_the_old_clusters(boot: FatPartition) -> None:
    boot.write({P("a/kernel8.img"): b"k" * 4_000_000})
    free = boot.free_bytes()
    boot.write({P("a/kernel8.img"): b"n" * 4_000_000})
    assert boot.free_bytes() == free


def test_what_does_not_fit_is_refused_before_anything_is_touched(boot: FatPartition) -> None:
    boot.write({P("kernel8.img"): b"old"})
    with pytest.raises(LabError, match=r"has 1\d\.\d MiB free, 1 files need 40\.\d MiB"):
        boot.write({P("kernel8.img"): bytes(40 << 20)})
    assert boot.read("kernel8.img") == b"old"


def test_deleting_takes_folders_with_all_they_hold_and_ignores_what_is_gone(boot: FatPartition) -> None:
    boot.write({P("pi64/overlays/a.dtbo"): b"1", P("pi64/b"): b"2", P("keep"): b"3"})
    boot.delete([P("PI64"), P("pi64/overlays"), P("never-there")])
    assert list(boot.sizes()) == [P("keep")]
    assert boot.folders() == []


def test_a_missing_file_is_not_a_damaged_card(boot: FatPartition) -> None:
    with pytest.raises(FileNotFoundError, match=r"nope\.txt"):
        boot.read("nope.txt")


@pytest.mark.parametrize(("first", "then"), [("pi64", "pi64/kernel8.img"), ("pi64/kernel8.img", "pi64")])
def test_a_file_never_replaces_a_folder_nor_a_folder_a_file(boot: FatPartition, first: str, then: str) -> None:
    boot.write({P(first): b"1"})
    with pytest.raises(LabError, match="pi64 on the boot partition is a"):
        boot.write({P(then): b"2"})
    assert boot.read(first) == b"1"


@pytest.mark.parametrize("name", ["a*", "a:b", "a\nb", 'a"b'])
def test_a_name_that_fat_cannot_hold_is_refused(boot: FatPartition, name: str) -> None:
    with pytest.raises(LabError, match="not a name for the boot partition"):
        boot.write({P(name): b""})


@pytest.mark.parametrize("bits", [12, 32])
def test_other_widths_of_fat_work_the_same(tmp_path: Path, bits: int) -> None:
    image = tmp_path / "fat.img"
    with image.open("xb") as file:
        file.truncate(3 << 20 if bits == 12 else 40 << 20)
    host.run(["mkfs.vfat", "-F", str(bits), image])
    fat = FatPartition(image, 0)
    files = {P(f"folder {n}/a rather long name of file {n}.dtb"): bytes([n]) * 5000 * n for n in range(40)}
    fat.write({path: data for path, data in files.items() if bits == 32 or len(data) < 40_000})
    with reading(image) as read:
        assert FatReader(read, 0).bits == bits
    assert all(fat.read(path) == files[path] for path in fat.sizes())


class Killed(BaseException):
    """What a SIGKILL would have ended."""


def patches(boot: FatPartition, monkeypatch: pytest.MonkeyPatch, *, survive: int) -> None:
    """Let the writer die at its *survive*-th next write to a directory record."""
    real, done = FatPartition._patch, []

    def patch(self: FatPartition, *args: object) -> None:
        if len(done) == survive:
            raise Killed
        done.append(args)
        real(self, *args)

    monkeypatch.setattr(FatPartition, "_patch", patch)


def fsck(boot: FatPartition, tmp_path: Path) -> str:
    """What fsck.vfat says that it would change; empty for a clean file system."""
    part = tmp_path / "part.img"
    with reading(boot.image) as read:
        part.write_bytes(read(boot.offset, 16 << 20))
    said = host.run(["fsck.vfat", "-n", part], accept=(0, 1)).decode()
    return "\n".join(line for line in said.splitlines()[1:] if "files," not in line)


def test_a_switched_file_has_its_new_content_and_nothing_is_left_beside(boot: FatPartition, tmp_path: Path) -> None:
    boot.write({P("Config.txt"): b"old" * 3000})
    free = boot.free_bytes()
    boot.switch(P("config.txt"), b"new")
    assert boot.sizes() == {P("Config.txt"): 3}
    assert boot.free_bytes() > free
    assert not fsck(boot, tmp_path)


def test_a_file_that_is_not_there_yet_is_switched_on(boot: FatPartition) -> None:
    boot.switch(P("config.txt"), b"new")
    assert boot.read("config.txt") == b"new"


@pytest.mark.parametrize("survive", [0, 1])
def test_a_switch_that_is_cut_short_leaves_the_old_content_or_the_new(
    boot: FatPartition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survive: int
) -> None:
    boot.write({P("config.txt"): b"old" * 3000})
    with monkeypatch.context() as patched:
        patches(boot, patched, survive=survive)
        with pytest.raises(Killed):
            boot.switch(P("config.txt"), b"new" * 2000)
    assert boot.read("config.txt") == (b"old" * 3000, b"new" * 2000)[survive]
    boot.switch(P("config.txt"), b"newer" * 2500)
    boot.write({P("other.txt"): b"other" * 9000})
    assert boot.read("config.txt") == b"newer" * 2500
    assert set(boot.sizes()) == {P("config.txt"), P("other.txt")}
    # What is lost of the old content lies in no other file.
    assert "share" not in fsck(boot, tmp_path)


@given(data=st.binary(min_size=600, max_size=4096), at=st.integers(0, 3 << 20))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_system_is_a_clear_error_or_a_listing_never_a_hang(
    pristine: Path, boot_offset: int, data: bytes, at: int
) -> None:
    with reading(pristine) as read:
        whole = bytearray(read(boot_offset, 4 << 20))
    whole[at : at + len(data)] = data
    try:
        reader = FatReader(lambda offset, size: bytes(whole[offset : offset + size]), 0)
        for entry in reader.walk():
            reader.content(entry)
    except ValueError:
        pass
