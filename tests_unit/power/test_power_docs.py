"""docs/power.md: what it tells people to write is read, and labgrid makes the driver that stands there."""

import re
import sys
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import yaml
from labgrid import Environment, Target
from labgrid.protocol import PowerProtocol
from labgrid.resource.common import ResourceManager

from harness.lab import config

TEXT = (Path(__file__).parents[2] / "docs" / "power.md").read_text()
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
EXTRAS = (
    "kasa", "kasa.iot", "paho", "paho.mqtt", "paho.mqtt.client", "py_netgear_plus", "pyModbusTCP", "pyModbusTCP.client",
    "pyModbusTCP.constants", "pysnmp", "pysnmp.hlapi",
)  # fmt: skip
"""Modules that labgrid's drivers import and that pi64 does not install; what they would talk to is not there either."""


def lab_yaml(block: str) -> str:
    """A block as a target; the strategy, which every target has, is not repeated in each."""
    target = {"options": {"model": "rpi-3-b"}} | yaml.safe_load(block)
    target["drivers"] = target["drivers"] | {"RaspberryPiStrategy": {}}
    return yaml.safe_dump({"imports": ["harness.lab.drivers"], "targets": {"pi": target}}, sort_keys=False)


@pytest.mark.parametrize("block", BLOCKS)
def test_each_block_is_a_good_lab_yaml(block: str) -> None:
    assert list(config.parse(lab_yaml(block), Path("lab.yaml")).targets) == ["pi"]


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A function that lets labgrid make the target of a block."""
    for name in EXTRAS:
        monkeypatch.setitem(sys.modules, name, MagicMock())
    monkeypatch.setattr(ResourceManager, "instances", {})

    def make(block: str) -> Target:
        path = tmp_path / "lab.yaml"
        lab = {"imports": ["harness.lab.drivers"], "targets": {"pi": yaml.safe_load(block)}}
        path.write_text(yaml.safe_dump(lab, sort_keys=False))  # a driver comes after what it binds to
        return Environment(str(path)).get_target("pi")

    yield make
    for manager in ResourceManager.instances.values():
        if observer := getattr(manager, "_observer", None):
            observer.stop()


@pytest.mark.parametrize("block", BLOCKS)
def test_each_block_has_what_its_drivers_need_and_makes_one_power_switch(block: str, made) -> None:
    target = made(block)
    assert len([driver for driver in target.drivers if isinstance(driver, PowerProtocol)]) == 1
    assert len(target.drivers) == len(yaml.safe_load(block)["drivers"])


def test_every_resource_and_model_of_the_table_has_a_block() -> None:
    table = TEXT.partition("## Which one")[2].partition("## ")[0]
    words = set(re.findall(r"`([A-Z]\w+(?:Port|Coil|GPIO|Driver|Relay))`", table))
    models = set(re.findall(r"model ((?:`\w+`(?:, )?)+)", table))
    words |= {word for found in models for word in re.findall(r"\w+", found)}
    assert len(words) > 12
    assert [word for word in sorted(words) if not any(word in block for block in BLOCKS)] == []
