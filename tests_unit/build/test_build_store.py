"""What is stored is what was built, or it is not used; many processes, a killed one and a full disk included."""

import os
import random
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import stubbuild

from harness.build import cache, store
from harness.errors import LabError
from harness.model import KernelBuild
from tests_unit import fakelinux


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return stubbuild.own_cache(monkeypatch, tmp_path / "cache")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return fakelinux.write(tmp_path / "linux")


def flip(file: Path, bit: int = 0) -> None:
    """Change one bit of *file* as a bad disk does: behind the back of its size and time."""
    data, state = bytearray(file.read_bytes()), file.stat()
    data[len(data) // 2] ^= 1 << bit
    file.write_bytes(data)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))


# --- a flipped bit ---------------------------------------------------------------------------------------------------
FILES = ("Image", "config", "build.json", "build.log", "dtbs/bcm2837-rpi-3-b.dtb", "modules")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, KernelBuild]:
    """One build whose stored files are damaged again and again."""
    folder = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        stubbuild.own_cache(patch, folder / "cache")
        tree = fakelinux.write(folder / "linux")
        return folder, stubbuild.build(tree, folder / "build.log")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("bit", [0, 3])
def test_a_flipped_bit_is_noticed_wherever_it_is(kept: tuple[Path, KernelBuild], name: str, bit: int) -> None:
    folder = kept[1].image.parent
    file = folder / name
    file = next(iter(file.rglob("*.ko"))) if file.is_dir() else file
    flip(file, bit)
    with pytest.raises(store.Damaged, match=r"was changed|cannot be read") as caught:
        store._read(folder)
    assert file.name in caught.value.message
    flip(file, bit)
    assert store._read(folder).build_id == kept[1].build_id


def test_a_damaged_kernel_is_built_again_and_the_reason_is_told(tree: Path, tmp_path: Path) -> None:
    first = stubbuild.build(tree, tmp_path / "build.log")
    good, said = stubbuild.content(first), list[str]()
    flip(first.image)
    again = stubbuild.build(tree, tmp_path / "build.log", progress=said.append)
    assert (again.cached, stubbuild.content(again)) == (False, good)
    assert any("Image was changed: its SHA-256" in line for line in said)
    assert stubbuild.build(tree, tmp_path / "build.log").cached


@pytest.mark.parametrize("change", ["gone", "added"])
def test_a_file_too_few_or_too_many_is_damage(kept: tuple[Path, KernelBuild], change: str) -> None:
    folder = kept[1].image.parent
    extra, dtb = folder / "dtbs/bcm9999-rpi.dtb", folder / "dtbs/bcm2711-rpi-4-b.dtb"
    data = dtb.read_bytes()
    if change == "gone":
        dtb.unlink()
    else:
        extra.write_bytes(data)
    with pytest.raises(store.Damaged, match=r"is gone|was not there"):
        store._read(folder)
    dtb.write_bytes(data)
    extra.unlink(missing_ok=True)


# --- killed at any moment --------------------------------------------------------------------------------------------
def killed_at(moments: list[float], tree: Path, tmp_path: Path) -> None:
    """Build *tree*, killed after each of *moments* (shares of a whole build's time); never is anything wrong used."""
    started = time.monotonic()
    child = stubbuild.in_child(lambda: stubbuild.build(tree, tmp_path / "whole.log"))
    assert stubbuild.status(child) == 0
    whole_s = time.monotonic() - started
    good = (tree / "kernel/fork.c").read_bytes()
    for number, moment in enumerate(moments):
        mark = b"// %d\n" % number
        (tree / "kernel/fork.c").write_bytes(good + mark)
        child = stubbuild.in_child(lambda: stubbuild.build(tree, tmp_path / "killed.log"))
        time.sleep(moment * whole_s)
        stubbuild.kill(child)
        built = stubbuild.build(tree, tmp_path / "build.log")
        whole = [b"int main(", b"UTS_RELEASE", b"int fork(", mark, built.release.encode()]
        assert [part for part in whole if part not in built.image.read_bytes()] == []
        assert built.modules == ("dummy", "loop")
        for folder in (tmp_path / "cache/kernels").glob("[0-9a-f]*/"):
            store._read(folder)


def test_a_build_killed_on_the_way_leaves_nothing_that_is_used(tree: Path, tmp_path: Path) -> None:
    killed_at([0.4, 0.8], tree, tmp_path)


@pytest.mark.slow
def test_a_build_killed_at_any_of_many_moments_leaves_nothing_that_is_used(tree: Path, tmp_path: Path) -> None:
    chance = random.Random(4)
    killed_at([chance.uniform(0, 1.1) for _ in range(40)], tree, tmp_path)


def test_what_a_killed_build_left_in_the_store_is_swept_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = tmp_path / "cache/kernels/.0123.abcd"
    left.mkdir(parents=True)
    (left / "Image").write_bytes(b"half")
    monkeypatch.setattr(cache, "LEFTOVER_S", -1.0)
    cache.prune(limit_bytes=2**40)
    assert not left.exists()


# --- a full disk -----------------------------------------------------------------------------------------------------
def full_at(limits: list[int], tree: Path, tmp_path: Path) -> set[int]:
    """Build with no file growing beyond each of *limits*; what is left behind never spoils the build after it."""
    found = set()
    good = (tree / "kernel/fork.c").read_bytes()
    for number, limit in enumerate(limits):
        (tree / "kernel/fork.c").write_bytes(good + b"// %d\n" % number)
        child = stubbuild.in_child(lambda: stubbuild.build(tree, tmp_path / "full.log"), limit_bytes=limit)
        found.add(stubbuild.status(child))
        built = stubbuild.build(tree, tmp_path / "build.log")
        assert built.image.stat().st_size > 100_000
        assert store._read(built.image.parent).build_id == built.build_id
    return found


def test_a_disk_that_is_full_is_the_benchs_fault_and_spoils_nothing(tmp_path: Path) -> None:
    tree = fakelinux.write(tmp_path / "linux", blob=b"@RELEASE@" + bytes(120_000))
    assert full_at([60_000], tree, tmp_path) == {stubbuild.REFUSED}


@pytest.mark.slow
def test_a_disk_may_fill_up_at_any_file(tmp_path: Path) -> None:
    tree = fakelinux.write(tmp_path / "linux", blob=b"@RELEASE@" + bytes(120_000))
    assert full_at(list(range(50, 4000, 350)), tree, tmp_path) == {stubbuild.REFUSED}


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
def test_a_really_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of ever more size take the room that the build needs, until it fits."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1200k", "none", disk], check=False).returncode:
        pytest.skip("this host does not let root mount")
    try:
        stubbuild.own_cache(monkeypatch, disk / "cache")
        tree = fakelinux.write(tmp_path / "linux", blob=b"@RELEASE@" + bytes(120_000))
        outcomes = []
        for taken in range(1150, 350, -80):
            (disk / "ballast").write_bytes(bytes(taken * 1024))
            try:
                outcomes.append(stubbuild.build(tree, tmp_path / "build.log").image.stat().st_size > 100_000)
            except LabError:
                outcomes.append(False)
            (disk / "ballast").unlink()
        assert outcomes == sorted(outcomes)
        assert {*outcomes} == {True, False}
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


# --- several at once -------------------------------------------------------------------------------------------------
def test_two_checkouts_of_the_same_source_store_one_kernel(tmp_path: Path) -> None:
    """They have object trees of their own, so both compile; the second one to finish finds the place taken."""
    trees = [fakelinux.write(tmp_path / name) for name in ("here", "there")]
    for tree in trees:
        for file in tree.rglob("*"):
            os.utime(file, (1_700_000_000, 1_700_000_000))
    with ThreadPoolExecutor() as pool:
        built = list(pool.map(lambda tree: stubbuild.build(tree, tmp_path / f"{tree.name}.log"), trees))
    assert built[0].image == built[1].image
    assert len(list((tmp_path / "cache/kernels").glob("[0-9a-f]*/"))) == 1
