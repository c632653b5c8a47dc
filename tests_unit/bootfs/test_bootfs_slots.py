"""The two slots: a kernel may lie in either, and the firmware takes it from there."""

from pathlib import Path, PurePosixPath

import attrs
import pytest
from bootfs_samples import BASE, PI3, STOCK, built

from harness.bootfs import firmware, slots
from harness.bootfs.compose import compose
from harness.bootfs.partition import Files
from harness.model import BootFile, BootFiles


def contents(files: BootFiles) -> dict[str, bytes]:
    return {str(file.path): file.read() for file in files.files}


@pytest.fixture
def files(tmp_path: Path) -> BootFiles:
    return compose(built(tmp_path, overlays=("disable-bt.dtbo",)), PI3, BASE, config_extra=["dtoverlay=disable-bt"])


def test_the_firmware_boots_what_was_moved_to_the_other_slot(files: BootFiles) -> None:
    other = slots.moved(files, "pi64-b/")
    plan = firmware.plan(Files({**STOCK, **contents(other)}), PI3)
    assert (plan.bootable, plan.kernel, plan.os_prefix) == (True, "pi64-b/kernel8.img", "pi64-b/")
    assert plan.cmdline == firmware.plan(Files({**STOCK, **contents(files)}), PI3).cmdline
    assert not any(name.startswith("pi64/") for name in contents(other))


def test_moving_there_and_back_changes_nothing(files: BootFiles) -> None:
    back = slots.moved(slots.moved(files, "pi64-b/"), "pi64/")
    assert contents(back) == contents(files)
    assert back.os_prefix == files.os_prefix


def test_what_lies_outside_of_the_slot_stays_there(files: BootFiles) -> None:
    stub = BootFile(PurePosixPath("armstub8.bin"), data=b"stub")
    near = BootFile(PurePosixPath("pi64.txt"), data=b"near")
    moved = contents(slots.moved(attrs.evolve(files, files=(*files.files, stub, near)), "pi64-b/"))
    assert (moved["armstub8.bin"], moved["pi64.txt"]) == (b"stub", b"near")


def test_only_our_own_block_says_which_slot_is_live(files: BootFiles) -> None:
    theirs = b"[pi4]\nos_prefix=theirs/\n[all]\n"
    assert slots.live(theirs) == ""
    assert slots.live(theirs + contents(slots.moved(files, "pi64-b/"))["config.txt"]) == "pi64-b/"
    assert slots.live(contents(files)["config.txt"].replace(b"\n", b"\r\n")) == "pi64/"


def test_a_prefix_in_somebody_elses_lines_is_left_alone(files: BootFiles) -> None:
    base = {**BASE, "config.txt": b"[pi4]\nos_prefix=theirs/\n[all]\n" + BASE["config.txt"]}
    mine = attrs.evolve(files, files=compose_again(base, files))
    assert b"os_prefix=theirs/" in contents(slots.moved(mine, "pi64-b/"))["config.txt"]


def compose_again(base: dict[str, bytes], files: BootFiles) -> tuple[BootFile, ...]:
    text = base["config.txt"] + contents(files)["config.txt"].removeprefix(BASE["config.txt"])
    return tuple(attrs.evolve(file, data=text) if str(file.path) == "config.txt" else file for file in files.files)


def test_files_in_place_have_no_slot(tmp_path: Path) -> None:
    files = compose(built(tmp_path), PI3, BASE, layout="in-place")
    assert slots.moved(files, "pi64-b/") is files
    assert slots.live(contents(files)["config.txt"]) == ""


@pytest.mark.parametrize(("prefix", "other"), [("pi64/", "pi64-b/"), ("a/b/", "a/b-b/"), ("lab-", "lab--b")])
def test_each_slot_is_the_other_ones_other(prefix: str, other: str) -> None:
    assert (slots.other(prefix), slots.other(other)) == (other, prefix)
