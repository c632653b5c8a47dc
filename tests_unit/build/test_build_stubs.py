"""Boot stubs: a stand-in for the real tree, its own Makefile, and the real cross compiler."""

import shutil
import subprocess
from pathlib import Path

import attrs
import pytest

from harness.build import stubs, toolchain
from harness.errors import BuildError, UsageError
from harness.model import Toolchain

TREE = Path(__file__).parent.parent / "fakestubs"

pytestmark = pytest.mark.skipif(
    shutil.which("aarch64-linux-gnu-gcc") is None, reason="needs a cross compiler, which the offline tests do without"
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TREE, tmp_path / "tools"))


@pytest.fixture(scope="module")
def gcc() -> Toolchain:
    return toolchain.system()


def magic(stub: Path) -> bytes:
    return stub.read_bytes()[0xF0:0xF4]


def test_both_stubs_are_built_and_the_tree_stays_clean(tree: Path, gcc: Toolchain) -> None:
    built = stubs.build(str(tree), gcc)
    assert {magic(built.folder / name) for name in stubs.NAMES} == {bytes.fromhex("0b57fe5a")}
    assert sorted(path.name for path in (tree / "armstubs").iterdir()) == ["Makefile", "armstub8.S"]


def test_the_stub_for_the_gic_is_another_one(tree: Path, gcc: Toolchain) -> None:
    built = stubs.build(str(tree / "armstubs"), gcc)
    assert built.file("armstub8.bin").read() != built.file("armstub8-gic.bin").read()


def test_the_same_source_is_not_built_again(tree: Path, gcc: Toolchain, monkeypatch: pytest.MonkeyPatch) -> None:
    first = stubs.build(str(tree), gcc)
    monkeypatch.setattr(stubs, "_build", None)
    assert stubs.build(str(tree), gcc) == first


def test_another_source_or_compiler_gives_other_stubs(tree: Path, gcc: Toolchain) -> None:
    keys = {stubs.build(str(tree), gcc).key, stubs.build(str(tree), attrs.evolve(gcc, digest="0")).key}
    source = tree / "armstubs/armstub8.S"
    source.write_text(source.read_text().replace("x3, xzr", "x3, #0"))
    assert len(keys | {stubs.build(str(tree), gcc).key}) == 3


def test_a_make_around_this_one_does_not_reach_the_makefile(
    tree: Path, gcc: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAKEFLAGS", "n -- CC8=false")
    assert magic(stubs.build(str(tree), gcc).folder / "armstub8.bin")


def test_a_git_ref_is_built(tree: Path, gcc: Toolchain) -> None:
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=x", "-c", "user.email=x", "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=tree, check=True)
    assert magic(stubs.build(f"git+{tree}", gcc, ref="HEAD").folder / "armstub8-gic.bin")


def test_a_compiler_error_is_told(tree: Path, gcc: Toolchain) -> None:
    (tree / "armstubs/armstub8.S").write_text("nonsense x0, x1\n")
    with pytest.raises(BuildError, match="stubs from") as caught:
        stubs.build(str(tree), gcc)
    assert "unknown mnemonic" in str(caught.value)


def test_a_tree_from_before_the_pi_4_is_told(tree: Path, gcc: Toolchain) -> None:
    makefile = tree / "armstubs/Makefile"
    makefile.write_text(makefile.read_text().split("armstub8-gic.o:", maxsplit=1)[0].replace(" armstub8-gic.bin", ""))
    with pytest.raises(BuildError) as caught:
        stubs.build(str(tree), gcc)
    assert "newer ref" in caught.value.hint


@pytest.mark.parametrize("spec", ["/nosuch", "/"])
def test_a_folder_without_stubs_is_the_users_mistake(spec: str, gcc: Toolchain) -> None:
    with pytest.raises(UsageError, match="stubs /"):
        stubs.build(spec, gcc)
