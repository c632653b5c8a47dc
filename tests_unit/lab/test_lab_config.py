import socket
import sys
from pathlib import Path

import pytest
from labgrid import Environment
from labgrid.factory import target_factory

from harness.errors import ConfigError, LabError, UsageError
from harness.lab import config
from harness.lab.targets import strategy_of
from harness.strategy import RaspberryPiStrategy

SHIPPED = Path(__file__).parents[2] / "lab.yaml"
PATH = Path("lab.yaml")
LOGIN = "login: {user: pi, password: raspberry}"
VIRTUAL = "VirtualPiDriver: {}"
TARGET = """\
imports: [{imports}]
targets:
  pi:
    options: {{model: rpi-3-b}}
    resources: {resources}
    drivers: {drivers}
"""
BOARD = "{VirtualPiDriver: {}, CardImageDriver: {}, RaspberryPiStrategy: {}}"
OWN_DRIVER = """
import attr
from labgrid.driver import Driver
from labgrid.factory import target_factory

@target_factory.reg_driver
@attr.s(eq=False)
class MyFan(Driver):
    speed = attr.ib(default=1, converter=int)
"""


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
        # what labgrid would meet with a traceback
        ("[virtual]", "virtual", "`features` must be a list of texts", ""),
        ("[virtual]", "[{virtual: yes}]", "`features` must be a list of texts", ""),
        ("[virtual]", "[[virtual]]", "`features` must be a list of texts", ""),
        ("features: [virtual]", "features:", "`features` must be a list of texts", ""),
        ("features:", "[features]:", "a key must be a text", ""),
        ("  virtual-rpi4:", "  4:", "key `4` in targets is not a text", "quotes"),
        (VIRTUAL, "[VirtualPiDriver]: {}", "a key must be a text", ""),
        (VIRTUAL, "pi: {cls: [VirtualPiDriver]}", "unknown driver `['VirtualPiDriver']`", ""),
        (VIRTUAL, "VirtualPiDriver:", "arguments of `VirtualPiDriver` must be a mapping", "`VirtualPiDriver: {}`"),
        ("resources:\n      CardImage: {}", "resources:", "must be a mapping or a list", ""),
        ("model: rpi-3-b", "model: !include rpi-3-b", "constructor for the tag '!include'", ""),
        ("[smoke]", "!mine [smoke]", "constructor for the tag '!mine'", ""),
        ("model: rpi-3-b", "model: !!int x", "not a value of the kind !!int", ""),
        ("model: rpi-3-b", "model: 2024-13-45", "not a value of the kind !!timestamp", ""),
        ("model: rpi-3-b", "model: !template $HOME", "unknown variable 'HOME'", "LG_"),
        ("model: rpi-3-b", "model: !template a$", "not a valid !template", ""),
        ("model: rpi-3-b", "model: &x [*x]", "recursive", ""),
        ("model: rpi-3-b", "model: \0", "not YAML", ""),
        ("model: rpi-3-b", "<<: {model: rpi-3-b}", "does not read merge keys", "`*name`"),
        ("imports:", "options: []\nimports:", "`options` must be a mapping", ""),
        ("imports: [harness.lab.drivers]", "imports: harness.lab.drivers", "`imports` must be a list of texts", ""),
        # what labgrid's classes refuse
        (VIRTUAL, "VirtualPiDriver: {port: abc}", "`port` of `VirtualPiDriver` is not good: 'port' must be", ""),
        (VIRTUAL, "VirtualPiDriver: {target: x}", "unknown key `target`", ""),
        (VIRTUAL, "VirtualPiDriver: {name: 5}", "`name` of `VirtualPiDriver` must be a text", ""),
        (VIRTUAL, "VirtualPiDriver: {bindings: [x]}", "`bindings` of `VirtualPiDriver` must be a mapping", ""),
        (VIRTUAL, "ExternalPowerDriver: {cmd_on: x}", "`ExternalPowerDriver` lacks `cmd_off`", ""),
        ("      RaspberryPiStrategy: {}", "", "`virtual-rpi3` has no strategy", "`RaspberryPiStrategy: {}`"),
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


def test_a_password_may_come_from_a_file_and_only_its_name_is_told(tmp_path) -> None:
    secret = tmp_path / "password"
    options = parse(**{"password: raspberry": f"password_file: {secret}"}).targets["virtual-rpi3"]
    with pytest.raises(UsageError, match="password cannot be read: No such file or directory"):
        options.login.account("virtual-rpi3")
    for content in (b"", b"\nhunter2\n", b"hunter2\xff"):
        secret.write_bytes(content)
        with pytest.raises(UsageError, match="password file") as caught:
            options.login.account("virtual-rpi3")
        assert "hunter2" not in str(caught.value)
    secret.write_bytes(b"hunter2\r\nmore\n")
    assert options.login.account("virtual-rpi3").password == "hunter2"
    assert options.login.secret


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (LOGIN, "login: {password: 470815}"),
        (LOGIN, "login: {password: [470815]}"),
        (LOGIN, "login: {password: !!int x470815}"),
        (
            "CardImage: {}",
            "TasmotaPowerPort: {host: a, avail_topic: b, power_topic: c, status_topic: d, password: 470815}",
        ),
    ],
)
def test_no_message_shows_a_password(old: str, new: str) -> None:
    with pytest.raises(ConfigError, match=r"lab\.yaml:\d+: ") as caught:
        parse(**{old: new})
    assert "470815" not in str(caught.value)


def test_a_file_that_is_not_utf_8_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_bytes("targets:\n  # Küche\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"lab\.yaml:2: not UTF-8"):
        config.load(tmp_path / "lab.yaml")


def test_templates_know_the_folder_and_what_begins_with_lg(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("LG_MODEL", "rpi-4-b")
    lab = parse(**{"model: rpi-3-b": "model: !template $LG_MODEL", "[smoke]": "[!template $BASE/mine.config]"})
    options = lab.targets["virtual-rpi3"]
    assert options.model == "rpi-4-b"
    assert options.kernel.fragments == (f"{Path.cwd()}/mine.config",)


def test_a_value_may_be_repeated_by_its_anchor() -> None:
    lab = parse(**{LOGIN: "login: &login {user: me}", "password: raspberry}": "password: raspberry}"})
    assert lab.targets["virtual-rpi3"].login.user == "me"
    text = TARGET.format(imports="", resources="&none {}", drivers=BOARD).replace(
        "rpi-3-b}", "rpi-3-b, kernel: &k {ref: a}}"
    )
    twin = "  twin: {options: {model: rpi-4-b, kernel: *k}, resources: *none, drivers: {RaspberryPiStrategy: {}}}\n"
    assert config.parse(text + twin, PATH).targets["twin"].kernel.ref == "a"


def test_a_class_may_stand_twice_in_a_list_and_bindings_name_one() -> None:
    drivers = """
    - VirtualPiDriver: {name: one}
    - cls: VirtualPiDriver
      name: two
    - RaspberryPiStrategy: {bindings: {power: two, console: two}}
    """
    assert config.parse(TARGET.format(imports="", resources="{}", drivers=drivers), PATH).target("pi")


@pytest.mark.parametrize("item", ["VirtualPiDriver", "{}", "{VirtualPiDriver: {}, CardImageDriver: {}}"])
def test_each_of_a_list_of_drivers_is_one_class(item: str) -> None:
    with pytest.raises(ConfigError, match=r"lab\.yaml:6: each of the drivers of `pi` must be"):
        config.parse(TARGET.format(imports="", resources="{}", drivers=f"[{item}]"), PATH)


# --- imports ----------------------------------------------------------------------------------------------------------
def own(folder: Path, code: str, drivers: str = BOARD) -> Path:
    (folder / "my_fan.py").write_text(code)
    path = folder / "lab.yaml"
    path.write_text(TARGET.format(imports="my_fan.py", resources="{CardImage: {}}", drivers=drivers))
    return path


def test_a_users_own_driver_is_known_and_labgrid_can_still_import_it(tmp_path: Path, monkeypatch) -> None:
    for registry in ("drivers", "all_classes"):
        monkeypatch.setattr(target_factory, registry, dict(getattr(target_factory, registry)))
    path = own(tmp_path, OWN_DRIVER, BOARD.replace("{V", "{MyFan: {speed: '2'}, V"))
    config.load(path)
    assert "my_fan" not in sys.modules
    config.load(path)
    target = Environment(str(path)).get_target("pi")
    assert target.get_driver("MyFan").speed == 2


def test_a_users_own_driver_is_asked_for_its_arguments(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"lab\.yaml:6: `speed` of `MyFan` is not good: invalid literal"):
        config.load(own(tmp_path, OWN_DRIVER, BOARD.replace("{V", "{MyFan: {speed: fast}, V")))
    assert "MyFan" not in target_factory.all_classes


@pytest.mark.parametrize(
    ("code", "words"),
    [("import nosuch", "No module named 'nosuch'"), ("x = ", "invalid syntax"), ("x = 1 / 0", "division by zero")],
)
def test_an_import_that_fails_is_told_with_its_words(tmp_path: Path, code: str, words: str) -> None:
    with pytest.raises(ConfigError, match=rf"lab\.yaml:1: import of `my_fan\.py` failed: \w+: {words}"):
        config.load(own(tmp_path, OWN_DRIVER + code))
    assert "MyFan" not in target_factory.all_classes


def test_an_import_that_is_not_there_is_told() -> None:
    with pytest.raises(ConfigError, match=r"lab\.yaml:\d+: import of `nosuch\.drivers` failed: ModuleNotFoundError"):
        parse(**{"[harness.lab.drivers]": "[harness.lab.drivers, nosuch.drivers]"})


# --- labgrid's target -------------------------------------------------------------------------------------------------
def environment(folder: Path, *, resources: str = "{CardImage: {}}", drivers: str = BOARD) -> Environment:
    path = folder / "lab.yaml"
    path.write_text(TARGET.format(imports="harness.lab.drivers", resources=resources, drivers=drivers))
    return Environment(str(path))


def test_the_strategy_of_a_target_is_ours(tmp_path: Path) -> None:
    assert isinstance(strategy_of(environment(tmp_path), "pi"), RaspberryPiStrategy)


@pytest.mark.parametrize(
    ("resources", "drivers", "words"),
    [
        ("{}", BOARD, "binding"),
        ("{CardImage: {}}", "{RaspberryPiStrategy: {}}", "binding RaspberryPiStrategy failed"),
        ("{CardImage: {}}", "{VirtualPiDriver: {}}", "no Strategy found"),
        ("{CardImage: {}}", "{VirtualPiDrivr: {}}", "unknown driver class VirtualPiDrivr"),
        ("{CardImage: {}}", "{VirtualPiDriver: {bindings: {x: y}}, RaspberryPiStrategy: {}}", "unexpected bindings"),
        ("{CardImage: {}}", "{ExternalPowerDriver: {cmd_on: hunter2}}", "failed to create ExternalPowerDriver"),
    ],
)
def test_what_labgrid_does_not_like_is_told_with_the_target(tmp_path, resources: str, drivers: str, words: str) -> None:
    with pytest.raises(ConfigError, match=r"^pi: ") as caught:
        strategy_of(environment(tmp_path, resources=resources, drivers=drivers), "pi")
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_target_that_labgrid_does_not_know_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^po: labgrid knows no such target"):
        strategy_of(environment(tmp_path), "po")


def test_a_strategy_of_another_kind_is_told(tmp_path: Path, monkeypatch) -> None:
    class Other:
        def get_strategy(self) -> object:
            return object()

    env = environment(tmp_path)
    monkeypatch.setattr(env, "get_target", lambda name: Other())
    with pytest.raises(ConfigError, match=r"^pi: its strategy is a object") as caught:
        strategy_of(env, "pi")
    assert "RaspberryPiStrategy" in caught.value.hint


def test_a_coordinator_that_does_not_answer_is_a_fault_of_the_bench(tmp_path: Path, monkeypatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("LG_COORDINATOR", f"127.0.0.1:{server.getsockname()[1]}")
    with pytest.raises(LabError, match=r"^pi: .*coordinator") as caught:
        strategy_of(environment(tmp_path, resources="{RemotePlace: {name: pi}}"), "pi")
    assert "LG_COORDINATOR" in caught.value.hint
