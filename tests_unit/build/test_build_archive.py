"""What may be unpacked, and what may not: archives as a stranger would make them."""

import gzip
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.build import archive
from harness.errors import LabError, UsageError

Member = tuple[tarfile.TarInfo, bytes]


def file(name: str, content: bytes = b"x", mode: int = 0o644) -> Member:
    return member(name, tarfile.REGTYPE, mode=mode, size=len(content)), content


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Member:
    return member(name, kind, linkname=target), b""


def folder(name: str) -> Member:
    return member(name, tarfile.DIRTYPE, mode=0o755), b""


def member(name: str, kind: bytes, **about: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in about.items():
        setattr(info, key, value)
    return info


def tar(path: Path, members: Iterable[Member], mode: str = "w:") -> Path:
    with tarfile.open(path, mode) as made:  # type: ignore[call-overload]
        for info, content in members:
            made.addfile(info, io.BytesIO(content))
    return path


def unpacked(tmp_path: Path, *members: Member, **limits: int) -> Path:
    archive.unpack(tar(tmp_path / "a.tar", members), tmp_path / "out", **limits)  # type: ignore[arg-type]
    return tmp_path / "out"


def test_files_folders_and_links_come_out(tmp_path: Path) -> None:
    out = unpacked(tmp_path, folder("./a/"), file("a/b", b"text"), link("a/c", "b"), link("d", "a/b", tarfile.LNKTYPE))
    assert (out / "a/b").read_bytes() == (out / "a/c").read_bytes() == (out / "d").read_bytes() == b"text"
    assert (out / "a/c").readlink() == Path("b")


@pytest.mark.parametrize("packer", ["xz", "gzip", "bzip2", "zstd"])
def test_the_compression_is_told_by_the_content_not_by_the_name(tmp_path: Path, packer: str) -> None:
    if shutil.which(packer) is None:
        pytest.skip(f"no {packer} here")
    plain = tar(tmp_path / "plain", [file("a", b"text")]).read_bytes()
    packed = subprocess.run([packer, "-c"], input=plain, capture_output=True, check=True).stdout
    (tmp_path / "named-wrongly.txt").write_bytes(packed)
    archive.unpack(tmp_path / "named-wrongly.txt", tmp_path / "out")
    assert (tmp_path / "out/a").read_bytes() == b"text"


def test_a_debian_package_is_unpacked_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "p/DEBIAN").mkdir(parents=True)
    (tmp_path / "p/DEBIAN/control").write_text(
        "Package: p\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: x\n"
    )
    (tmp_path / "p/boot").mkdir()
    (tmp_path / "p/boot/vmlinuz").write_bytes(b"kernel")
    subprocess.run(["dpkg-deb", "--build", tmp_path / "p", tmp_path / "p.deb"], check=True, capture_output=True)
    archive.unpack(tmp_path / "p.deb", tmp_path / "out")
    assert (tmp_path / "out/boot/vmlinuz").read_bytes() == b"kernel"


# --- what is refused -------------------------------------------------------------------------------------------------
REFUSED = {
    "absolute": [file("/tmp/pi64-evil")],
    "dots": [file("a/../../evil")],
    "dots inside": [file("a/../b")],
    "control": [file("a\x1b[2J")],
    "device": [(member("null", tarfile.CHRTYPE, devmajor=1, devminor=3), b"")],
    "block device": [(member("sda", tarfile.BLKTYPE), b"")],
    "pipe": [(member("fifo", tarfile.FIFOTYPE), b"")],
    "absolute link": [link("a", "/etc/passwd")],
    "link up": [link("a", "../evil")],
    "link through a link": [link("a/b/c", "../.."), link("m", "a/b/c/../../evil")],
    "link through links": [link("here", "."), link("up", "here/here/../.."), folder("x")],
    "link loop": [link("a", "b"), link("b", "a")],
    "file through a link": [link("a", "/tmp"), file("a/pi64-evil")],
    "folder through a link": [link("a", "b"), folder("b"), folder("a/c")],
    "file over a link": [link("a", "b"), file("a")],
    "link over a file": [file("a"), link("a", "b")],
    "link over a folder": [file("a/b"), link("a", "/tmp")],
    "below a file": [file("a"), file("a/b")],
    "twice": [file("a"), file("a")],
    "hard link out": [link("a", "/etc/passwd", tarfile.LNKTYPE)],
    "hard link up": [link("a", "../a.tar", tarfile.LNKTYPE)],
    "hard link to a link": [link("a", "b"), file("b"), link("c", "a", tarfile.LNKTYPE)],
    "hard link ahead": [link("a", "b", tarfile.LNKTYPE), file("b")],
    "too long": [file("/".join(["d" * 200] * 6))],
}


@pytest.mark.parametrize("members", REFUSED.values(), ids=REFUSED)
def test_refused_and_nothing_is_left(tmp_path: Path, members: list[Member]) -> None:
    with pytest.raises(UsageError, match=r"refused because of|cannot be unpacked"):
        unpacked(tmp_path, *members)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]
    assert not Path("/tmp/pi64-evil").exists()


def test_a_link_may_go_up_as_long_as_it_stays_inside(tmp_path: Path) -> None:
    out = unpacked(tmp_path, file("a/x"), link("b/c/d", "../../a"), link("gone", "nowhere/at/all"))
    assert (out / "b/c/d/x").is_file()


def test_modes_are_plain_whatever_the_archive_says(tmp_path: Path) -> None:
    out = unpacked(tmp_path, file("s", mode=0o6777), file("p", mode=0o000), file("x", mode=0o500))
    assert [(out / name).stat().st_mode & 0o7777 for name in "spx"] == [0o755, 0o644, 0o755]


def test_times_are_kept_as_far_as_a_file_system_knows_them(tmp_path: Path) -> None:
    one, other = file("a"), file("b")
    one[0].mtime, other[0].mtime = 1_700_000_000, 2**60
    out = unpacked(tmp_path, one, other)
    assert [(out / name).stat().st_mtime for name in "ab"] == [1_700_000_000, archive.LATEST]


def test_more_bytes_than_allowed_are_refused_before_they_are_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="more bytes or files"):
        unpacked(tmp_path, file("a", bytes(1000)), file("b", bytes(1000)), limit_bytes=1500)


def test_more_members_than_allowed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="more bytes or files"):
        unpacked(tmp_path, *[file(str(number)) for number in range(5)], limit_members=4)


def test_a_header_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    """tarfile would take a whole PAX header into memory: 3 MB here, which gzip makes 3 kB."""
    head = member("./pax", tarfile.XHDTYPE, size=3 * 2**20)
    with gzip.open(tmp_path / "bomb.tar.gz", "wb") as bomb:
        bomb.write(head.tobuf(tarfile.USTAR_FORMAT) + bytes(3 * 2**20 + 1024))
    with pytest.raises(UsageError, match="cannot be unpacked"):
        archive.unpack(tmp_path / "bomb.tar.gz", tmp_path / "out")


def test_what_is_left_out_may_be_anything(tmp_path: Path) -> None:
    made = tar(tmp_path / "a.tar", [link("lib/modules/6.12/build", "/home/somebody"), file("lib/modules/6.12/x.ko")])
    archive.unpack(made, tmp_path / "out", leave_out=["lib/modules/*/build"])
    assert [path.name for path in (tmp_path / "out/lib/modules/6.12").iterdir()] == ["x.ko"]


def test_a_sparse_file_is_counted_by_what_it_would_become(tmp_path: Path) -> None:
    with (tmp_path / "hole").open("wb") as hole:
        hole.truncate(10_000_000)
    subprocess.run(["tar", "--sparse", "-C", tmp_path, "-cf", tmp_path / "a.tar", "hole"], check=True)
    archive.unpack(tmp_path / "a.tar", tmp_path / "out")
    assert (tmp_path / "out/hole").stat().st_size == 10_000_000
    with pytest.raises(UsageError, match="more bytes"):
        archive.unpack(tmp_path / "a.tar", tmp_path / "other", limit_bytes=1_000_000)


# --- damage ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("mode", ["w:", "w:xz", "w:gz"])
def test_a_cut_off_archive_is_refused(tmp_path: Path, mode: str) -> None:
    made = tar(tmp_path / "a", [file("a", os.urandom(20_000)), file("b", os.urandom(20_000))], mode)
    made.write_bytes(made.read_bytes()[:30_000])
    with pytest.raises(UsageError, match="cannot be unpacked") as caught:
        archive.unpack(made, tmp_path / "out")
    assert "checksum" in caught.value.hint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"hello", bytes(100), b"\xfd7zXZ\0" + b"x" * 99, b"!<arch>\nx", b"x" * 5000])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(UsageError, match="cannot be unpacked"):
        archive.unpack(tmp_path / "a", tmp_path / "out")


def test_a_full_disk_is_the_hosts_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(LabError, match="No space left"):
        unpacked(tmp_path, file("a"))


# --- links, by every way they can be laid ----------------------------------------------------------------------------
PART = st.sampled_from(["a", "b", "c", "..", "."])
NAME = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map("/".join)
TARGET = st.lists(PART, min_size=1, max_size=5).map("/".join)


@settings(max_examples=60, deadline=None)
@given(links=st.dictionaries(NAME, TARGET, max_size=6))
def test_no_link_that_is_let_through_leads_out(links: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """The operating system itself is asked where the links end."""
    top = tmp_path_factory.mktemp("links")
    try:
        unpacked(top, *[link(name, target) for name, target in links.items()])
    except UsageError:
        return
    for name in links:
        assert (top / "out" / name).resolve().is_relative_to((top / "out").resolve())
