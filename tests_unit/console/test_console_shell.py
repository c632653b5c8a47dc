import random
import time
from threading import Timer

import pytest
from processes import until
from scriptedpi import BOOT_LOG, serial_driver

from harness.console.expect import ConsoleExpect
from harness.console.login import Account
from harness.console.recorder import Recorder
from harness.console.shell import Shell
from harness.errors import CheckFailed, CommandFailed, LabError

PROMPT_AT = len(BOOT_LOG.replace("\n", "\r\n"))
ACCOUNT = Account("pi", "raspberry")


@pytest.fixture
def recorder(pi, tmp_path):
    driver = serial_driver(tmp_path, pi)
    with Recorder(driver, tmp_path) as recorder:
        recorder.driver = driver
        yield recorder


@pytest.fixture
def shell(pi, recorder):
    pi.power_on()
    recorder_until_prompt(recorder)
    shell = Shell(ConsoleExpect(recorder, recorder.driver, position=PROMPT_AT), ACCOUNT, target="scripted")
    shell.open(timeout_s=30)
    return shell


def recorder_until_prompt(recorder) -> None:
    """Wait for the boot log to be over: it is the watcher's business, not the shell's."""
    until(lambda: b"login: " in recorder.log.read_bytes())


def test_output_and_status_of_a_command_are_exact(shell) -> None:
    result = shell.run("printf 'a  b\\n\\n$ login: \\t#'; exit 3")
    assert (result.output, result.status) == ("a  b\n\n$ login: \t#", 3)


def test_a_command_longer_than_the_line_discipline_takes_arrives_whole(shell) -> None:
    text = "".join(random.Random(1).choices("abc'\"$`\\ é", k=9000))
    quoted = text.replace("'", "'\\''")
    assert shell.check(f"printf %s '{quoted}'") == text


def test_kernel_lines_inside_the_answer_cost_a_second_reading_not_a_second_run(pi, shell, tmp_path) -> None:
    once = [b"\r\n[   12.345678] usb 1-1: new high-speed USB device\r\n"]

    def inject(data: bytes) -> bytes:
        if b"<pi64 out" in data and once:
            middle = data.index(b"\n", data.index(b"<pi64 out")) + 5
            return data[:middle] + once.pop() + data[middle:]
        return data

    pi.to_lab = inject
    counter = tmp_path / "counter"
    assert shell.check(f"echo x >>{counter}; seq 1 50").splitlines() == [str(n) for n in range(1, 51)]
    assert not once
    assert counter.read_text() == "x\n"


def test_a_request_damaged_on_the_way_is_typed_again(pi, shell, tmp_path) -> None:
    broken = [True]

    def damage(data: bytes) -> bytes:
        if b"_c=${_c}" in data and broken:
            broken.clear()
            return data.replace(b"_c=${_c}", b"_c=$_c0")
        return data

    pi.to_pi = damage
    counter = tmp_path / "counter"
    assert shell.check(f"echo x >>{counter}; echo done") == "done"
    assert not broken
    assert counter.read_text() == "x\n"


def test_a_failed_command_names_target_command_status_and_output(shell) -> None:
    with pytest.raises(CommandFailed, match=r"scripted: `ls /nowhere` returned 2 after .* s"):
        shell.check("ls /nowhere")


def test_a_refused_password_is_the_labs_fault_and_is_not_shown(pi, recorder) -> None:
    pi.power_on()
    recorder_until_prompt(recorder)
    console = ConsoleExpect(recorder, recorder.driver, position=PROMPT_AT)
    with pytest.raises(LabError, match="login of user `pi` was refused") as caught:
        Shell(console, Account("pi", "hunter2"), target="scripted").open(timeout_s=30)
    assert "hunter2" not in str(caught.value) + repr(caught.value) + recorder.log.read_text()


def test_a_shell_that_is_logged_in_already_is_taken(shell, recorder, monkeypatch) -> None:
    monkeypatch.setattr("harness.console.login.NUDGE_S", 0.2)
    again = Shell(ConsoleExpect(recorder, recorder.driver), ACCOUNT, target="scripted")
    again.open(timeout_s=30)
    assert again.check("echo hello") == "hello"


def test_a_panic_during_a_command_ends_the_wait_and_is_the_kernels(pi, shell) -> None:
    started = time.monotonic()
    Timer(
        0.3, pi.say, ["\n[   77.000000] Kernel panic - not syncing: Fatal exception\n[   77.1] CPU: 0 PID: 1\n"]
    ).start()
    with pytest.raises(CheckFailed, match="scripted: died: Kernel panic") as caught:
        shell.run("sleep 30", timeout=60)
    assert time.monotonic() - started < 10
    assert caught.value.verdict == "KERNEL"
    assert shell.dead


def test_a_board_that_restarts_during_a_command_is_noticed(pi, shell) -> None:
    Timer(0.3, pi.say, ["\n[    0.000000] Booting Linux on physical CPU 0x0000000000 [0x410fd034]\n"]).start()
    with pytest.raises(CheckFailed, match="restarted, and nobody had asked"):
        shell.run("sleep 30", timeout=60)


def test_a_board_that_talks_on_after_its_panic_is_not_listened_to_for_ever(pi, shell, monkeypatch) -> None:
    monkeypatch.setattr("harness.console.deathwatch.TRACE_LIMIT_S", 1.0)
    talk = [Timer(0.3 + number / 10, pi.say, ["still talking\n"]) for number in range(60)]
    for timer in [Timer(0.2, pi.say, ["\nKernel panic - not syncing: Fatal exception\n"]), *talk]:
        timer.start()
    try:
        with pytest.raises(CheckFailed, match="died"):
            shell.run("sleep 30", timeout=60)
        assert talk[-1].is_alive()  # it was given up while the board still talked
    finally:
        for timer in talk:
            timer.cancel()
            timer.join()


def test_a_panic_that_is_expected_ends_nothing(pi, shell) -> None:
    Timer(0.2, pi.say, ["\n[   77.000000] Kernel panic - not syncing: on purpose\n"]).start()
    with shell.console.expecting("panic"):
        assert shell.check("sleep 0.5; echo alive") == "alive"


def test_the_password_is_not_among_labgrids_console_steps(pi, recorder, caplog) -> None:
    caplog.set_level(0)
    pi.power_on()
    recorder_until_prompt(recorder)
    Shell(ConsoleExpect(recorder, recorder.driver, position=PROMPT_AT), ACCOUNT, target="scripted").open(timeout_s=30)
    assert "raspberry" not in caplog.text.replace("raspberrypi", "")
