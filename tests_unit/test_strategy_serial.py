"""The ladder over a mocked serial line: labgrid's own SerialDriver on a pty, a scripted Pi at its other end."""

import time
from threading import Event, Timer

import attrs
import pytest
from labgrid import Target
from labgrid.driver import SerialDriver
from labgrid.driver.common import Driver
from labgrid.driver.exception import ExecutionError
from labgrid.protocol import PowerProtocol
from labgrid.resource import RawSerialPort
from scriptedpi import ScriptedPi

from harness.errors import CheckFailed, LabError
from harness.model import Account, Deadlines
from harness.strategy import Assignment, RaspberryPiStrategy
from harness.verdict.judge import judge

AMPLE = Deadlines(shutdown=60, firmware=60, kernel=60, rootfs=60, init=60, login=60, silence=60)
PANIC = "\n[   77.000000] Kernel panic - not syncing: Fatal exception\n"


class Switch(Driver, PowerProtocol):
    """The power switch of the scripted Pi."""

    def __init__(self, target: Target, pi: ScriptedPi) -> None:
        self.pi, self.cycles, self.broken, self.stuck, self.welded = pi, 0, False, False, False
        super().__init__(target, name=None)

    def on(self) -> None:
        if self.broken:
            raise OSError("the relay does not answer")
        self.cycles += 1
        if not self.pi.powered:
            self.pi.power_on()

    def off(self) -> None:
        if self.stuck:
            raise ExecutionError("HTTP status 503 from the switch")
        if not self.welded:
            self.pi.power_off()

    def cycle(self) -> None:
        self.off()
        self.on()


@pytest.fixture
def ladder(pi, tmp_path):
    target = Target("scripted")
    RawSerialPort(target, name=None, port=pi.port)
    SerialDriver(target, name=None)
    Switch(target, pi)
    ladder = RaspberryPiStrategy(target, name=None)
    ladder.assignment = Assignment(tmp_path, Account("pi", "raspberry"), AMPLE)
    yield ladder
    ladder.close()


def test_the_ladder_leads_to_a_shell(ladder) -> None:
    assert ladder.transition("shell") == ["deployed", "booted", "shell"]
    assert ladder.shell.check("echo hello") == "hello"


def test_a_reboot_comes_back_to_its_login_and_the_next_shell_works(ladder) -> None:
    ladder.transition("shell")
    assert ladder.reboot().reached
    assert ladder.transition("shell") == ["shell"]
    assert ladder.shell.check("echo again") == "again"
    assert len(ladder.boots) == 2


def test_after_a_panic_during_a_command_the_next_shell_starts_from_off(ladder, pi) -> None:
    ladder.transition("shell")
    Timer(0.2, pi.say, [PANIC]).start()
    with pytest.raises(CheckFailed, match="died"):
        ladder.shell.run("sleep 20")
    assert ladder.transition("shell") == ["deployed", "booted", "shell"]
    assert ladder.power.cycles == 2


def test_a_line_lost_during_a_reboot_is_the_labs_fault_then_and_ever_after(ladder, pi) -> None:
    ladder.transition("shell")

    def pulled(**_: object) -> bytes:
        raise OSError("adapter gone")

    ladder.console._read = pulled
    with pytest.raises(LabError, match="adapter gone") as first:
        ladder.reboot()
    with pytest.raises(LabError) as second:
        ladder.transition("shell")
    assert second.value is first.value
    assert not pi.powered


def test_a_power_switch_that_does_not_answer_is_the_labs_fault(ladder) -> None:
    ladder.power.broken = True
    with pytest.raises(LabError, match="scripted: the relay does not answer"):
        ladder.transition("booted")


def test_a_board_that_is_said_to_run_is_attached_to_and_not_touched(ladder, pi) -> None:
    pi.power_on()
    ladder.force("shell")
    assert ladder.shell.check("echo hello") == "hello"
    assert ladder.power.cycles == 0
    assert ladder.transition("shell") == ["shell"]


def test_a_board_that_was_on_before_starts_cold(ladder, pi) -> None:
    """Nobody knows what it was doing; a first boot that is none would be waited for in vain."""
    pi.power_on()
    time.sleep(0.2)
    ladder.transition("booted")
    assert ladder.boot.reached
    assert ladder.power.cycles == 1


# --- what the bench does wrong ---------------------------------------------------------------------------------------
def test_a_board_that_cannot_be_switched_off_is_the_labs_fault_in_the_drivers_words(ladder) -> None:
    ladder.transition("booted")
    ladder.power.stuck = True
    with pytest.raises(LabError, match="could not be switched off: HTTP status 503 from the switch"):
        ladder.cold_boot()
    assert ladder.still_on == "HTTP status 503 from the switch"


def test_closing_never_raises_and_remembers_that_the_board_is_on(ladder) -> None:
    ladder.transition("booted")
    ladder.power.stuck = True
    ladder.close()
    assert ladder.still_on


def test_a_switch_that_answers_again_leaves_no_board_on(ladder) -> None:
    ladder.power.stuck = True
    ladder.power_off()
    ladder.power.stuck = False
    ladder.power_off()
    assert ladder.still_on == ""


def test_a_switch_that_answers_and_does_not_switch_is_found_out_by_a_prompt_that_answers(ladder, pi) -> None:
    ladder.transition("booted")
    ladder.assignment = attrs.evolve(ladder.assignment, deadlines=attrs.evolve(AMPLE, silence=0.3))
    ladder.power.welded = True
    with pytest.raises(LabError, match="the power was not cut: a prompt answers") as caught:
        ladder.cold_boot()
    ladder.power.welded = False
    assert caught.value.evidence == ("raspberrypi login:",)
    assert not ladder.boot.reached
    assert [found.kind for found in ladder.boot.findings] == ["power-not-cut"]
    assert judge(ladder.boots, (), [("LAB", str(caught.value))]).name == "LAB"


def test_a_board_without_a_word_is_no_proof_against_the_switch(ladder, pi) -> None:
    ladder.assignment = attrs.evolve(ladder.assignment, deadlines=attrs.evolve(AMPLE, silence=0.3))
    pi.to_lab = lambda _: b""
    ladder.transition("booted")
    assert ladder.boot.last_stage == "none"
    assert ladder.boot.findings == ()


def test_starting_over_forgets_the_fault_and_opens_the_line_that_was_lost(ladder, pi) -> None:
    ladder.transition("shell")
    read = ladder.console._read
    gone = Event()

    def pulled(**words: object) -> bytes:
        if not gone.is_set():
            return read(**words)
        raise OSError("adapter gone")

    ladder.console._read = pulled
    gone.set()
    with pytest.raises(LabError, match="adapter gone"):
        ladder.reboot()
    gone.clear()
    ladder.start_over()
    assert not pi.powered
    assert ladder.transition("shell") == ["deployed", "booted", "shell"]
    assert ladder.shell.check("echo again") == "again"
    assert ladder.recorder.log.read_text().count("Booting Linux") == 2


def test_starting_over_on_a_bench_that_is_broken_still_is_its_fault_then_and_ever_after(ladder) -> None:
    ladder.power.broken = True
    with pytest.raises(LabError, match="the relay does not answer"):
        ladder.transition("booted")
    ladder.power.stuck = True
    with pytest.raises(LabError, match="could not be switched off") as first:
        ladder.start_over()
    with pytest.raises(LabError) as second:
        ladder.transition("booted")
    assert second.value is first.value


def test_a_boot_during_which_the_line_died_leaves_a_record(ladder, pi) -> None:
    pi.log = "[    0.000000] Booting Linux on physical CPU 0x0\n"

    def pulled(**_: object) -> bytes:
        raise OSError("adapter gone")

    def pull(text: str) -> None:
        if "stage kernel" in text:
            ladder.console._read = pulled

    pi.password = "nobody gets that far"
    pi.to_lab = lambda data: data.replace(b"login:", b"")
    ladder.assignment = attrs.evolve(ladder.assignment, progress=pull)
    with pytest.raises(LabError, match="adapter gone") as caught:
        ladder.transition("booted")
    assert (ladder.boot.reached, ladder.boot.last_stage) == (False, "kernel")
    assert judge(ladder.boots, (), [("LAB", str(caught.value))]).name == "LAB"
