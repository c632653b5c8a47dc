"""The plugin from outside: real pytest, a stub kernel tree, a tiny kernel in real QEMU."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import fakekernel
import pytest
import tinycard
from fakelinux import break_with, write
from processes import boards, until

pytest_plugins = ["pytester"]

LAB = """
imports: [harness.lab.drivers]
targets:
  virtual-rpi3:
    features: [virtual]
    options:
      model: rpi-3-b
      kernel: {{source: {tree}}}
      image: {{file: {image}}}
      login: {{user: pi, password: hunter2}}
      depmod: target
      config_txt: [dtoverlay=disable-bt]
      deadlines: {{firmware: 10, kernel: 10, rootfs: 10, init: 10, login: 10, silence: 2}}
    resources:
      CardImage: {{file: {card}}}
    drivers:
      VirtualPiDriver: {{{driver}}}
      CardImageDriver: {{}}
      RaspberryPiStrategy: {{}}
"""
BOOTS = """
def test_boots(boot):
    assert boot.reached, boot.reason
"""
SHELL = """
def test_asks(shell):
    assert shell.check("uname -m") == "aarch64"
"""
PANIC = "VFS: Cannot open root device\nKernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n"


@pytest.fixture(scope="session")
def image(tmp_path_factory) -> Path:
    return tinycard.make(tmp_path_factory.mktemp("image") / "raspios.img", None)


class Bench:
    """A folder with a lab.yaml, a stub kernel tree and a base image."""

    def __init__(self, pytester: pytest.Pytester, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pytester, self.image = pytester, image
        monkeypatch.setenv("PI64_CACHE", str(pytester.path / "cache"))
        self.lab()
        self.tree(fakekernel.text("@RELEASE@"))

    def tree(self, message: str, then: str = "keys") -> Path:
        return write(self.pytester.path / "linux", blob=fakekernel.image(message, then=then))

    def lab(self, driver: str = "") -> None:
        names = {"tree": "linux", "image": self.image, "card": self.pytester.path / "card.img", "driver": driver}
        text = LAB.format(**names).replace("source: linux", f"source: {self.pytester.path / 'linux'}")
        (self.pytester.path / "lab.yaml").write_text(text)

    def run(self, test: str, *args: str) -> pytest.RunResult:
        self.pytester.makepyfile(test)
        return self.pytester.runpytest_subprocess("-p", "no:cacheprovider", *args)

    @property
    def folder(self) -> Path:
        return self.pytester.path / "runs" / "latest"

    @property
    def record(self) -> dict:
        return json.loads((self.folder / "run.json").read_text())


@pytest.fixture
def bench(pytester, image, monkeypatch) -> Bench:
    return Bench(pytester, image, monkeypatch)


def test_a_green_run_leaves_a_whole_record(bench) -> None:
    result = bench.run(BOOTS)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["verdict: PASS*", "boot 1: firmware *, kernel *, login *"])
    left = {path.name for path in bench.folder.iterdir()}
    wanted = "run.json build.log config deploy.json console.log console.jsonl junit.xml source.json toolchain.json"
    assert set(wanted.split()) <= left
    assert bench.record["verdict"]["name"] == "PASS"
    assert bench.record["release"] in (bench.folder / "console.log").read_text()


def test_long_work_shows_progress_in_plain_lines_without_a_terminal(bench) -> None:
    bench.run(BOOTS).stdout.fnmatch_lines(["build: *", "writing * boot files", "booting: *"])


def test_junit_xml_has_board_release_and_stage_seconds_as_properties(bench) -> None:
    bench.run(BOOTS)
    text = (bench.folder / "junit.xml").read_text()
    for name in ("board", "release", "boot_seconds.login", "verdict"):
        assert f'<property name="{name}"' in text


def test_a_panic_is_failed_with_stage_evidence_and_log(bench) -> None:
    bench.pytester.path.joinpath("linux", "blob").write_bytes(
        fakekernel.image(fakekernel.text("@RELEASE@", PANIC), then="hang")
    )
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
    break_with(bench.pytester.path / "linux", "error")
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


def test_a_full_disk_is_the_labs_fault_told_before_the_work(bench, monkeypatch) -> None:
    bench.pytester.makeconftest(
        "import shutil, collections\n"
        "usage = collections.namedtuple('usage', 'total used free')\n"
        "shutil.disk_usage = lambda path: usage(1, 1, 4096)\n"
    )
    result = bench.run(BOOTS)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*0 MiB free*"])
    assert bench.record["verdict"]["name"] == "LAB"


def test_an_unknown_board_lists_the_known_ones_with_their_models(bench) -> None:
    result = bench.run(BOOTS, "--board", "virtual-rpi5")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*no target `virtual-rpi5`*", "*virtual-rpi3 *rpi-3-b*"])


def test_a_misspelt_key_in_lab_yaml_names_file_line_and_the_nearest_key(bench) -> None:
    path = bench.pytester.path / "lab.yaml"
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
    assert not (bench.pytester.path / "runs").exists()
    assert not (bench.pytester.path / "cache" / "kernels").exists()


def test_a_second_run_with_the_same_inputs_builds_and_deploys_nothing(bench) -> None:
    bench.run(BOOTS)
    bench.run(BOOTS)
    assert json.loads((bench.folder / "kernel.json").read_text())["cached"] is True
    assert json.loads((bench.folder / "deploy.json").read_text())["written"] == []


def test_the_password_is_in_no_file_of_the_run(bench) -> None:
    bench.run(BOOTS)
    assert not [path for path in bench.folder.iterdir() if b"hunter2" in path.read_bytes()]


def test_labgrids_own_log_option_still_works(bench) -> None:
    bench.run(BOOTS, f"--lg-log={bench.pytester.path}/lglog")
    assert "Starting ARM" in (bench.pytester.path / "lglog" / "console_virtual-rpi3").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_no_qemu_no_card_and_a_readable_record(bench, number) -> None:
    hang = fakekernel.image("Booting Linux on physical CPU 0x0\nLinux version @RELEASE@ (x)\n", then="hang")
    bench.pytester.path.joinpath("linux", "blob").write_bytes(hang)
    bench.pytester.makepyfile(BOOTS)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    process = subprocess.Popen(command, cwd=bench.pytester.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    until(lambda: "Linux version" in _text(bench.folder / "console.log"))
    process.send_signal(number)
    output, _ = process.communicate(timeout=20)
    until(lambda: not boards(str(bench.pytester.path)))  # and with each goes its QEMU
    assert bench.record["finished"], output
    assert not list((bench.pytester.path).glob(".card*"))


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
