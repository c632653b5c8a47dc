"""The plugin from outside: real pytest, a stub kernel tree, a tiny kernel in real QEMU."""

import json
import signal
import subprocess
from pathlib import Path

import fakekernel
import pytest
from fakelinux import break_with
from pluginbench import BOOTS, PANIC, SHELL, Bench
from processes import boards, until

pytest_plugins = ["pytester", "pluginfixtures"]


@pytest.fixture(scope="session")
def green(tmp_path_factory, image):
    """A bench after one green run; ``result`` is what pytest said."""
    bench = Bench(tmp_path_factory.mktemp("green"), image)
    bench.result = bench.run(BOOTS, "--lg-log=lglog")
    return bench


def test_a_green_run_leaves_a_whole_record(green) -> None:
    green.result.assert_outcomes(passed=1)
    green.result.stdout.fnmatch_lines(["verdict: PASS*", "boot 1: firmware *, kernel *, login *", "report: *.html"])
    left = {path.name for path in green.folder.iterdir()}
    wanted = "run.json build.log config deploy.json console.log console.jsonl junit.xml source.json toolchain.json"
    assert {*wanted.split(), "report.html"} <= left
    assert green.record["verdict"]["name"] == "PASS"
    assert green.record["release"] in (green.folder / "console.log").read_text()


def test_long_work_shows_progress_in_plain_lines_without_a_terminal(green) -> None:
    green.result.stdout.fnmatch_lines(["build: *", "deploy: copying the base image", "booting: *"])


def test_junit_xml_has_board_release_and_stage_seconds_as_properties(green) -> None:
    text = (green.folder / "junit.xml").read_text()
    for name in ("board", "release", "boot_seconds.login", "verdict"):
        assert f'<property name="{name}"' in text


def test_the_password_is_in_no_file_of_the_run(green) -> None:
    assert not [path for path in green.folder.iterdir() if b"hunter2" in path.read_bytes()]


def test_labgrids_own_log_option_still_works(green) -> None:
    assert "Starting ARM" in (green.path / "lglog" / "console_virtual-rpi3").read_text()


def test_a_second_run_with_the_same_inputs_builds_and_deploys_nothing(green) -> None:
    green.run(BOOTS)
    assert json.loads((green.folder / "kernel.json").read_text())["cached"] is True
    assert json.loads((green.folder / "deploy.json").read_text())["written"] == []


def test_a_run_cut_short_is_no_pass(green) -> None:
    green.run(BOOTS + "def test_ends(boot):\n    raise KeyboardInterrupt\n")
    assert green.record["verdict"]["name"] == "INCONCLUSIVE"


def test_what_the_kernel_complains_about_while_booting_fails_the_boot_test(bench) -> None:
    warning = "WARNING: CPU: 0 PID: 1 at kernel/fork.c:42 copy_process+0x10/0x20\n"
    bench.kernel(fakekernel.text("@RELEASE@", warning + fakekernel.LOGIN), then="keys")
    test = "from harness.errors import demand_healthy\ndef test_boots(boot):\n    demand_healthy(boot)\n"
    result = bench.run(test)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["virtual-rpi3: the boot: WARNING at kernel/fork.c:42*"])
    assert bench.record["verdict"]["name"] == "KERNEL"


def test_a_verdict_that_is_no_pass_is_no_exit_0_either(bench) -> None:
    """A test that only looks whether the login came does not see the complaint; the exit status does."""
    bench.kernel(fakekernel.text("@RELEASE@", "BUG: scheduling while atomic\n" + fakekernel.LOGIN), then="keys")
    result = bench.run(BOOTS)
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_panic_is_failed_with_stage_evidence_and_log(bench) -> None:
    bench.kernel(fakekernel.text("@RELEASE@", PANIC))
    result = bench.run(SHELL)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "virtual-rpi3: no login prompt: VFS: Cannot open root device; last stage: kernel, at * s",
            "  | *Kernel panic*",
            "  hint: full console log: *console.log*",
        ]
    )
    assert bench.record["verdict"]["name"] in {"KERNEL", "DEPLOY"}


def test_a_tree_that_does_not_compile_is_failed_and_the_verdict_is_build(bench) -> None:
    break_with(bench.path / "linux", "error")
    result = bench.run(BOOTS)
    result.assert_outcomes(failed=1)
    assert bench.record["verdict"]["name"] == "BUILD"
    assert "kernel/fork.c" in result.stdout.str()


def test_qemu_that_does_not_start_is_an_error_and_the_verdict_is_lab(bench) -> None:
    bench.lab(driver="qemu_args: [-nonsense]")
    result = bench.run(BOOTS)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*QEMU did not start*", "*-nonsense*"])
    assert bench.record["verdict"]["name"] == "LAB"


def test_an_unknown_board_lists_the_known_ones_with_their_models(bench) -> None:
    result = bench.run(BOOTS, "--board", "virtual-rpi5")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*no target `virtual-rpi5`*", "*virtual-rpi3 *rpi-3-b*"])


def test_a_misspelt_key_in_lab_yaml_names_file_line_and_the_nearest_key(bench) -> None:
    path = bench.path / "lab.yaml"
    path.write_text(path.read_text().replace("deadlines:", "deadlins:"))
    result = bench.run(BOOTS)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*lab.yaml:13: unknown key `deadlins`*", "*`deadlines`*"])


def test_a_source_that_does_not_exist_is_told_without_a_traceback(bench) -> None:
    result = bench.run(BOOTS, "--source", "/nowhere/linux")
    result.assert_outcomes(errors=1)
    assert "/nowhere/linux" in result.stdout.str()
    assert "Traceback" not in result.stdout.str()


def test_collecting_help_and_fixtures_need_no_bench(bench) -> None:
    for option in ("--collect-only", "--help", "--fixtures"):
        assert bench.run(BOOTS, option).ret == 0
    assert not (bench.path / "runs").exists()
    assert not (bench.path / "cache" / "kernels").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_qemu_no_card_and_a_readable_record(bench, number) -> None:
    bench.kernel("Booting Linux on physical CPU 0x0\nLinux version @RELEASE@ (x)\n")
    process = bench.start(BOOTS)
    until(lambda: "Linux version" in _text(bench.folder / "console.log"))
    process.send_signal(number)
    try:
        output, _ = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # pytest then says where each of its threads is
        pytest.fail("\n".join(process.communicate()))
    until(lambda: not boards(str(bench.path)))  # and with each goes its QEMU
    assert bench.record["finished"], output
    assert not list(bench.path.glob(".card*"))


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
