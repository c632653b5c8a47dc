import json
from pathlib import Path

import attrs
import pytest

from harness import host
from harness.build import toolchain
from harness.errors import LabError, UsageError
from harness.model import Toolchain


def program(path: Path, *answers: str) -> Path:
    """Write a program that answers --version and -dumpmachine as a compiler does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    version, machine = (*answers, "aarch64-none-elf")[:2]
    path.write_text(f'#!/bin/sh\ncase "$1" in -dumpmachine) echo {machine};; *) echo "{version}";; esac\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    program(tmp_path / "bin/aarch64-none-elf-gcc", "gcc 9.1.0")
    program(tmp_path / "bin/aarch64-none-elf-ld", "GNU ld 2.32")
    return tmp_path


def test_a_folder_is_searched_for_its_compiler(folder: Path) -> None:
    found = toolchain.choose(str(folder))
    assert (found.cross_prefix, found.version) == (f"{folder}/bin/aarch64-none-elf-", "gcc 9.1.0")


def test_a_prefix_with_a_folder_names_the_same_compiler(folder: Path) -> None:
    by_prefix = toolchain.choose(f"{folder}/bin/aarch64-none-elf-")
    assert by_prefix.digest == toolchain.choose(str(folder)).digest


@pytest.mark.parametrize("tool", ["gcc", "ld"])
def test_another_compiler_or_linker_has_another_digest(folder: Path, tool: str) -> None:
    before = toolchain.choose(str(folder)).digest
    program(folder / f"bin/aarch64-none-elf-{tool}", "another version")
    assert toolchain.choose(str(folder)).digest != before


def test_a_missing_system_compiler_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(LabError) as caught:
        toolchain.system()
    assert "gcc-aarch64-linux-gnu" in caught.value.hint


def test_a_prefix_without_a_compiler_is_the_users_mistake() -> None:
    with pytest.raises(UsageError, match="there is no `nosuch-gcc`"):
        toolchain.choose("nosuch-")


def test_a_folder_without_a_compiler_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no aarch64"):
        toolchain.choose(str(tmp_path))


def test_a_compiler_for_another_machine_is_refused(folder: Path) -> None:
    program(folder / "bin/aarch64-none-elf-gcc", "gcc 9.1.0", "x86_64-linux-gnu")
    with pytest.raises(UsageError, match="compiles for x86_64-linux-gnu"):
        toolchain.choose(str(folder))


def test_a_relative_prefix_is_made_absolute_because_make_works_elsewhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert toolchain.choose("bin/aarch64-none-elf-").cross_prefix == f"{folder}/bin/aarch64-none-elf-"


@pytest.mark.parametrize("name", ["with space", "with$dollar", "with:colon"])
def test_a_folder_that_make_would_take_apart_is_refused(folder: Path, name: str) -> None:
    (folder / "bin").rename(folder / name)
    with pytest.raises(UsageError, match="make cannot take"):
        toolchain.choose(str(folder / name))


def test_target_and_checksum_of_the_driver_are_told(folder: Path) -> None:
    found = toolchain.choose(str(folder))
    driver = folder / "bin/aarch64-none-elf-gcc"
    assert (found.target, found.driver_sha256) == ("aarch64-none-elf", host.sha256(driver))


# --- LLVM ------------------------------------------------------------------------------------------------------------
@pytest.fixture
def clang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with clang 15 in PATH, as Debian names it, and nothing else."""
    for tool in toolchain.LLVM_TOOLS:
        path = program(tmp_path / f"llvm/{tool}-15", f"{tool} version 15")
        path.write_text(path.read_text().replace('"$1"', '"$*"').replace("-dumpmachine)", "*-dumpmachine)"))
    monkeypatch.setenv("PATH", f"{tmp_path}/llvm:/usr/bin:/bin")
    return tmp_path / "llvm"


def test_llvm_is_clang_for_kernel_and_tools_alike(clang: Path) -> None:
    for tool in clang.iterdir():
        tool.rename(clang / tool.name.removesuffix("-15"))
    found = toolchain.choose("llvm")
    assert (found.make, found.compiler, found.host_compiler) == (("LLVM=1",), "clang", "clang")
    assert found.version == "clang version 15"


def test_a_version_of_llvm_is_named_as_make_names_it(clang: Path) -> None:
    found = toolchain.choose("llvm-15")
    assert (found.make, found.compiler) == (("LLVM=-15",), "clang-15")
    assert found.driver_sha256 == host.sha256(clang / "clang-15")


def test_a_folder_of_llvm_ends_in_a_slash_for_make(clang: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for tool in clang.iterdir():
        tool.rename(clang / tool.name.removesuffix("-15"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    found = toolchain.choose(f"llvm:{clang}")
    assert (found.make, found.compiler) == ((f"LLVM={clang}/",), f"{clang}/clang")


def test_a_missing_tool_of_llvm_names_its_package(clang: Path) -> None:
    (clang / "ld.lld-15").unlink()
    with pytest.raises(LabError, match=r"ld\.lld-15") as caught:
        toolchain.choose("llvm-15")
    assert caught.value.hint.startswith("apt-get install lld-15")


@pytest.mark.usefixtures("clang")
def test_a_toolchain_comes_back_from_a_record_as_it_was() -> None:
    found = toolchain.choose("llvm-15")
    assert Toolchain(**json.loads(json.dumps(attrs.asdict(found)))) == found
