"""The build over a stub kernel tree: real make, real files, a compiler that copies."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import pytest

from harness.build import ccache, kernel, make, objects, source
from harness.build.process import environment
from harness.errors import BuildError, LabError, UsageError
from harness.model import BoardProfile, KernelBuild, Toolchain
from tests_unit import fakelinux

SMALL = (10_000, 2**20)  # the stub needs no gigabytes
TOOLCHAIN = Toolchain(name="system", cross_prefix="aarch64-linux-gnu-", version="gcc 12", digest="1234")
BOARD = BoardProfile(
    name="rpi-3-b",
    title="Raspberry Pi 3 Model B",
    soc="bcm2837",
    revision=0xA02082,
    config_filters=frozenset({"pi3"}),
    start_elf=("start.elf",),
    arm_64bit=False,
    kernel_64=("kernel8.img",),
    kernel_32=("kernel7.img",),
    dtbs=("bcm2710-rpi-3-b.dtb", "bcm2837-rpi-3-b.dtb"),
    defconfig="bcmrpi3_defconfig",
    mini_uart_primary=True,
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(objects, "TYPICAL_FULL", SMALL)
    return tmp_path / "cache"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return fakelinux.write(tmp_path / "linux")


@pytest.fixture
def rpi(tmp_path: Path) -> Path:
    return fakelinux.write(tmp_path / "rpi", "raspberrypi")


Build = Callable[..., KernelBuild]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return builder(tmp_path / "runs/build.log")


def builder(log: Path) -> Build:
    def run(tree: Path, *, toolchain: Toolchain = TOOLCHAIN, board: BoardProfile = BOARD, **wishes: Any) -> KernelBuild:
        return kernel.build(source.open_tree(str(tree)), toolchain, board, jobs=2, log=log, **wishes)

    return run


@pytest.fixture(scope="module", params=["mainline", "raspberrypi"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> KernelBuild:
    """One build of each flavour for all tests that only look at what it left."""
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PI64_CACHE", str(folder / "cache"))
        patch.setattr(objects, "TYPICAL_FULL", SMALL)
        return builder(folder / "build.log")(fakelinux.write(folder / "linux", request.param))


def fragment(folder: Path, text: str) -> Path:
    (folder / "mine.config").write_text(text)
    return folder / "mine.config"


# --- what a build leaves ---------------------------------------------------------------------------------------------
def only(flavour: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("built", [flavour], indirect=True)


def test_a_build_leaves_image_config_and_modules(built: KernelBuild) -> None:
    assert built.image.stat().st_size > 0
    assert built.modules == ("dummy", "loop")
    assert "CONFIG_COMPAT=y" in built.config.read_text()
    assert not built.cached


@only("mainline")
def test_a_mainline_tree_uses_defconfig_and_gives_the_dtbs_of_every_pi(built: KernelBuild) -> None:
    assert built.base_config == "defconfig"
    assert [path.name for path in built.dtbs] == ["bcm2711-rpi-4-b.dtb", "bcm2837-rpi-3-b.dtb"]
    assert built.overlays == ()


@only("raspberrypi")
def test_a_raspberry_pi_tree_uses_the_boards_defconfig_and_brings_overlays(built: KernelBuild) -> None:
    assert built.base_config == "bcmrpi3_defconfig"
    assert {path.name for path in built.overlays} == {
        "README",
        "overlay_map.dtb",
        "disable-bt.dtbo",
        "miniuart-bt.dtbo",
    }
    assert "bcm2710-rpi-3-b.dtb" in {path.name for path in built.dtbs}


@only("raspberrypi")
def test_the_release_keeps_the_defconfigs_part_and_ends_in_the_key(built: KernelBuild) -> None:
    assert built.release == f"6.12.1-v8-pi64-{built.key[:8]}"
    assert built.release.encode() in built.image.read_bytes()


def test_modules_are_installed_without_depmods_files_and_without_links_to_the_build(built: KernelBuild) -> None:
    installed = built.modules_root / "lib/modules" / built.release
    files = {
        str(path.relative_to(installed)) for path in installed.rglob("*") if not path.is_dir() or path.is_symlink()
    }
    assert files == {"modules.order", "kernel/drivers/net/dummy.ko", "kernel/drivers/block/loop.ko"}


def test_the_build_id_is_that_of_vmlinux(built: KernelBuild) -> None:
    (vmlinux,) = built.image.parents[2].glob("objects/*/vmlinux")
    assert len(built.build_id) == 40
    assert bytes.fromhex(built.build_id) in vmlinux.read_bytes()


def test_the_log_holds_every_command_and_what_it_said(built: KernelBuild) -> None:
    log = built.log.read_text()
    assert "+ make -C " in log
    assert "  CC      kernel/fork.o\n" in log
    assert "  INSTALL " in log


def test_the_logged_command_can_be_pasted(built: KernelBuild) -> None:
    command = next(line for line in built.log.read_text().splitlines() if line.startswith("+ ") and " Image " in line)
    subprocess.run(shlex.split(command[2:]), check=True, capture_output=True, env=environment(os.environ))


def test_nothing_is_written_into_the_tree(built: KernelBuild) -> None:
    assert source.unchanged(built.source)


def test_the_stub_can_carry_a_kernel_that_tells_its_release(build: Build, tmp_path: Path) -> None:
    blob = b"\x7f\n\0code\xff Linux version @RELEASE@ \0"
    built = build(fakelinux.write(tmp_path / "linux", blob=blob))
    assert built.image.read_bytes() == blob.replace(b"@RELEASE@", built.release.encode())


def test_a_localversion_stands_before_the_key(build: Build, tree: Path) -> None:
    assert build(tree, localversion="-mine").release.startswith("6.12.1-mine-pi64-")


def test_an_odd_localversion_is_refused(build: Build, tree: Path) -> None:
    with pytest.raises(UsageError, match="localversion"):
        build(tree, localversion="$(reboot)")


def test_a_kernel_without_modules_has_an_empty_module_tree(build: Build, tree: Path) -> None:
    built = build(tree, config="allnoconfig")
    assert built.modules == ()
    assert not list((built.modules_root / "lib/modules" / built.release).iterdir())


# --- the same inputs -------------------------------------------------------------------------------------------------
def test_the_same_inputs_do_not_call_make(build: Build, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build(tree)
    monkeypatch.setattr(make.Make, "run", None)
    assert build(tree) == attrs.evolve(first, cached=True, seconds=0.0)


def test_a_stored_kernel_brings_the_log_that_made_it(build: Build, tree: Path) -> None:
    said = build(tree).log.read_text()
    built = build(tree)
    assert built.cached
    assert "  CC      kernel/fork.o\n" in built.log.read_text()
    assert said.startswith(built.log.read_text())


def test_a_changed_file_gives_another_kernel_and_compiles_only_that(build: Build, tree: Path) -> None:
    first = build(tree)
    (tree / "kernel/fork.c").write_text("int vfork;\n")
    second = build(tree)
    assert (second.release, second.build_id) != (first.release, first.build_id)
    compiled = [line.split()[-1] for line in second.log.read_text().splitlines() if line.startswith("  CC ")]
    assert compiled.count("kernel/fork.o") == 1
    assert "init/main.o" not in compiled


def test_edits_on_top_of_one_commit_share_a_release_and_nothing_else(build: Build, tree: Path) -> None:
    """A new release would compile and link again whatever tells it, at every edit."""
    committed(tree)
    clean = build(tree)
    (tree / "kernel/fork.c").write_text("int vfork;\n")
    first = build(tree)
    (tree / "kernel/fork.c").write_text("int spoon;\n")
    second = build(tree)
    assert re.fullmatch(r"6\.12\.1-pi64-[0-9a-f]{8}-dirty", first.release)
    assert clean.release != first.release == second.release
    assert len({built.key for built in (clean, first, second)}) == 3
    assert len({built.build_id for built in (clean, first, second)}) == 3
    assert "CC      init/version.o" not in second.log.read_text()


def test_the_localversion_counts(build: Build, tree: Path) -> None:
    assert build(tree, localversion="-x").key != build(tree).key


def test_the_toolchain_counts(build: Build, tree: Path) -> None:
    assert build(tree, toolchain=attrs.evolve(TOOLCHAIN, digest="5678")).key != build(tree).key


def test_a_stored_kernel_that_lost_a_byte_is_built_again(build: Build, tree: Path) -> None:
    first = build(tree)
    first.image.write_bytes(first.image.read_bytes()[:-1])
    second = build(tree)
    assert not second.cached
    assert second.image.read_bytes().endswith(b"\n")


def test_a_stored_kernel_without_a_record_is_built_again(build: Build, tree: Path) -> None:
    first = build(tree)
    (first.image.parent / "build.json").write_text("{")
    assert not build(tree).cached


def test_a_tree_edited_while_it_is_built_leaves_nothing_in_the_cache(build: Build, tree: Path, cache: Path) -> None:
    def edit(_: str) -> None:
        (tree / "kernel/fork.c").write_text("int edited;\n")

    with pytest.raises(UsageError, match="was changed while it was built"):
        build(tree, progress=edit)
    assert not [path for path in (cache / "kernels").iterdir() if path.is_dir()]


def test_the_kernel_is_dated_by_its_source(build: Build, tree: Path) -> None:
    os.utime(tree / "Makefile", (1_700_000_000, 1_700_000_000))
    assert "KBUILD_BUILD_TIMESTAMP=Tue Nov 14 22:13:20 UTC 2023" in build(tree).log.read_text()


def test_two_builds_of_the_same_at_once_compile_once(tree: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        built = list(pool.map(lambda name: builder(tmp_path / name)(tree), ["first.log", "second.log"]))
    assert sorted(each.cached for each in built) == [False, True]
    assert built[0].image == built[1].image


def test_two_boards_share_one_kernel(build: Build, tree: Path) -> None:
    other = attrs.evolve(BOARD, name="rpi-4-b", dtbs=("bcm2711-rpi-4-b.dtb",))
    assert build(tree, board=other).key == build(tree).key


# --- configuration ---------------------------------------------------------------------------------------------------
def test_a_fragment_goes_on_top_of_a_defconfig(build: Build, tree: Path, tmp_path: Path) -> None:
    built = build(tree, fragments=[fragment(tmp_path, "CONFIG_DUMMY=y\n# CONFIG_COMPAT is not set\n")])
    assert built.modules == ("loop",)
    assert "# CONFIG_COMPAT is not set" in built.config.read_text()


def test_a_fragment_goes_on_top_of_allnoconfig(build: Build, tree: Path, tmp_path: Path) -> None:
    built = build(
        tree, config="allnoconfig", fragments=[fragment(tmp_path, "CONFIG_MODULES=y\nCONFIG_BLK_DEV_LOOP=m\n")]
    )
    assert built.modules == ("loop",)


def test_a_missing_defconfig_names_tree_defconfig_and_what_there_is(build: Build, rpi: Path) -> None:
    with pytest.raises(UsageError, match=rf"{rpi}.*has no bcm2712_defconfig") as caught:
        build(rpi, config="bcm2712_defconfig")
    assert "bcm2711_defconfig, bcmrpi3_defconfig" in caught.value.hint


def test_an_unknown_fragment_names_the_known_ones(build: Build, tree: Path) -> None:
    with pytest.raises(UsageError, match="config fragment nosuch") as caught:
        build(tree, fragments=["nosuch"])
    assert "smoke" in caught.value.hint


def test_a_misspelt_symbol_is_the_users_mistake(build: Build, tree: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no symbol DUMY") as caught:
        build(tree, fragments=[fragment(tmp_path, "CONFIG_DUMY=m\n")])
    assert "did you mean CONFIG_DUMMY?" in caught.value.evidence[0]


def test_an_unmet_symbol_says_wanted_and_got_before_anything_is_compiled(
    build: Build, tree: Path, tmp_path: Path
) -> None:
    with pytest.raises(BuildError) as caught:
        build(tree, config="allnoconfig", fragments=[fragment(tmp_path, "CONFIG_DUMMY=m\n")])
    assert caught.value.evidence[0].startswith("CONFIG_DUMMY: wanted m, got n")
    assert "  CC " not in (tmp_path / "runs/build.log").read_text()


def test_a_board_whose_dtb_the_tree_lacks_is_refused(build: Build, tree: Path) -> None:
    with pytest.raises(UsageError, match=r"neither bcm2712-rpi-5-b\.dts"):
        build(tree, board=attrs.evolve(BOARD, dtbs=("bcm2712-rpi-5-b.dtb",)))


def test_a_tree_that_was_built_in_is_refused(build: Build, tree: Path) -> None:
    (tree / ".config").touch()
    with pytest.raises(UsageError, match="was built in") as caught:
        build(tree)
    assert "mrproper" in caught.value.hint


# --- failures --------------------------------------------------------------------------------------------------------
def test_a_compile_error_tells_file_line_log_and_how_to_repeat(build: Build, tree: Path, tmp_path: Path) -> None:
    fakelinux.break_with(tree, "error")
    with pytest.raises(BuildError, match=r"kernel/fork\.c:2:5: error: 'penguin' undeclared") as caught:
        build(tree)
    assert str(tmp_path / "runs/build.log") in caught.value.hint
    assert "repeat: make -C" in caught.value.hint


def test_a_failure_names_the_commit_and_one_command_that_repeats_it(build: Build, tree: Path) -> None:
    fakelinux.break_with(tree, "error")
    commit = committed(tree)
    with pytest.raises(BuildError, match=f"at {commit[:12]}, defconfig") as caught:
        build(tree)
    repeat = shlex.split(caught.value.hint.partition("repeat: ")[2])
    again = subprocess.run(repeat, capture_output=True, text=True, check=False, env=environment(os.environ))
    assert "kernel/fork.c:2:5: error: 'penguin' undeclared" in again.stderr


def committed(tree: Path) -> str:
    name = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "init.defaultBranch=main"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "stub"]):
        subprocess.run(["git", "-C", tree, *name, *words], check=True)
    return subprocess.run(["git", "-C", tree, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("trouble", ["no-space", "killed", "no-bison", "no-openssl"])
def test_what_the_bench_lacks_is_a_lab_error_and_its_objects_are_not_trusted(
    build: Build, tree: Path, cache: Path, trouble: str
) -> None:
    fakelinux.break_with(tree, trouble)
    with pytest.raises(LabError):
        build(tree)
    assert list(cache.glob(f"objects/*/{make.RUNNING}"))


# --- warnings --------------------------------------------------------------------------------------------------------
PENGUIN = "kernel/fork.c: warning: unused variable 'penguin' [-Wunused-variable]"


def test_a_first_build_counts_its_warnings_and_has_nothing_to_compare_with(build: Build, tree: Path) -> None:
    fakelinux.break_with(tree, "warning")
    built = build(tree)
    assert (built.warnings, built.new_warnings) == (1, ())


def test_a_warning_that_the_last_good_build_did_not_have_is_new_once(build: Build, tree: Path) -> None:
    build(tree)
    fakelinux.break_with(tree, "warning")
    second = build(tree)
    assert (second.warnings, second.new_warnings) == (1, (PENGUIN,))
    assert build(tree).new_warnings == (PENGUIN,)  # from the cache: as it was told then
    (tree / "init/main.c").write_text("int other;\n")
    third = build(tree)
    assert (third.warnings, third.new_warnings) == (1, ())


def test_another_checkout_is_compared_with_the_last_good_build_as_well(
    build: Build, tree: Path, tmp_path: Path
) -> None:
    build(tree)
    other = fakelinux.write(tmp_path / "other")
    fakelinux.break_with(other, "warning")
    assert build(other).new_warnings == (PENGUIN,)


def test_another_configuration_is_not(build: Build, tree: Path, tmp_path: Path) -> None:
    build(tree)
    fakelinux.break_with(tree, "warning")
    built = build(tree, fragments=[fragment(tmp_path, "CONFIG_DUMMY=y\n")])
    assert (built.warnings, built.new_warnings) == (1, ())


# --- the configuration is made once ----------------------------------------------------------------------------------
def configured(built: KernelBuild) -> bool:
    commands = [line for line in built.log.read_text().splitlines() if line.startswith("+ make")]
    return any(line.endswith("defconfig") for line in commands)


def test_a_changed_driver_does_not_configure_again(build: Build, tree: Path) -> None:
    build(tree)
    (tree / "kernel/fork.c").write_text("int vfork;\n")
    assert not configured(build(tree))


@pytest.mark.parametrize("file", ["Kconfig", "Makefile", "arch/arm64/configs/defconfig"])
def test_what_the_configuration_is_made_from_does(build: Build, tree: Path, file: str) -> None:
    build(tree)
    with (tree / file).open("a") as text:
        text.write("# changed\n")
    assert configured(build(tree))


def test_another_request_does_and_so_does_the_first_one_after_it(build: Build, tree: Path, tmp_path: Path) -> None:
    build(tree)
    assert configured(build(tree, fragments=[fragment(tmp_path, "CONFIG_DUMMY=y\n")]))
    (tree / "kernel/fork.c").write_text("int vfork;\n")
    assert configured(build(tree))


def test_after_a_failure_the_corrected_tree_builds(build: Build, tree: Path) -> None:
    good = (tree / "kernel/fork.c").read_bytes()
    fakelinux.break_with(tree, "error")
    with pytest.raises(BuildError):
        build(tree)
    (tree / "kernel/fork.c").write_bytes(good)
    assert build(tree).modules == ("dummy", "loop")


def test_a_syntax_error_in_a_device_tree_names_file_and_line(build: Build, tree: Path) -> None:
    with (tree / "arch/arm64/boot/dts/broadcom/bcm2711-rpi-4-b.dts").open("a") as file:
        file.write("penguin\n")
    with pytest.raises(BuildError, match=r"bcm2711-rpi-4-b\.dts:8\.1-7 syntax error"):
        build(tree)


def test_a_full_disk_is_told_before_the_build(build: Build, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(objects.TYPICAL, "defconfig", (1, 2**60))
    with pytest.raises(LabError, match="building defconfig needs"):
        build(tree)


def test_an_interrupt_leaves_no_make_and_no_kernel(build: Build, tree: Path, cache: Path) -> None:
    """Ctrl-C while the compiler hangs; what lies half-written is gone, and the next build is whole."""

    (tree / "kernel/fork.c").rename(tree / "kernel/fork.keep")
    (tree / "kernel/fork.c").write_text("#pragma fake hang\n")
    with pytest.raises(KeyboardInterrupt):
        build(tree, progress=lambda _: interrupt_when_hanging(cache))
    assert not alive(cache)
    assert not list((cache / "kernels").glob("[0-9a-f]*"))
    (tree / "kernel/fork.keep").replace(tree / "kernel/fork.c")
    assert not build(tree).cached


def interrupt_when_hanging(cache: Path) -> None:
    """Stand in for a progress display: Ctrl-C comes as soon as the compiler hangs, if it is going to."""
    if list((cache / "objects").glob("*/.config")):
        until(lambda: alive(cache))
        raise KeyboardInterrupt


def alive(cache: Path) -> list[str]:
    """Return the state of every hanging compiler that still runs; one that nobody reaped yet does not."""
    states = [Path("/proc", file.read_text().strip(), "stat") for file in cache.rglob("*.pid")]
    return [stat.read_text() for stat in states if stat.exists() and ") Z " not in stat.read_text()]


def test_an_object_tree_whose_make_was_killed_is_not_trusted(build: Build, tree: Path, cache: Path) -> None:
    build(tree)
    (objects,) = (path for path in (cache / "objects").iterdir() if path.is_dir())
    (objects / make.RUNNING).touch()
    (objects / "kernel/fork.o").write_bytes(b"half")
    (tree / "init/main.c").write_text("int other;\n")
    assert b"int fork" in build(tree).image.read_bytes()


def test_make_does_not_outlive_a_harness_that_is_killed(tree: Path, cache: Path, tmp_path: Path) -> None:
    fakelinux.break_with(tree, "hang")
    child = os.fork()
    if child == 0:
        try:
            builder(tmp_path / "killed.log")(tree)
        finally:
            os._exit(0)  # never back into pytest
    until(lambda: alive(cache))
    assert makes(cache)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    until(lambda: not makes(cache))
    for orphan in cache.rglob("*.pid"):  # make does not hand SIGTERM on to what its shells have called
        os.kill(int(orphan.read_text()), signal.SIGKILL)


def makes(cache: Path) -> list[bytes]:
    """Return the command lines of every make that works below *cache*."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = process.read_bytes().split(b"\0")
            found += (
                [b" ".join(words)] if words[0].endswith(b"make") and f"O={cache}".encode() in b" ".join(words) else []
            )
    return found


def until(true: Callable[[], object]) -> None:
    """Wait for a state of other processes; five seconds are plenty."""
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- progress and environment ----------------------------------------------------------------------------------------
def test_progress_counts_objects(build: Build, tree: Path) -> None:
    said: list[str] = []
    build(tree, progress=said.append)
    assert any(line.startswith("build: 1 of ~10000 objects") for line in said)


def test_progress_tells_what_is_left() -> None:
    meter = make.Meter(expected=1000, progress=lambda _: None)
    meter.steps = 250
    told = meter.state(elapsed_s=70.0, compiling_s=60.0)
    assert told == "build: 250 of ~1000 objects, 1:10 elapsed, ~3:00 left"


def test_progress_makes_no_promise_for_a_rebuild() -> None:
    meter = make.Meter(expected=None, progress=lambda _: None)
    meter.steps = 12
    assert meter.state(elapsed_s=9.0, compiling_s=9.0) == "build: 12 objects, 0:09 elapsed"


def test_variables_of_a_surrounding_make_do_not_reach_the_kernel() -> None:
    """`make hw BOARD=x` exports MAKEFLAGS; KCFLAGS and its like would change the kernel, and not its key."""
    outside = {
        "MAKEFLAGS": "-k",
        "MAKELEVEL": "1",
        "KCFLAGS": "-O3",
        "ARCH": "x86",
        "LD_LIBRARY_PATH": "/x",
        "HOME": "/h",
    }
    kept = environment(outside)
    assert outside.keys() & kept.keys() == {"LD_LIBRARY_PATH", "HOME"}


@pytest.mark.parametrize("installed", [True, False])
def test_ccache_is_used_where_it_is_installed(
    build: Build, tree: Path, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    which = shutil.which
    fake = {"ccache": "/usr/bin/ccache" if installed else None}
    monkeypatch.setattr(shutil, "which", lambda name, **rest: fake[name] if name in fake else which(name, **rest))
    assert (f"'CC=sh {ccache.WRAPPER} aarch64-linux-gnu-gcc'" in build(tree).log.read_text()) == installed
