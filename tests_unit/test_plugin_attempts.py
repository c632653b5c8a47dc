"""What the bench spoils is tried once more, from outside: real pytest, QEMU that is killed, kernels that fail."""

import json
import signal
from pathlib import Path

import fakekernel
import pytest
from pluginbench import BOOTS, PANIC, SHELL, Bench
from processes import boards, until

from harness.build import store

pytest_plugins = ["pytester", "pluginfixtures"]

KILLED = """
import os, pathlib, signal

def kill(dut):
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_text()
        except OSError:
            continue
        if "qemu-system" in command.split("\\0")[0] and str(dut.power._folder) in command:
            os.kill(int(path.parent.name), signal.SIGKILL)

def test_boots(boot):
    assert boot.reached

def test_is_spoilt(dut, boot):
    dut.transition("booted")
    kills = pathlib.Path("kills")
    if int(kills.read_text()):
        kills.write_text(str(int(kills.read_text()) - 1))
        kill(dut)
    dut.recorder.read(dut.recorder.position, timeout=0.5)

def test_comes_after(dut, boot):
    dut.transition("booted")
    assert dut.boot.reached
"""
KERNELS = "Booting Linux on physical CPU 0x0\nLinux version @RELEASE@ (x)\n"


def kill(bench: Bench, times: int, *args: str) -> pytest.RunResult:
    (bench.path / "kills").write_text(str(times))
    return bench.run(KILLED, *args)


def test_a_test_spoilt_by_the_bench_is_repeated_after_a_cold_start_and_the_run_is_a_flake(bench) -> None:
    result = kill(bench, 1, "-v")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        [
            "*test_is_spoilt RETRY*",
            "once more: test_it.py::test_is_spoilt: attempt 1 was LAB (the bench failed); the board is started cold",
            "*test_is_spoilt PASSED*",
            "verdict: INCONCLUSIVE: flake: test_it.py::test_is_spoilt: attempt 1 was LAB (*), attempt 2 passed",
            "  | virtual-rpi3: the serial line was hung up",
            "retried: test_it.py::test_is_spoilt: attempt 1 was LAB: the bench failed",
        ]
    )
    first, second = bench.record["attempts"]
    assert (first["number"], first["verdict"], first["set_aside"]) == (1, "LAB", True)
    assert (second["number"], second["verdict"], second["first_boot"], second["last_boot"]) == (2, "PASS", 2, 2)
    cases = [(case["outcome"], case["attempt"]) for case in bench.record["tests"] if "spoilt" in case["nodeid"]]
    assert cases == [("retried", 1), ("passed", 2)]
    xml = (bench.folder / "junit.xml").read_text()
    assert xml.count('name="test_is_spoilt"') == 1
    assert '<property name="attempt_1" value="test_it.py::test_is_spoilt: LAB: the bench failed"' in xml


def test_what_the_bench_spoils_twice_is_lab_and_nothing_is_repeated_any_more(bench) -> None:
    result = kill(bench, 2)
    result.assert_outcomes(passed=2, errors=1)
    assert bench.record["verdict"]["name"] == "LAB"
    assert bench.record["verdict"]["evidence"][-1].endswith("attempt 1 was LAB (the bench failed)")
    assert [attempt["verdict"] for attempt in bench.record["attempts"]] == ["LAB", "LAB"]


def test_without_retries_the_first_attempt_counts(bench) -> None:
    result = kill(bench, 1, "--lab-retries", "0")
    result.assert_outcomes(passed=2, errors=1)
    assert bench.record["verdict"]["name"] == "LAB"
    assert bench.record["attempts"] == []


def test_a_boot_spoilt_by_the_bench_is_made_anew(bench) -> None:
    """The fixture of the session holds the boot that failed; the second attempt must not see it."""
    missing = bench.path / "missing.cfg"
    bench.lab(driver=f"qemu_args: [-readconfig, {missing}]")
    repair = f"""
def pytest_runtest_logreport(report):
    if report.outcome == "rerun":
        open({str(missing)!r}, "w").close()
"""
    (bench.path / "conftest.py").write_text(repair)
    bench.run(BOOTS).assert_outcomes(passed=1)
    assert bench.record["verdict"]["rule"].startswith("flake: test_it.py::test_boots: attempt 1 was LAB")


@pytest.mark.parametrize("test", [BOOTS, SHELL], ids=["boot", "shell"])
def test_a_boot_that_failed_is_not_shown_to_the_second_attempt_which_boots_anew(bench, test) -> None:
    """A sagging supply explains what the kernel says; the record of that boot must not blame it alone."""
    bench.kernel(fakekernel.text("@RELEASE@", f"Under-voltage detected! (0x00050005)\n{PANIC}"))
    bench.run(test).assert_outcomes(failed=1)
    assert (bench.record["verdict"]["name"], len(bench.record["boots"])) == ("INCONCLUSIVE", 2)
    assert [attempt["first_boot"] for attempt in bench.record["attempts"]] == [1, 2]


BLAMELESS = """
from harness.build import store
from harness.errors import UsageError, demand_healthy

def test_asserts(boot):
    assert boot.reached

def test_boots(boot):
    demand_healthy(boot)

def test_asks_for_what_is_not_there(boot):
    raise UsageError("no such thing")
"""


def test_the_kernels_failures_and_the_users_are_not_repeated(bench) -> None:
    bench.kernel(fakekernel.text("@RELEASE@", PANIC))
    bench.run(BLAMELESS, "-v").assert_outcomes(failed=2, errors=1)
    assert bench.record["attempts"] == []
    assert len(bench.record["boots"]) == 1


FELL_SILENT = """
import pathlib
from harness.errors import Unresponsive

def test_asks(dut, boot):
    dut.transition("booted")
    silent = pathlib.Path("kills")
    if int(silent.read_text()):
        silent.write_text(str(int(silent.read_text()) - 1))
        raise Unresponsive("virtual-rpi3: the board fell silent during `dd`")
"""


@pytest.mark.parametrize(
    ("times", "verdict", "rule"),
    [
        (1, "INCONCLUSIVE", "flake: *"),
        (2, "KERNEL", "the board fell silent twice at the same test, and the console spoke in between"),
    ],
)
def test_a_board_that_falls_silent_gets_a_cold_start_and_that_decides(bench, times, verdict, rule) -> None:
    (bench.path / "kills").write_text(str(times))
    bench.run(FELL_SILENT).stdout.fnmatch_lines([f"verdict: {verdict}: {rule}"])
    assert len(bench.record["boots"]) == 2


def test_a_signal_during_the_second_attempt_leaves_the_board_off_and_no_pass(bench) -> None:
    (bench.path / "kills").write_text("1")
    process = bench.start(KILLED.replace("timeout=0.5", "timeout=30"))
    until(lambda: _text(bench.folder / "console.log").count("login:") == 2)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=20)
    until(lambda: not boards(str(bench.path)))
    assert bench.record["verdict"]["name"] == "INCONCLUSIVE", output
    assert bench.record["verdict"]["rule"].endswith("no other attempt came to its end")
    assert bench.record["still_on"] == ""


# --- control boots ---------------------------------------------------------------------------------------------------
@pytest.fixture
def proven(bench) -> Bench:
    """A bench on which one kernel has passed; the next is to be built from what ``kernel`` writes."""
    bench.run(BOOTS).assert_outcomes(passed=1)
    return bench


def test_a_kernel_that_does_not_boot_where_the_known_good_one_does_is_kernel(proven) -> None:
    good = proven.record
    proven.kernel(fakekernel.text("@RELEASE@", PANIC))
    proven.run(BOOTS, "--known-good", "last").assert_outcomes(failed=1)
    record = proven.record
    assert record["verdict"]["name"] == "KERNEL"
    assert record["verdict"]["evidence"][-1].startswith(f"control boot of {good['release']}: login after ")
    assert [(boot["control"], boot["reached"]) for boot in record["boots"]] == [(False, False), (True, True)]
    assert record["left_on_card"] == good["release"]


def test_a_kernel_that_hangs_is_kernel_when_the_known_good_one_boots(proven) -> None:
    """Named by the beginning of its key."""
    key = proven.record["build_key"]
    proven.kernel(KERNELS)
    lab = proven.path / "lab.yaml"
    lab.write_text(lab.read_text().replace("silence: 60", "silence: 1"))
    proven.run(BOOTS, "--known-good", key[:12]).assert_outcomes(failed=1)
    assert proven.record["verdict"]["name"] == "KERNEL"
    assert proven.record["boots"][-1]["control"]


def test_when_the_known_good_kernel_does_not_boot_either_it_is_the_rig(proven) -> None:
    """A kernel that used to boot and does not any more: what is stored under its key is changed in place."""
    folder = next((proven.path / "cache" / "kernels").glob("*/build.json")).parent
    image = folder / "Image"
    bad = fakekernel.image(fakekernel.text("6.12.1-worn", PANIC))
    image.chmod(0o644)
    image.write_bytes(bad)
    stored = json.loads((folder / "build.json").read_text())
    store.seal(folder, {key: value for key, value in stored.items() if key not in ("self", "files")})
    proven.kernel(fakekernel.text("@RELEASE@", PANIC))
    proven.run(BOOTS, "--known-good", str(folder)).stdout.fnmatch_lines(
        ["verdict: LAB: the known-good kernel does not boot on this rig either", "  | control boot of * stopped at *"]
    )


def test_a_healthy_kernel_needs_no_control_boot(proven) -> None:
    proven.run(BOOTS, "--known-good", "last").assert_outcomes(passed=1)
    assert len(proven.record["boots"]) == 1


@pytest.mark.parametrize(("word", "fact"), [("last", "no run on virtual-rpi3"), ("abc", "no such kernel")])
def test_a_known_good_kernel_that_is_not_there_is_told_before_anything_moves(bench, word, fact) -> None:
    result = bench.run(BOOTS, "--known-good", word)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert fact in result.stderr.str()
    assert not (bench.path / "runs").exists()


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
