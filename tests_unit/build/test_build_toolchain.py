from pathlib import Path

import pytest

from harness.build import toolchain
from harness.errors import LabError, UsageError


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
