from pathlib import Path

import pytest

from harness.errors import ConfigError, UsageError
from harness.lab import config

SHIPPED = Path(__file__).parents[2] / "lab.yaml"
PATH = Path("lab.yaml")


def parse(**replaced: str) -> config.Lab:
    text = SHIPPED.read_text()
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new, 1)
    return config.parse(text, PATH)


def test_the_lab_yaml_that_ships_is_good() -> None:
    lab = parse()
    assert lab.targets["virtual-rpi3"].model == "rpi-3-b"
    assert lab.targets["virtual-rpi4"].kernel.fragments == ("smoke",)
    assert lab.features["virtual-rpi3"] == {"virtual"}


def test_an_unknown_target_lists_the_known_ones_with_their_models() -> None:
    with pytest.raises(UsageError, match="no target `virtual-rpi5`") as caught:
        parse().target("virtual-rpi5")
    assert "virtual-rpi4     rpi-4-b" in caught.value.evidence
    assert "virtual-rpi4" in caught.value.hint


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        ("fragments", "fragmants", "unknown key `fragmants` in `kernel`", "`fragments`"),
        ("VirtualPiDriver: {}", "VirtualPiDrivr: {}", "unknown driver `VirtualPiDrivr`", "`VirtualPiDriver`"),
        ("VirtualPiDriver: {}", "VirtualPiDriver: {modl: x}", "unknown key `modl`", "`model`"),
        ("CardImage: {}", "CardImge: {}", "unknown resource `CardImge`", "`CardImage`"),
        ("model: rpi-3-b", "model: rpi-3-x", "no board model `rpi-3-x`", "`rpi-3-b`"),
        ("model: rpi-3-b", "mdel: rpi-3-b", "has no model", "model:"),
        ("config: allnoconfig", "config: [a]", "`config` must be a text", ""),
        ("fragments: [smoke]", "fragments: smoke", "`fragments` must be a list of texts", ""),
        ("targets:", "targts:", "unknown key `targts`", "`targets`"),
        ("  virtual-rpi4:", "  virtual-rpi3:", "`virtual-rpi3` stands twice", ""),
        ("[virtual]", "[virtual", "not YAML", ""),
        ("login: {user: pi,", "layout: sideways\n      login: {user: pi,", "`layout` must be one of", ""),
        ("login: {user: pi,", "deadlines: {login: soon}\n      login: {user: pi,", "`login` must be a number", ""),
    ],
)
def test_a_mistake_is_told_with_file_line_and_the_nearest_word(old: str, new: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=r"lab\.yaml:\d+: ") as caught:
        parse(**{old: new})
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_an_empty_file_is_told() -> None:
    with pytest.raises(ConfigError, match="no targets"):
        config.parse("", PATH)


def test_a_password_may_come_from_the_environment_and_is_missed_by_name(monkeypatch) -> None:
    options = parse(**{"password: raspberry": "password_env: PI_PASSWORD"}).targets["virtual-rpi3"]
    with pytest.raises(UsageError, match="PI_PASSWORD is not set"):
        options.login.account("virtual-rpi3")
    monkeypatch.setenv("PI_PASSWORD", "hunter2")
    account = options.login.account("virtual-rpi3")
    assert account.password == "hunter2"
    assert "hunter2" not in repr(account) + repr(options)
