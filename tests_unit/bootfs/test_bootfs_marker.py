"""The command line of a slot names it: so a running kernel tells where it came from."""

from pathlib import Path

import pytest
from bootfs_samples import BASE, PI3, STOCK, built

from harness.bootfs import firmware, marker, slots
from harness.bootfs.compose import compose
from harness.bootfs.partition import Files
from harness.model import BootFiles


@pytest.fixture
def files(tmp_path: Path) -> BootFiles:
    return compose(built(tmp_path), PI3, BASE)


@pytest.mark.parametrize("slot", ["pi64/", "pi64-b/"])
def test_a_kernel_started_from_a_slot_says_which(files, slot) -> None:
    marked = marker.marked(slots.moved(files, slot))
    card = {**STOCK, **{str(file.path): file.read() for file in marked.files}}
    assert marker.started_from(firmware.plan(Files(card), PI3).cmdline) == slot


def test_a_slot_in_which_something_is_missing_is_not_what_the_kernel_says(files) -> None:
    card = {**STOCK, **{str(file.path): file.read() for file in marker.marked(files).files}}
    del card["pi64/kernel8.img"]
    assert marker.started_from(firmware.plan(Files(card), PI3).cmdline) == ""


def test_marking_twice_is_marking_once(files) -> None:
    once = marker.marked(files)
    assert [file.read() for file in marker.marked(once).files] == [file.read() for file in once.files]


def test_all_else_of_the_command_line_stays(files) -> None:
    before = next(file.read() for file in files.files if str(file.path) == "pi64/cmdline.txt").decode().strip()
    after = next(file.read() for file in marker.marked(files).files if str(file.path) == "pi64/cmdline.txt").decode()
    assert after == f"{before} pi64.slot=pi64\n"
