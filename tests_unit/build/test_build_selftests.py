"""The kernel's own tests: a stand-in for the tree, with Makefiles of its own, and real make."""

import shutil
from pathlib import Path

import attrs
import pytest
from stubbuild import TOOLCHAIN

from harness.build import selftests
from harness.errors import LabError, UsageError
from harness.model import KernelBuild, KernelSource

TOP = "headers:\n\tmkdir -p $(O)/usr/include\n"
SUITE = """
install:
\t@$(MAKE) -C $(TARGETS) O=$(O) all && mkdir -p $(INSTALL_PATH)/$(TARGETS) && cp $(TARGETS)/settings $(INSTALL_PATH)/$(TARGETS) \\
\t&& for p in `cat $(TARGETS)/names`; do echo $(TARGETS):$$p; cp $(TARGETS)/$$p $(INSTALL_PATH)/$(TARGETS) || true; done \\
\t>$(INSTALL_PATH)/kselftest-list.txt
"""  # noqa: E501 - make's
GOOD = "all:\n\techo '#!/bin/sh' >one; chmod +x one; cp one two; test '$(USERLDFLAGS)'\n"
SHARED = "all:\n\tprintf '\\177ELF /lib/ld-linux-aarch64.so.1' >one; cp one two\n"


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KernelBuild:
    """A kernel whose tree has two targets that build, and four that do not."""
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    suite = tmp_path / "linux" / selftests.FOLDER
    suite.mkdir(parents=True)
    (tmp_path / "linux" / "Makefile").write_text(TOP)
    (tmp_path / "linux" / "include").mkdir()
    (suite / "Makefile").write_text(SUITE)
    (suite / "lib.mk").touch()
    for target, makefile in {
        "timers": GOOD,
        "arm64/abi": GOOD,
        "shared": SHARED,
        "half": "all:\n\ttouch one\n",
        "caps": "all:\n\t@echo 'ld: cannot find -lcap: No such file or directory'; false\n",
        "bare": "all:\n\t@echo 'x.c:1:10: fatal error: stdio.h: No such file or directory'; false\n",
    }.items():
        (suite / target).mkdir(parents=True)
        (suite / target / "Makefile").write_text(makefile)
        (suite / target / "names").write_text("one\ntwo\n")
        (suite / target / "settings").write_text("timeout=0\n" if target == "timers" else "# none\n")
    nowhere = tmp_path / "nowhere"
    return KernelBuild(
        "6.12.1", "", nowhere, (), (), nowhere, (), nowhere, nowhere, "key",
        KernelSource(tmp_path / "linux", "mainline", "6.12.1", "a folder", "digest"), TOOLCHAIN, "defconfig", (),
        0.0, False,
    )  # fmt: skip


def built(kernel: KernelBuild, *targets: str) -> selftests.Selftests:
    return selftests.build(kernel, targets, log=kernel.image.parent / "kselftest.log")


def test_programs_are_those_of_the_list_with_their_targets_time(kernel: KernelBuild) -> None:
    tests = built(kernel, "timers", "arm64/abi")
    assert [(one.name, one.timeout_s) for one in tests.programs("timers")] == [("one", 600.0), ("two", 600.0)]
    assert [(one.name, one.timeout_s) for one in tests.programs("arm64/abi")] == [("one", 45.0), ("two", 45.0)]
    assert tests.programs("size") == []


def test_a_program_for_another_c_library_is_none_for_the_board(kernel: KernelBuild) -> None:
    """It would start with `No such file or directory`."""
    with pytest.raises(UsageError, match="shared of") as error:
        built(kernel, "shared")
    assert error.value.evidence[0] == "one: wants a 64-bit C library, which the board has not"


def test_a_program_that_is_listed_and_not_there_is_told(kernel: KernelBuild) -> None:
    with pytest.raises(UsageError, match="half of") as error:
        built(kernel, "half")
    assert error.value.evidence[0] == "two: not installed"


def test_the_tree_is_not_written_to(kernel: KernelBuild) -> None:
    before = sorted(kernel.source.path.rglob("*"))
    built(kernel, "timers")
    assert sorted(kernel.source.path.rglob("*")) == before


def test_the_same_tests_are_built_once(kernel: KernelBuild) -> None:
    first = built(kernel, "timers", "arm64/abi")
    (kernel.source.path / "Makefile").write_text("headers:\n\tfalse\n")
    assert built(kernel, "arm64/abi", "timers") == first


def test_what_a_killed_build_left_is_gone_after_the_next(kernel: KernelBuild) -> None:
    done = built(kernel, "timers").root
    shutil.rmtree(done)
    left = done.with_name(f".building-{done.name}-killed")
    left.mkdir()
    built(kernel, "timers")
    assert not left.exists()


def test_what_does_not_build_here_is_told_with_the_reason_and_leaves_nothing(kernel: KernelBuild) -> None:
    with pytest.raises(UsageError, match=r"caps of \S+ does not build here") as error:
        built(kernel, "timers", "caps")
    assert "cannot find -lcap" in error.value.evidence[0]
    assert [path.suffix for path in (kernel.image.parent / "cache" / "selftests").iterdir()] == [".lock"]


def test_without_a_64_bit_c_library_it_is_the_host_that_lacks_something(kernel: KernelBuild) -> None:
    with pytest.raises(LabError, match="no 64-bit C library") as error:
        built(kernel, "bare")
    assert selftests.LIBRARY in error.value.hint


def test_a_target_that_the_tree_has_not_is_a_mistake(kernel: KernelBuild) -> None:
    with pytest.raises(UsageError, match="has no target timer") as error:
        built(kernel, "timer")
    assert "timers" in error.value.hint


def test_a_kernel_without_a_tree_has_no_tests(kernel: KernelBuild) -> None:
    elsewhere = attrs.evolve(kernel, source=attrs.evolve(kernel.source, path=Path("/nonexistent")))
    with pytest.raises(UsageError, match="no tools/testing/selftests here"):
        built(elsewhere, "timers")
