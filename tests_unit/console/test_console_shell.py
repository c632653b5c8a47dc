import random
import time
from threading import Timer

import pytest
from processes import until
from scriptedpi import BOOT_LOG, serial_driver

from harness.console.expect import ConsoleExpect
from harness.console.recorder import Recorder
from harness.console.shell import Shell
from harness.errors import CheckFailed, CommandFailed, LabError, Pi64Error, Unresponsive
from harness.model import Account

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


def test_a_long_answer_with_kernel_lines_in_it_is_whole(pi, shell, tmp_path) -> None:
    noise = b"\r\n[   12.345678] usb 1-1: new high-speed USB device\r\nsystemd[1]: Started Daily apt activities.\r\n"
    told = []

    def inject(data: bytes) -> bytes:
        if len(data) < 100:  # a line in each answer of ten bytes is not noise, it is another line
            return data
        told.append(len(data))
        return data[: len(data) // 2] + noise + data[len(data) // 2 :]

    counter = tmp_path / "counter"
    pi.to_lab = inject
    output = shell.check(f"echo x >>{counter}; seq 1 3000")
    pi.to_lab = bytes
    assert output.splitlines() == [str(n) for n in range(1, 3001)]
    assert len(told) > 1
    assert counter.read_text() == "x\n"


def test_kernel_lines_of_any_level_stay_in_the_log_and_out_of_the_answer(pi, shell, recorder) -> None:
    Timer(0.2, pi.say, ["<7>[   77.000000][    T1] a debug line\n"]).start()
    assert shell.check("echo before; sleep 0.4; echo after") == "before\nafter"
    assert "a debug line" in recorder.log.read_text()
    spoken = recorder.spoken[-1]
    assert b"a debug line" in recorder.log.read_bytes()[spoken.begin : spoken.end]
    number = recorder.log.read_bytes()[: spoken.end].partition(b"a debug line")[0].count(b"\n") + 1
    assert recorder.during(number, since=0) == "echo before; sleep 0.4; echo after"


# --- commands that do not end ----------------------------------------------------------------------------------------
def test_a_command_that_hangs_is_stopped_by_ctrl_c_and_the_next_one_works(shell) -> None:
    with pytest.raises(
        CommandFailed, match=r"`echo so far; sleep 60` did not end within 0.5 s; Ctrl-C ended it"
    ) as caught:
        shell.run("echo so far; sleep 60", timeout=0.5)
    assert caught.value.evidence == ("so far",)
    assert shell.check("echo next") == "next"


def test_a_command_that_ignores_ctrl_c_is_killed_with_all_its_children(shell, monkeypatch) -> None:
    monkeypatch.setattr("harness.console.shell.STOP_S", 2.0)
    with pytest.raises(CommandFailed, match=r"within 0.5 s; Ctrl-\\ ended it"):
        shell.run("trap '' INT QUIT TERM; (trap '' INT; exec sleep 61); sleep 61", timeout=0.5)
    assert shell.check("pgrep -x -f 'sleep 61' | wc -l") == "0"


def test_a_command_that_takes_its_shell_with_it_costs_a_new_login(pi, shell) -> None:
    pi.log = ""  # only its getty starts again, not the board
    with pytest.raises(CommandFailed, match="took its shell with it"):
        shell.run("kill -KILL $PPID $$", timeout=30)
    assert shell.check("echo back") == "back"


def test_a_line_that_falls_silent_is_nobodys_fault_yet(pi, shell, monkeypatch) -> None:
    monkeypatch.setattr("harness.console.shell.STOP_S", 0.3)
    monkeypatch.setattr("harness.console.shell.RELOGIN_S", 1.0)
    pi.to_pi = lambda _: b""
    with pytest.raises(Unresponsive, match="nothing answers any more") as caught:
        shell.run("uname -m", timeout=0.5)
    assert caught.value.verdict == "INCONCLUSIVE"
    assert shell.dead


def test_an_answer_that_cannot_be_read_in_time_is_the_labs_fault_and_no_answer(pi, shell) -> None:
    pi.to_lab = lambda data: data if len(data) < 100 else data.replace(b"M", b"m")
    with pytest.raises(LabError, match=r"the answer to `seq 1 500` did not come whole within 0.5 s: 0 of \d+ lines"):
        shell.run("seq 1 500", timeout=0.5)
    pi.to_lab = bytes
    assert shell.check("echo next") == "next"


def test_a_request_that_never_arrived_is_not_run_after_its_deadline(pi, shell, tmp_path) -> None:
    lost = []

    def lose(data: bytes) -> bytes:
        if b"!touch" in data:
            lost.append(data)
            return b""
        return data

    pi.to_pi = lose
    with pytest.raises(LabError, match=r"was never run: it did not arrive within 0.5 s"):
        shell.run(f"touch {tmp_path}/late", timeout=0.5)
    pi.to_pi = bytes
    assert shell.check("echo next") == "next"
    assert lost
    assert not (tmp_path / "late").exists()


def test_a_shell_that_is_killed_is_noticed_at_once(shell) -> None:
    started = time.monotonic()
    with pytest.raises(CommandFailed, match="took its shell with it"):
        shell.run("kill -KILL $$", timeout=60)
    assert time.monotonic() - started < 20
    assert shell.check("echo back") == "back"


def test_words_of_a_getty_on_the_line_are_no_getty(shell) -> None:
    assert shell.check("printf 'foo login: ' >/dev/tty; sleep 0.7; echo ok") == "ok"


@pytest.mark.parametrize("settings", ["raw", "raw echo", "-icrnl", "ixon echo opost", "sane"])
def test_a_terminal_that_a_command_has_changed_is_put_right(shell, settings) -> None:
    assert shell.run(f"stty {settings} </dev/tty").status == 0
    assert [shell.check(f"echo {number}") for number in range(3)] == ["0", "1", "2"]
    with pytest.raises(CommandFailed, match="Ctrl-C ended it"):
        shell.run("sleep 60", timeout=0.3)


def test_what_an_earlier_command_still_writes_is_not_in_the_answer_of_the_next(shell) -> None:
    assert shell.check("(sleep 0.3; echo LATE) & echo hi") == "hi"
    assert shell.check("echo 0123456789; sleep 0.6") == "0123456789"


def test_questions_asked_while_a_command_ran_do_not_multiply_its_answer(pi, shell) -> None:
    sent = []

    def count(data: bytes) -> bytes:
        sent.append(len(data))
        return data

    pi.to_lab = count
    shell.run("sleep 1; head -c 30000 /dev/urandom | base64 -w0")
    assert sum(sent) < 3 * 30_000 * 4 / 3


def test_a_request_that_is_refused_at_once_is_told(pi, shell) -> None:
    with pytest.raises(CommandFailed, match=r"`sh -c 'echo no; exit 3'` returned 3") as caught:
        shell.send("sh -c 'echo no; exit 3'")
    assert caught.value.evidence == ("no",)


def test_a_board_without_a_writable_folder_is_told(pi, recorder, monkeypatch) -> None:
    monkeypatch.setattr("harness.console.agent.FOLDERS", "/proc /nowhere")
    pi.power_on()
    recorder_until_prompt(recorder)
    with pytest.raises(LabError, match="the board has no folder to write into"):
        Shell(ConsoleExpect(recorder, recorder.driver, position=PROMPT_AT), ACCOUNT, target="scripted").open(
            timeout_s=9
        )


# --- files -----------------------------------------------------------------------------------------------------------
def test_a_file_goes_over_the_console_and_comes_back_as_it_was(shell, tmp_path) -> None:
    data = random.Random(3).randbytes(40_000) + b"\0\n$ login: " * 500
    shell.put(data, f"{tmp_path}/with 'quotes' and blanks")
    assert (tmp_path / "with 'quotes' and blanks").read_bytes() == data
    assert shell.get(f"{tmp_path}/with 'quotes' and blanks") == data


def test_a_file_that_cannot_be_written_or_read_is_named(shell, tmp_path) -> None:
    with pytest.raises(CommandFailed, match="/nowhere/file"):
        shell.put(b"x", "/nowhere/file")
    with pytest.raises(CommandFailed, match="/nowhere/file"):
        shell.get("/nowhere/file")


def test_a_file_is_replaced_whole_or_not_at_all(pi, shell, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("harness.console.shell.STOP_S", 0.3)
    monkeypatch.setattr("harness.console.shell.RELOGIN_S", 1.0)
    (tmp_path / "file").write_bytes(b"old")
    sent = []

    def pull_the_cable(data: bytes) -> bytes:
        sent.append(data)
        return data if len(sent) < 20 else b""

    pi.to_pi = pull_the_cable
    with pytest.raises(Pi64Error):
        shell.put(random.Random(4).randbytes(200_000), f"{tmp_path}/file", timeout=2)
    assert (tmp_path / "file").read_bytes() == b"old"


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
    with pytest.raises(CheckFailed, match="scripted: died during `sleep 30`: Kernel panic") as caught:
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
