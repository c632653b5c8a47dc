"""One process a board: on one host, whoever runs there, and several boards side by side."""

import json
import signal
import subprocess
import sys
from types import SimpleNamespace

import fakekernel
import pytest
from pluginbench import BOOTS, Bench
from processes import boards, until

from harness.errors import LabError, UsageError
from harness.lab import claim, sidebyside
from harness.lab.child import Child
from harness.lab.doctor.bench import Bench as DoctorsBench
from harness.lab.doctor.parts import target as part
from harness.model import Verdict, VerdictName
from harness.report.record import RunRecord, to_json

pytest_plugins = ["pytester", "pluginfixtures"]

HOLDS = """
import time
from harness.lab import claim
with claim.locked("rpi3"):
    print("has it", flush=True)
    time.sleep(600)
"""
GATED = """
import pathlib, time
def test_waits(boot):
    pathlib.Path("ready").touch()
    while not pathlib.Path("go").exists():
        time.sleep(0.05)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def other():
    """Another process, which has the board `rpi3`."""
    process = subprocess.Popen([sys.executable, "-c", HOLDS], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "has it\n"
    yield process
    process.kill()
    process.wait()


# --- the lock --------------------------------------------------------------------------------------------------------
def test_who_finds_a_board_in_use_is_told_by_whom(other) -> None:
    with pytest.raises(LabError, match=r"^rpi3: in use by another run\n") as caught, claim.locked("rpi3"):
        pass
    assert f"process {other.pid} since" in caught.value.evidence[0]
    assert "--board-wait" in caught.value.hint


def test_waiting_ends_at_its_deadline_and_says_meanwhile_for_whom(other) -> None:
    told = []
    with pytest.raises(LabError, match=r"after 0\.5 s of waiting"), claim.locked("rpi3", wait_s=0.5, tell=told.append):
        pass
    assert f"process {other.pid}" in told[0]


def test_a_process_that_is_killed_frees_its_board(other) -> None:
    other.send_signal(signal.SIGKILL)
    other.wait()
    lock = claim.take("rpi3")
    assert lock
    assert lock.left  # its name still stood there
    lock.close()


def test_who_let_go_in_order_has_left_no_name() -> None:
    with claim.locked("rpi3"):
        assert "process" in claim.holder(claim.lock_file("rpi3"))
    assert claim.holder(claim.lock_file("rpi3")) == ""
    lock = claim.take("rpi3")
    assert not lock.left
    lock.close()


def test_a_name_with_a_slash_is_a_file_like_any_other() -> None:
    with claim.locked("../../rpi3"):
        assert claim.lock_file("../../rpi3").parent == claim.lock_file("x").parent


def test_what_a_lock_file_says_cannot_drive_a_terminal(other) -> None:
    claim.lock_file("rpi3").write_text("eve \x1b[2J")
    assert "\x1b" not in claim.holder(claim.lock_file("rpi3"))


def test_the_command_in_a_lock_file_has_no_password(monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pytest", "--source", "https://ann:hunter2@example.org/linux.git"])
    assert "hunter2" not in claim.me()


# --- pytest ----------------------------------------------------------------------------------------------------------
def test_a_second_run_on_a_board_fails_at_once_builds_nothing_and_names_the_first(bench) -> None:
    first = bench.start(GATED)
    until((bench.path / "ready").exists, 60)
    result = bench.run(BOOTS, "--source", "/nowhere/linux")  # would fail otherwise, had it come so far
    (bench.path / "go").touch()
    output, _ = first.communicate(timeout=60)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["virtual-rpi3: in use by another run", f"  | *process {first.pid} since *", "verdict: LAB*"]
    )
    assert first.returncode == 0, output


def test_a_second_run_that_may_wait_follows_the_first(bench) -> None:
    first = bench.start(GATED)
    until((bench.path / "ready").exists, 60)
    second = bench.start(BOOTS, "--board-wait", "60")
    until(lambda: "waiting for virtual-rpi3" in second.stdout.readline(), 60)
    (bench.path / "go").touch()
    assert first.wait(60) == 0
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 0, output


@pytest.mark.slow
def test_of_two_xdist_workers_one_has_the_board_and_the_other_says_so(bench) -> None:
    bench.kernel(fakekernel.text("@RELEASE@"), then="keys")
    test = BOOTS + "def test_too(boot):\n    import time\n    assert boot.reached\n    time.sleep(5)\n"
    result = bench.run(test + "def test_three(boot):\n    import time\n    time.sleep(5)\n", "-n", "2", "-p", "xdist")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*virtual-rpi3: in use by another run", "*pytest-xdist's worker gw*"])
    assert not boards(str(bench.path))


def test_a_time_to_wait_is_a_number_of_seconds(bench) -> None:
    for word in ("soon", "-1", "inf"):
        assert bench.run(BOOTS, "--board-wait", word).ret == pytest.ExitCode.USAGE_ERROR


# --- the doctor ------------------------------------------------------------------------------------------------------
def test_the_doctor_names_who_has_a_board(bench) -> None:
    text = (bench.path / "lab.yaml").read_text().replace("virtual-rpi3:", "rpi3:")
    (bench.path / "lab.yaml").write_text(text)
    with subprocess.Popen([sys.executable, "-c", HOLDS], stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        looked = DoctorsBench(bench.path / "lab.yaml", "rpi3")
        answers = list(part.look(looked))
        process.kill()
    assert answers[-1].state == "fault"
    assert f"process {process.pid}" in looked.used_by


# --- side by side ----------------------------------------------------------------------------------------------------
@pytest.fixture
def pair(bench) -> Bench:
    """A bench with two virtual boards that share one kernel."""
    path = bench.path / "lab.yaml"
    head, _, target = path.read_text().partition("targets:\n")
    other = target.replace("virtual-rpi3:", "second:").replace("card.img", "second.img")
    path.write_text(f"{head}targets:\n{target}{other}")
    return bench


def records(bench: Bench) -> dict[str, dict]:
    found = [path for path in (bench.path / "runs").glob("*/run.json") if not path.parent.is_symlink()]
    return {record["target"]: record for record in (json.loads(path.read_text()) for path in found)}


def test_two_boards_run_side_by_side_with_a_record_each_and_one_build(pair) -> None:
    result = pair.run(BOOTS, "--board", "virtual-rpi3", "--board=second", "-k", "boots", "--junitxml=out.xml")
    assert result.ret == 0, result.stdout.str()
    result.stdout.fnmatch_lines(["pi64: 2 boards side by side, * s", "virtual-rpi3: PASS: *", "second: PASS: *"])
    built = [json.loads(path.read_text()) for path in (pair.path / "runs").glob("20*/kernel.json")]
    assert sorted(each["cached"] for each in built) == [False, True]
    assert {name: record["verdict"]["name"] for name, record in records(pair).items()} == {
        "virtual-rpi3": "PASS",
        "second": "PASS",
    }
    assert (pair.path / "out-second.xml").exists()


def test_a_lab_yaml_that_is_not_good_is_told_without_a_traceback_when_boards_are_counted_too(bench) -> None:
    (bench.path / "lab.yaml").write_text("targets: {a: {}}\n")
    result = bench.run(BOOTS, "--board", "a", "-n", "2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*target `a` has no model*"])
    assert "Traceback" not in result.stderr.str()


def test_the_worst_of_several_boards_is_the_exit_status(pair) -> None:
    test = "def test_boots(boot, run):\n    assert run.target == 'second', 'not this one'\n"
    result = pair.run(test, "--board", "virtual-rpi3", "--board", "second")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["virtual-rpi3: KERNEL: *", "second: PASS: *"])


def test_an_unknown_board_among_several_is_told_and_the_others_run(pair) -> None:
    result = pair.run(BOOTS, "--board", "virtual-rpi3", "--board", "third")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(["third | *no target `third`*", "virtual-rpi3: PASS: *", "third: no run was begun *"])


def test_pi64_run_does_what_pytest_does(pair) -> None:
    (pair.path / "test_it.py").write_text(BOOTS)
    command = [sys.executable, "-m", "harness.cli", "run", "--board", "virtual-rpi3", "--board", "second", "test_it.py"]
    done = subprocess.run(command, cwd=pair.path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "second: PASS" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_boards_and_each_leaves_a_record(pair, number) -> None:
    pair.kernel("Booting Linux on physical CPU 0x0\nLinux version @RELEASE@ (x)\n")  # and then nothing
    process = pair.start(BOOTS, "--board", "virtual-rpi3", "--board", "second")
    until(lambda: _speaking(pair) == 2, 60)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    until(lambda: not boards(str(pair.path)))
    assert {name: bool(record["finished"]) for name, record in records(pair).items()} == {
        "virtual-rpi3": True,
        "second": True,
    }, output
    assert process.returncode == pytest.ExitCode.INTERRUPTED


def test_boards_do_not_outlive_who_started_them(pair) -> None:
    pair.kernel("Booting Linux on physical CPU 0x0\nLinux version @RELEASE@ (x)\n")
    process = pair.start(BOOTS, "--board", "virtual-rpi3", "--board", "second")
    until(lambda: _speaking(pair) == 2, 60)
    process.kill()
    process.communicate(timeout=60)
    until(lambda: not boards(str(pair.path)), 60)


def _speaking(bench: Bench) -> int:
    logs = (bench.path / "runs").glob("20*/console.log")
    return sum("Linux version" in log.read_text(errors="replace") for log in logs)


@pytest.mark.parametrize(
    ("given", "left"),
    [
        (["--board", "a", "tests_hw", "--board=b", "-k", "x"], ["tests_hw", "-k", "x"]),
        (["-n", "2", "-n4", "--numprocesses=3", "-nauto"], ["-nauto"]),
        (["--board-wait", "5", "-no:x"], ["--board-wait", "5", "-no:x"]),
    ],
)
def test_what_says_on_how_many_boards_is_not_passed_on(given, left) -> None:
    assert sidebyside.without_boards(given) == left


def test_a_tag_and_a_number_are_so_many_boards_and_a_number_alone_is_none() -> None:
    lab = SimpleNamespace(targets={"any": SimpleNamespace(reserve=("board=rpi4",)), "one": SimpleNamespace(reserve=())})
    assert sidebyside.wanted(SimpleNamespace(boards=("any",), numprocesses=3), lambda: lab) == ("any",) * 3
    assert sidebyside.wanted(SimpleNamespace(boards=("one",), numprocesses=3), lambda: lab) == ()
    assert sidebyside.wanted(SimpleNamespace(boards=("one",)), lambda: lab) == ()


def test_each_board_writes_files_of_its_own() -> None:
    given = ["--junitxml=a/b.xml", "--log-file", "c.log", "--junit-xml=", "-v", "--log-file"]
    own = ["--junitxml=a/b-pi.xml", "--log-file=c-pi.log", "--junit-xml=", "-v", "--log-file"]
    assert sidebyside._own_files(given, "pi") == own


def test_a_board_that_stayed_on_is_told_below_its_verdict(tmp_path) -> None:
    record = RunRecord("r", "pi", "now", still_on="the relay", verdict=Verdict(VerdictName.LAB, "the bench failed"))
    (tmp_path / "run.json").write_text(to_json(record))
    (tmp_path / "told").write_text(str(tmp_path))
    head, *rest = sidebyside._lines(Child("pi", tmp_path / "told"), tmp_path)
    assert head == "pi: LAB: the bench failed"
    assert rest[0].startswith("!!! the board is still ON")


def test_more_boards_than_anybody_has_are_a_mistake(tmp_path) -> None:
    with pytest.raises(UsageError, match="65 boards"):
        sidebyside.run(["a"] * 65, [], tell=print, folder=tmp_path)
