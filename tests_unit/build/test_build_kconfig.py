import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.build import kconfig
from harness.build.request import FRAGMENTS
from harness.errors import ConfigError

SYMBOLS = st.from_regex(r"[A-Z][A-Z0-9_]{0,12}", fullmatch=True)
VALUES = st.sampled_from(["y", "m", "n", "4", "0x200000", '"-v8"', '""'])


@given(st.dictionaries(SYMBOLS, VALUES))
def test_what_is_rendered_parses_to_the_same_settings(values: dict[str, str]) -> None:
    assert kconfig.parse(kconfig.render(values)) == values


def test_not_set_is_n() -> None:
    assert kconfig.parse("# CONFIG_EFI is not set\n") == {"EFI": "n"}


def test_the_last_setting_of_a_symbol_counts() -> None:
    assert kconfig.parse("CONFIG_LOOP=y\nCONFIG_LOOP=m\n") == {"LOOP": "m"}
    assert kconfig.merge([{"LOOP": "y", "A": "y"}, {"LOOP": "m"}]) == {"LOOP": "m", "A": "y"}


def test_a_line_that_kconfig_would_pass_over_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"kasan:2: not a setting: KASAN=y"):
        kconfig.parse("# why\nKASAN=y\n", name="kasan")


def test_a_symbol_that_is_gone_differs_from_one_that_was_wanted() -> None:
    missed = kconfig.differences({"A": "y", "B": "m", "C": "n"}, {"A": "y", "B": "y"})
    assert [str(each) for each in missed] == ["CONFIG_B: wanted m, got y"]


def test_a_symbol_wanted_off_may_be_absent() -> None:
    assert not kconfig.differences({"DEBUG_FS": "n"}, {})


def test_the_nearest_symbol_is_what_was_meant() -> None:
    known = kconfig.declared("menuconfig MODULES\n\tbool\nconfig MODULE_UNLOAD\n\tbool\nconfig FUTEX\n")
    assert kconfig.nearest("MODUL_UNLOAD", known)[0] == "MODULE_UNLOAD"


@pytest.mark.parametrize("file", sorted(FRAGMENTS.glob("*.config")), ids=lambda file: file.stem)
def test_shipped_fragments_set_each_symbol_once(file: Path) -> None:
    settings = [line for line in file.read_text().splitlines() if line.startswith("CONFIG_")]
    assert len(kconfig.parse(file.read_text())) == len(settings) > 0


@pytest.mark.parametrize(("wanted", "got"), [("0X20", "0x20"), ("20", "0x20"), ('""', "n"), ("n", "n")])
def test_two_ways_to_write_a_value_are_the_same(wanted: str, got: str) -> None:
    assert kconfig.same(wanted, got)


def test_a_setting_knows_its_line() -> None:
    assert [str(each) for each in kconfig.settings("# x\nCONFIG_A=y\n", name="a.config")] == ["CONFIG_A=y (a.config:2)"]


@pytest.mark.parametrize(
    "data",
    [
        b"CONFIG_A=y\n",
        gzip.compress(b"CONFIG_A=y\n"),
        b"MZ\0\0IKCFG_ST" + gzip.compress(b"CONFIG_A=y\n") + b"IKCFG_ED\0\0",
        gzip.compress(b"MZ\0\0IKCFG_ST" + gzip.compress(b"CONFIG_A=y\n") + b"IKCFG_ED\0\0"),
    ],
    ids=["text", "config.gz", "Image", "Image.gz"],
)
def test_a_configuration_is_found_in(data: bytes) -> None:
    assert kconfig.text_of(data, name="x") == "CONFIG_A=y\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"MZ\0\0 an Image without one", "holds no kernel configuration"),
        (b"", "holds no kernel configuration"),
        (gzip.compress(b"CONFIG_A=y\n" * 100)[:-12], "ends too early"),
        (b"\x1f\x8bgarbage garbage", "damaged gzip data"),
        (gzip.compress(bytes(20 * 2**20)), "far too large"),
    ],
)
def test_what_holds_no_configuration_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        kconfig.text_of(data, name="x")
