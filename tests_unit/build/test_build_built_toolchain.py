"""Toolchains from source, over stand-ins for binutils and GCC: real tarballs, a real shell, a real make."""

import json
import os
import tarfile
from pathlib import Path

import pytest

from harness import host
from harness.build import built_toolchain, toolchain
from harness.errors import LabError

CONFIGURE = """\
#!/bin/sh
# A configure that believes what it is told, and notes it.
echo "PART configure $0 $*" >> "$NOTES"
PROBE
sed "s|@prefix@|/pi64-toolchain|" "$(dirname "$0")/Makefile.in" > Makefile
"""
MAKEFILE = """\
.PHONY: all all-gcc install install-gcc configure-gcc
all all-gcc: one.o two.o
%.o:
	@echo "  CC       $@"
	@echo "PART compile $@ $(MAKEINFO)" >> "$(NOTES)"
	@touch $@
configure-gcc:
	@mkdir -p gcc
install install-gcc:
	@echo "PART install" >> "$(NOTES)"
	@mkdir -p $(DESTDIR)@prefix@/bin
	@cp -r ../PART/bin $(DESTDIR)@prefix@/
"""
PROGRAM = '#!/bin/sh\ncase "$1" in -dumpmachine) echo aarch64-linux-gnu;; *) echo "NAME 9.9";; esac\n'
PROGRAMS = {"binutils": ("as", "ld"), "gcc": ("gcc",)}
FINDS_THE_ASSEMBLER = "case $(command -v aarch64-linux-gnu-as) in */pi64-toolchain/bin/*) ;; *) exit 1;; esac"


def sources(folder: Path, part: str, version: str = "9.9") -> Path:
    """Write a tarball of a stand-in for *part*."""
    top = folder / f"{part}-{version}"
    (top / "bin").mkdir(parents=True)
    probe = FINDS_THE_ASSEMBLER if part == "gcc" else ""
    (top / "configure").write_text(CONFIGURE.replace("PART", part).replace("PROBE", probe))
    (top / "Makefile.in").write_text(MAKEFILE.replace("PART", part))
    for name in PROGRAMS[part]:
        program = top / f"bin/aarch64-linux-gnu-{name}"
        program.write_text(PROGRAM.replace("NAME", name))
        program.chmod(0o755)
    tarball = folder / f"{part}-{version}.tar.gz"
    with tarfile.open(tarball, "w:gz") as tar:
        tar.add(top, top.name)
    return tarball


@pytest.fixture(autouse=True)
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, a host with all prerequisites, and where the stand-ins note what was done with them."""
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    monkeypatch.setattr(built_toolchain, "_demand_prerequisites", lambda: None)
    monkeypatch.setattr(built_toolchain, "SPACE", 0)
    return tmp_path / "notes"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table of the user's own with one more toolchain, `mine`."""
    parts = "".join(f'[{part}.mine]\nfile = "{sources(tmp_path / "src", part)}"\n' for part in PROGRAMS)
    path = tmp_path / "toolchains.toml"
    path.write_text(f'[toolchain.mine]\nbinutils = "mine"\ngcc = "mine"\n{parts}')
    return path


def done(notes: Path) -> list[str]:
    """Return what was done, in short: part and step."""
    return [" ".join(line.split()[:2]) for line in notes.read_text().splitlines()]


WHOLE = [f"{part} {step}" for part in PROGRAMS for step in ("configure", "compile", "compile", "install")]


def test_binutils_come_first_and_gcc_finds_their_assembler(table: Path, notes: Path) -> None:
    folder = built_toolchain.build("mine", table=table)
    assert done(notes) == WHOLE
    assert sorted(path.name for path in (folder / "bin").iterdir()) == [
        f"aarch64-linux-gnu-{x}" for x in ("as", "gcc", "ld")
    ]


def test_it_is_a_toolchain_like_any_other(table: Path, tmp_path: Path) -> None:
    chosen = toolchain.choose("built:mine", table=table)
    assert chosen.cross_prefix.startswith(f"{tmp_path}/cache/toolchains/gcc-9.9-binutils-9.9-")
    assert (chosen.version, chosen.target) == ("gcc 9.9", "aarch64-linux-gnu")


def test_a_built_toolchain_is_taken_from_the_cache(table: Path, notes: Path) -> None:
    assert built_toolchain.build("mine", table=table) == built_toolchain.build("mine", table=table)
    assert done(notes) == WHOLE


def test_the_guides_options_reach_configure_and_no_path_of_this_host_does(table: Path, notes: Path) -> None:
    built_toolchain.build("mine", table=table)
    told = [line for line in notes.read_text().splitlines() if " configure " in line]
    assert told[0].startswith(
        "binutils configure ../binutils/configure --prefix=/pi64-toolchain --target=aarch64-linux-gnu"
    )
    assert {"--with-newlib", "--without-headers", "--enable-languages=c", "--disable-nls"} < set(told[1].split())


def test_what_was_built_is_told_with_it(table: Path) -> None:
    folder = built_toolchain.build("mine", table=table)
    told = json.loads((folder / "pi64.json").read_text())
    assert told["gcc"]["version"] == "9.9"
    assert set(told["binutils"]["steps"]) == {"unpack", "configure", "build", "install"}
    assert "+ cd " in (folder / "build.log").read_text()


def test_other_sources_or_options_make_another_toolchain(table: Path, tmp_path: Path) -> None:
    first = built_toolchain.build("mine", table=table)
    table.write_text(table.read_text() + 'configure = ["--disable-multilib"]\n')
    second = built_toolchain.build("mine", table=table)
    sources(tmp_path / "src", "gcc", "9.10")
    table.write_text(table.read_text().replace("gcc-9.9", "gcc-9.*"))
    third = built_toolchain.build("mine", table=table)
    assert len({first, second, third}) == 3
    assert third.name.startswith("gcc-9.10-")


def test_a_build_that_was_stopped_goes_on_where_it_was(table: Path, notes: Path) -> None:
    def stop(state: str) -> None:
        if "gcc" in state and "1 of" in state:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        built_toolchain.build("mine", table=table, jobs=1, progress=stop)
    before = done(notes)
    built_toolchain.build("mine", table=table, jobs=1)
    assert before.count("gcc configure") == 1
    assert set(done(notes)[len(before) :]) <= {"gcc compile", "gcc install"}


def test_what_a_killed_make_left_is_not_trusted(table: Path, notes: Path, tmp_path: Path) -> None:
    def stop(state: str) -> None:
        if "gcc" in state and "install" in state:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        built_toolchain.build("mine", table=table, progress=stop)
    (work,) = (tmp_path / "cache/toolchains").glob(".gcc*")
    (work / "gcc-build/.running").touch()
    (work / "gcc.build.done").unlink()
    built_toolchain.build("mine", table=table)
    assert done(notes)[len(WHOLE) - 1 :] == WHOLE[4:]


def test_a_failure_names_the_log_and_leaves_nothing_that_looks_whole(table: Path, notes: Path, tmp_path: Path) -> None:
    sources(tmp_path / "broken", "gcc", "9.11")
    broken = tmp_path / "broken/gcc-9.11"
    (broken / "Makefile.in").write_text("all-gcc:\n\t@echo 'x.c:1:2: error: no such thing'; exit 1\n")
    with tarfile.open(tmp_path / "src/gcc-9.11.tar.gz", "w:gz") as tar:
        tar.add(broken, broken.name)
    table.write_text(table.read_text().replace("gcc-9.9", "gcc-9.11"))
    with pytest.raises(LabError, match=r"gcc 9\.11 from .*no such thing") as caught:
        built_toolchain.build("mine", table=table)
    assert "full log: " in caught.value.hint
    assert not list((tmp_path / "cache/toolchains").glob("gcc*[0-9a-f]/"))
    assert done(notes)[:4] == WHOLE[:4]


def test_a_target_of_the_manual_can_be_passed_over(table: Path, tmp_path: Path) -> None:
    def look(state: str) -> None:
        if "gcc" in state and "install" in state:
            (stamp,) = (tmp_path / "cache/toolchains").glob(".gcc*/gcc-build/gcc/s-tm-texi")
            seen.append(stamp.stat().st_mtime)

    seen: list[float] = []
    table.write_text(table.read_text() + 'spare = ["gcc/s-tm-texi"]\n')
    built_toolchain.build("mine", table=table, progress=look)
    assert seen[0] > table.stat().st_mtime + 365 * 86400


def test_progress_tells_part_step_and_count(table: Path) -> None:
    told: list[str] = []
    built_toolchain.build("mine", table=table, progress=told.append)
    assert "toolchain: gcc 9.9: unpack" in told
    assert any(line.startswith("toolchain: gcc 9.9: build: 2 of ~") for line in told)


# --- what the host must have -----------------------------------------------------------------------------------------
@pytest.fixture
def demand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()


def host_with(folder: Path, **programs: str) -> str:
    """Return a PATH with nothing but *programs*: name -> what it prints."""
    folder.mkdir()
    for name, text in programs.items():
        path = folder / name.replace("gxx", "g++")
        path.write_text(f"#!{os.path.realpath('/bin/sh')}\necho '{text}'\n")
        path.chmod(0o755)
    return str(folder)


@pytest.mark.usefixtures("demand")
def test_all_missing_packages_are_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", host_with(tmp_path / "bin", gxx="gmp.h mpc.h", gcc="", make="", tar="", xz=""))
    with pytest.raises(LabError, match="needs more of this host") as caught:
        built_toolchain._demand_prerequisites()
    assert caught.value.hint.startswith("apt-get install bison flex libgmp-dev libmpc-dev,")


@pytest.mark.usefixtures("demand")
def test_headers_are_not_looked_for_without_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", host_with(tmp_path / "bin"))
    with pytest.raises(LabError) as caught:
        built_toolchain._demand_prerequisites()
    assert "g++" in caught.value.hint
    assert "libgmp-dev" not in caught.value.hint


# --- the real ones ---------------------------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.usefixtures("demand")
def test_the_distributions_sources_give_a_compiler_for_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half an hour on two cores, less with ccache; needs `bash scripts/setup.sh toolchain`."""
    ccache = host.cache_dir("ccache")
    monkeypatch.setenv("PI64_CACHE", str(tmp_path))
    (tmp_path / "ccache").symlink_to(ccache)
    made = toolchain.choose("built:distribution")
    (tmp_path / "x.c").write_text("int twice(int x) { return 2 * x; }\n")
    gcc = f"{made.cross_prefix}gcc"
    host.run([gcc, "-O2", "-c", "-o", tmp_path / "x.o", tmp_path / "x.c"])
    assert made.target == "aarch64-linux-gnu"
    said = host.run([f"{made.cross_prefix}objdump", "-d", tmp_path / "x.o"]).decode()
    assert "lsl\tw0, w0, #1" in said
