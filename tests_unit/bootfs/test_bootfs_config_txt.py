"""config.txt: sections, includes, limits, and the firmware's silent ways."""

import pytest
from bootfs_samples import CONFIG, PI3, PI4
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import boards
from harness.bootfs import config_txt
from harness.bootfs.config_txt import Conditions
from harness.errors import ConfigError
from harness.model import BoardProfile


def keys(text: str, board: BoardProfile = PI4, **given_: object) -> list[str]:
    return [setting.key for setting in config_txt.applied(text, board, given=Conditions(**given_)).settings]  # type: ignore[arg-type]


def test_the_stock_file_gives_a_pi_4_its_overlay_and_a_pi_3_none() -> None:
    assert keys(CONFIG, PI4) == ["dtparam", "dtoverlay", "max_framebuffers"]
    assert keys(CONFIG, PI3) == ["dtparam"]


def test_the_last_value_wins_and_knows_its_line() -> None:
    setting = config_txt.applied("kernel=a\n\nkernel=b\n", PI4).last("kernel")
    assert setting is not None
    assert (setting.value, setting.file, setting.line, setting.text) == ("b", "config.txt", 3, "kernel=b")


def test_filters_of_the_same_kind_replace_each_other() -> None:
    assert keys("[pi3]\na=1\n[pi4]\nb=1") == ["b"]


def test_filters_of_different_kinds_add_up() -> None:
    """[gpio4=1] then [pi4] means both, and no board profile promises a GPIO level."""
    assert keys("[gpio4=1]\n[pi4]\na=1\n[all]\nb=1") == ["b"]


def test_all_resets_every_kind() -> None:
    assert keys("[none]\n[pi3]\n[tryboot]\na=1\n[all]\nb=1") == ["b"]


def test_none_is_not_lifted_by_a_model() -> None:
    assert keys("[none]\na=1\n[pi4]\nb=1") == []


def test_an_unknown_section_changes_nothing_but_is_remarked() -> None:
    config = config_txt.applied("[pi4]\n[frobnicate]\na=1", PI4)
    assert [setting.key for setting in config.settings] == ["a"]
    assert config.remarks == ("config.txt:2: unknown section [frobnicate]; taken as if it were not there",)


@pytest.mark.parametrize(
    ("name", "sections"),
    [
        ("rpi-3-b", ["pi3"]),
        ("rpi-3-b-plus", ["pi3", "pi3+"]),
        ("rpi-3-a-plus", ["pi3", "pi3+"]),
        ("rpi-zero-2-w", ["pi0", "pi0w", "pi02"]),
        ("rpi-4-b", ["pi4"]),
        ("rpi-400", ["pi4", "pi400"]),
        ("rpi-cm4", ["pi4", "cm4"]),
    ],
)
def test_a_board_answers_to_its_model_sections_only(name: str, sections: list[str]) -> None:
    text = "".join(f"[{section}]\n{section}=1\n" for section in sorted(config_txt.MODELS))
    assert sorted(keys(text, boards.load(name))) == sorted(sections)


@pytest.mark.parametrize(
    ("section", "applies"),
    [
        ("board-type=0x11", True),
        ("board-type=0x14", False),
        ("board-type=seventeen", False),
        ("0x12345678", True),
        ("0x12345679", False),
        ("tryboot", False),
        ("partition=1", True),
        ("partition=2", False),
        ("EDID=VSC-TD2220", False),
        ("HDMI:0", True),
        ("bootvar0&0x10", False),
    ],
)
def test_a_section_asks_about_one_thing(section: str, applies: bool) -> None:
    assert keys(f"[{section}]\na=1", serial=0x1000_0000_1234_5678) == ["a"] * applies


def test_what_only_the_powered_board_knows_is_remarked() -> None:
    config = config_txt.applied("[0x12345678]\na=1", PI4)
    assert config.settings == ()
    assert "config.txt:2: [0x12345678] cannot be told without the board" in config.remarks[0]


def test_tryboot_section_applies_after_a_tryboot() -> None:
    assert keys("[tryboot]\na=1", tryboot=True) == ["a"]


def test_keys_are_case_sensitive_and_blanks_beside_the_sign_belong_to_them() -> None:
    config = config_txt.applied("Kernel=a\nkernel =b\nkernel= c\n", PI4)
    assert [(setting.key, setting.value) for setting in config.settings] == [
        ("Kernel", "a"),
        ("kernel ", "b"),
        ("kernel", " c"),
    ]
    assert [remark.partition(": ")[0] for remark in config.remarks] == ["config.txt:2", "config.txt:3"]


def test_initramfs_takes_no_equals_sign() -> None:
    (setting,) = config_txt.parse("initramfs a=1.gz,b.gz followkernel")
    assert (setting.key, setting.value) == ("initramfs", "a=1.gz,b.gz followkernel")


@pytest.mark.parametrize(
    ("value", "number"), [("1", 1), ("0", 0), ("0x200", 512), ("on", 0), ("", 0), ("1 # yes", 1), ("010", 10)]
)
def test_a_value_reads_as_a_number_as_in_c(value: str, number: int) -> None:
    (setting,) = config_txt.parse(f"a={value}")
    assert setting.number == number


def test_the_firmware_drops_what_is_behind_the_limit_without_a_word() -> None:
    line = "kernel=" + "k" * config_txt.LINE_LIMIT
    config = config_txt.applied(line, PI4)
    assert config.settings[0].value == "k" * (config_txt.LINE_LIMIT - len("kernel="))
    assert config.remarks == ("config.txt:1: 105 characters; the firmware drops all behind character 98",)


def test_what_older_firmware_would_drop_is_remarked() -> None:
    assert "older firmware" in config_txt.applied("a=" + "1" * 80, PI4).remarks[0]


def test_lint_refuses_the_line_that_would_be_cut() -> None:
    with pytest.raises(ConfigError, match=r"usercfg.txt:2: line has 104 characters, the firmware reads 98"):
        config_txt.lint("a=1\r\n" + "dtparam=" + "x" * 96 + "\r\n", "usercfg.txt")


@pytest.mark.parametrize("text", ["#" * 200, "  # " + "x" * 200, "a=" + "1" * 96, "a=" + "1" * 96 + "\r"])
def test_lint_passes_long_comments_and_lines_at_the_limit(text: str) -> None:
    config_txt.lint(text)


FILES = {"user.txt": b"b=1\n[pi3]\nc=1\n[all]\nd=1\n", "loop.txt": b"x=1\ninclude loop.txt\ninclude loop.txt\n"}


def test_an_included_file_stands_where_its_include_does() -> None:
    config = config_txt.applied("a=1\ninclude user.txt\ne=1", PI4, FILES.get)
    assert [(setting.key, setting.file, setting.line) for setting in config.settings] == [
        ("a", "config.txt", 1),
        ("b", "user.txt", 1),
        ("d", "user.txt", 5),
        ("e", "config.txt", 3),
    ]


def test_sections_of_an_included_file_end_with_it() -> None:
    assert [
        setting.key for setting in config_txt.applied("[pi4]\ninclude i\na=1", PI4, {"i": b"[pi3]"}.get).settings
    ] == ["a"]


def test_an_include_in_a_section_for_others_is_not_read() -> None:
    asked: list[str] = []
    config_txt.applied("[pi3]\ninclude user.txt", PI4, asked.append)
    assert asked == []


def test_a_missing_include_is_remarked() -> None:
    config = config_txt.applied("include gone.txt", PI4, FILES.get)
    assert config.remarks == ("config.txt:1: included file gone.txt is not on the boot partition",)


def test_a_file_that_includes_itself_comes_to_an_end() -> None:
    config = config_txt.applied("include loop.txt", PI4, FILES.get)
    assert len(config.settings) == config_txt.INCLUDE_LIMIT
    assert any("one too many" in remark for remark in config.remarks)


LINES = st.lists(
    st.one_of(
        st.text(max_size=120),
        st.sampled_from(
            ["[all]", "[pi3]", "[none]", "[gpio4=1]", "[", "[]", "[0x1]", "include a", "include", "initramfs"]
        ),
    ),
    max_size=12,
).map("\n".join)


@settings(max_examples=50, deadline=None)
@given(LINES)
def test_the_parser_reads_any_text(text: str) -> None:
    config_txt.applied(text, PI3, lambda name: text.encode("latin-1", "replace") if name == "a" else None)


@settings(max_examples=50, deadline=None)
@given(LINES)
def test_a_section_never_lets_more_through_than_all(text: str) -> None:
    assert len(config_txt.applied(text, PI3).settings) <= len(list(config_txt.parse(text)))
