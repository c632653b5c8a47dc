"""`pi64 build` and `pi64 cache`, over the stub kernel tree."""

import json
import subprocess
from pathlib import Path

import pytest

from harness import cli
from harness.build import objects, toolchain
from harness.lab import choices
from harness.lab.options import KernelOptions
from harness.model import Toolchain
from tests_unit import fakelinux

LAB = """\
targets:
  pi:
    options: {model: rpi-3-b, kernel: {source: TREE, toolchain: system, requires: [none]}}
    drivers: {RaspberryPiStrategy: {}}
imports: [harness.lab.drivers]
"""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(objects, "TYPICAL_FULL", (10_000, 0))
    gcc = Toolchain(name="system", cross_prefix="aarch64-linux-gnu-", version="gcc 12", digest="1234")
    monkeypatch.setattr(toolchain, "choose", lambda *_, **__: gcc)
    monkeypatch.chdir(tmp_path)
    tree = fakelinux.write(tmp_path / "linux")
    (tmp_path / "lab.yaml").write_text(LAB.replace("TREE", str(tree)))
    return tree


def pi64(*words: str) -> int:
    return cli.main([words[0], *(["--board", "pi"] if words[0] == "build" else []), *words[1:]])


def test_build_prints_where_the_parts_lie_and_how_they_came_about(tree: Path, capsys) -> None:
    for cached in (False, True):
        assert pi64("build", "--json") == 0
        told = json.loads(capsys.readouterr().out)
        assert told["cached"] is cached
        assert Path(told["image"]).read_bytes()
        assert (told["modules"], told["warnings"], told["source"]["path"]) == (["dummy", "loop"], 0, str(tree))
    assert pi64("build") == 0
    assert f"{told['release']}: from the cache" in capsys.readouterr().out


def test_the_command_line_stands_over_lab_yaml(tree: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "mine.config").write_text("CONFIG_DUMMY=y\n")
    assert pi64("build", "--json", "--localversion=-x", "--fragment", str(tmp_path / "mine.config")) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["modules"], told["fragments"]) == (["loop"], [str(tmp_path / "mine.config")])
    assert "-x-pi64-" in told["release"]


def test_a_tree_that_does_not_compile_is_status_1_and_a_verdict(tree: Path, capsys) -> None:
    fakelinux.break_with(tree, "error")
    assert pi64("build", "--json") == 1
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert told["verdict"] == "BUILD"
    assert "kernel/fork.c:2:5: error: 'penguin' undeclared" in told["message"]
    assert "repeat: make -C" in said.err


def test_a_bench_that_cannot_build_is_status_2(tree: Path, capsys) -> None:
    fakelinux.break_with(tree, "killed")
    assert pi64("build", "--json") == 2
    assert json.loads(capsys.readouterr().out)["verdict"] == "LAB"


def test_explain_prints_a_script_and_builds_nothing(tree: Path, tmp_path: Path, capsys) -> None:
    assert pi64("build", "--explain") == 0
    script = capsys.readouterr().out
    subprocess.run(["bash", "-n"], input=script.encode(), check=True)
    assert f"cd {tree}\n" in script
    assert not list(tmp_path.glob("cache/kernels/[0-9a-f]*"))


def test_another_target_is_a_users_mistake(tree: Path, capsys) -> None:
    assert cli.main(["build", "--board", "pie"]) == 2
    assert "no target `pie`" in capsys.readouterr().err


def test_the_cache_is_listed_and_pruned(tree: Path, capsys) -> None:
    pi64("build")
    capsys.readouterr()
    assert pi64("cache", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert {entry["kind"] for entry in told["entries"]} == {"kernel", "objects"}
    assert told["limit_bytes"] == 20 * 2**30
    assert pi64("cache") == 0
    assert "6.12.1-pi64-" in capsys.readouterr().out
    assert pi64("cache", "prune", "--size", "0", "--older", "1d") == 0  # this process uses both: they stay
    assert "0 MiB freed" in capsys.readouterr().out


def test_a_size_that_is_none_is_a_users_mistake(capsys) -> None:
    assert cli.main(["cache", "prune", "--size", "lots"]) == 2
    assert "'lots' is no size" in capsys.readouterr().err


def test_every_command_says_what_it_does() -> None:
    assert {"bootfs", "build", "cache", "classify"} <= set(cli.names())


def test_another_source_is_not_the_one_the_ref_was_meant_for() -> None:
    given = KernelOptions(source="https://example.org/linux.git", ref="rpi-6.12.y", fragments=("smoke",))
    assert choices.kernel(given, toolchain="llvm", fragments=["kasan"]).fragments == ("smoke", "kasan")
    assert choices.kernel(given, source="/src/linux").ref is None
    assert choices.kernel(given, ref="v6.12").source == given.source
