"""What an old firmware asks for: by the date that start4.elf tells, the guide's quirks or none of them."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pytest
from bootfs_samples import built as kernel

from harness import boards
from harness.bootfs import firmware, quirks
from harness.bootfs.compose import compose
from harness.bootfs.partition import Files
from harness.errors import UsageError
from harness.model import BootFile

PI4 = boards.load("rpi-4-b")
OLD_KERNEL = "4.19.56-v8+-pi64-12345678"


def card(built: str = "Jun 20 2019", config: str = "") -> dict[str, bytes]:
    elf = b"\x7fELF..\0VC_BUILD_ID_TIME: 17:28:13\0VC_BUILD_ID_TIME: " + built.encode() + b"\0.."
    return {"start4.elf": elf, "config.txt": config.encode()}


@pytest.mark.parametrize(
    ("elf", "date"),
    [
        (b"\0VC_BUILD_ID_TIME: 11:41:45\0VC_BUILD_ID_TIME: Apr 15 2020\0", "2020-04-15"),
        (b"\0VC_BUILD_ID_TIME: Aug  3 2015\0", "2015-08-03"),
        (b"pi64 placeholder", ""),
        (b"\0VC_BUILD_ID_TIME: Foo 15 2020\0", ""),
    ],
)
def test_the_firmware_tells_when_it_was_built(elf: bytes, date: str) -> None:
    assert quirks.firmware_date(Files({"START4.ELF": elf}), PI4) == date


def test_the_first_firmware_gets_all_of_the_guides_quirks() -> None:
    found = quirks.needed(PI4, card(), release=OLD_KERNEL)
    assert found.config == ("armstub=armstub8-gic.bin", "enable_gic=1", "arm_64bit=1", "total_mem=1024")
    assert found.armstub == "armstub8-gic.bin"


def test_a_kernel_that_reaches_all_memory_is_not_limited() -> None:
    found = quirks.needed(PI4, card(), release="6.12.30-v8+")
    assert found.config == ("armstub=armstub8-gic.bin", "enable_gic=1", "arm_64bit=1")
    assert "total_mem=1024 left out: kernel 6.12.30-v8+ is newer than 4.19" in found.reasons


@pytest.mark.parametrize(
    ("built", "config"), [("Jul  9 2019", ("arm_64bit=1",)), ("Jan 21 2021", ()), ("May  8 2026", ())]
)
def test_firmware_with_a_stub_of_its_own_gets_none(built: str, config: tuple[str, ...]) -> None:
    found = quirks.needed(PI4, card(built), release=OLD_KERNEL)
    assert (found.config, found.armstub) == (config, "")
    assert "brings its own (since 2019-07-09)" in found.reasons[0]


def test_firmware_that_does_not_say_is_taken_for_a_current_one() -> None:
    found = quirks.needed(PI4, {"start4.elf": b"pi64 placeholder"}, release=OLD_KERNEL)
    assert found.config == ()
    assert "does not say when it was built" in found.reasons[0]


def test_lab_yaml_overrules_the_card() -> None:
    assert quirks.needed(PI4, card("May  8 2026"), release=OLD_KERNEL, firmware="2019-06-20").armstub
    assert not quirks.needed(PI4, card(), release=OLD_KERNEL, firmware="2026-05-08").armstub


def test_a_date_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="not a date"):
        quirks.needed(PI4, card(), release=OLD_KERNEL, firmware="2019")


def test_a_board_without_such_a_history_says_so() -> None:
    found = quirks.needed(boards.load("rpi-3-b"), card(), release=OLD_KERNEL)
    assert found.reasons == ("armstub left out: no firmware for Raspberry Pi 3 Model B needs one",)


def test_a_stub_that_the_card_brings_is_left_alone() -> None:
    found = quirks.needed(PI4, card(config="armstub=mine.bin\n"), release="6.12")
    assert (found.armstub, found.config) == ("", ("arm_64bit=1",))
    assert "config.txt:1 has `armstub=mine.bin`" in found.reasons[0]


def test_what_we_wrote_ourselves_is_not_the_cards_own() -> None:
    config = "# pi64 begin\n[all]\narmstub=armstub8-gic.bin\n# pi64 end\n"
    assert quirks.needed(PI4, card(config=config), release="6.12").armstub


def composed(layout: str, folder: Path) -> Mapping[str, BootFile]:
    base = card()
    found = quirks.needed(PI4, base, release=OLD_KERNEL)
    stub = BootFile(PurePosixPath(found.armstub), data=b"stub")
    files = compose(kernel(folder), PI4, base, layout=layout, config_extra=found.config, extra_files=[stub])
    return {str(file.path): file for file in files.files}


@pytest.mark.parametrize("layout", ["side-by-side", "in-place"])
def test_the_stub_lies_where_config_txt_says(layout: str, tmp_path: Path) -> None:
    files = composed(layout, tmp_path)
    lines = files["config.txt"].read().decode().splitlines()
    assert lines.count("arm_64bit=1") == 1
    assert {"armstub=armstub8-gic.bin", "enable_gic=1", "total_mem=1024"} <= set(lines)
    assert files["armstub8-gic.bin"].read() == b"stub"


def test_the_plan_remarks_a_stub_that_is_missing() -> None:
    plan = firmware.plan(Files(card(config="armstub=gone.bin\n")), PI4)
    assert "config.txt:1: `armstub=gone.bin` names a missing file" in plan.remarks
