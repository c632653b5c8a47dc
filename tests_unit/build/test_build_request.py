from pathlib import Path

import pytest

from harness.build import request
from harness.errors import ConfigError, UsageError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(request, "FRAGMENTS", tmp_path / "shipped")
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped/smoke.config").write_text("# the smallest\nCONFIG_NET=y\nCONFIG_DUMMY=m\n")
    (tmp_path / "a.config").write_text("CONFIG_NET=n\n")
    (tmp_path / "b.config").write_text("CONFIG_NET=y\n")


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("FOO=y", "y"),
        ("CONFIG_FOO=M", "m"),
        ("FOO=n", "n"),
        ("FOO=16", "16"),
        ("FOO=0x20", "0x20"),
        ("FOO=quiet panic=10", '"quiet panic=10"'),
        ('FOO="quiet"', '"quiet"'),
        ('FOO=say "hi"', '"say \\"hi\\""'),
        ("FOO=", '""'),
    ],
)
def test_a_word_is_written_as_kconfig_writes_it(given: str, value: str) -> None:
    assert request.read([given]).wanted == {"FOO": value}


def test_a_word_cannot_smuggle_in_a_second_setting() -> None:
    with pytest.raises(UsageError, match="control characters"):
        request.read(["FOO=y\nCONFIG_BAR=y"])


def test_every_setting_knows_where_it_comes_from() -> None:
    asked = request.read(["smoke", "b.config", "FOO=y"]).asked
    assert [asked[name].where for name in ("DUMMY", "NET", "FOO")] == [
        "fragment smoke:3",
        "b.config:1",
        "--fragment FOO=y",
    ]


def test_a_file_stands_over_a_set_that_ships_and_a_word_over_both() -> None:
    asked = request.read(["smoke", "a.config", "NET=y"])
    assert asked.wanted["NET"] == "y"
    assert [str(after) for _, after in asked.overridden] == [
        "CONFIG_NET=n (a.config:1)",
        "CONFIG_NET=y (--fragment NET=y)",
    ]


@pytest.mark.parametrize(
    ("fragments", "places"),
    [
        (["a.config", "b.config"], ("a.config:1: CONFIG_NET=n", "b.config:1: CONFIG_NET=y")),
        (["a.config", "smoke"], ("a.config:1: CONFIG_NET=n", "fragment smoke:2: CONFIG_NET=y")),
        (["X=y", "X=m"], ("--fragment X=y: CONFIG_X=y", "--fragment X=m: CONFIG_X=m")),
    ],
)
def test_a_fragment_that_overrides_another_unasked_is_named_with_both_places(
    fragments: list[str], places: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError, match=r"overridden by a later fragment") as caught:
        request.read(fragments)
    assert caught.value.evidence == places


def test_a_fragment_may_raise_anothers_module_to_built_in_but_not_the_other_way_round(tmp_path: Path) -> None:
    (tmp_path / "shipped/net.config").write_text("CONFIG_DUMMY=y\n")
    asked = request.read(["smoke", "net"])
    assert asked.wanted["DUMMY"] == "y"
    assert [before.symbol for before, _ in asked.overridden] == ["DUMMY"]
    with pytest.raises(ConfigError, match="CONFIG_DUMMY: wanted y, overridden by a later fragment with m"):
        request.read(["net", "smoke"])


def test_a_file_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.config").write_text("CONFIG_NET=y\n# CONFIG_NET is not set\n")
    with pytest.raises(ConfigError, match="CONFIG_NET: wanted y, overridden"):
        request.read(["c.config"])


def test_the_same_said_twice_is_no_contradiction() -> None:
    assert not request.read(["smoke", "b.config", "NET=y"]).overridden


def test_a_fragment_that_does_not_exist_names_those_that_do() -> None:
    with pytest.raises(UsageError, match="config fragment smok") as caught:
        request.read(["smok"])
    assert caught.value.hint == "known by name: smoke; or KEY=value"


def test_a_base_that_cannot_be_read_is_the_users_mistake() -> None:
    with pytest.raises(UsageError, match="No such file"):
        request.base_text(Path("nosuch.config"))
