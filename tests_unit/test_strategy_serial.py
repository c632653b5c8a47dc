"""The ladder over a mocked serial line: labgrid's own SerialDriver on a pty, a scripted Pi at its other end."""

import time
from threading import Timer

import pytest
from labgrid import Target
from labgrid.driver import SerialDriver
from labgrid.driver.common import Driver
from labgrid.protocol import PowerProtocol
from labgrid.resource import RawSerialPort
from scriptedpi import ScriptedPi

from harness.console.login import Account
from harness.console.watcher import Deadlines
from harness.errors import CheckFailed, LabError
from harness.strategy import Assignment, RaspberryPiStrategy

AMPLE = Deadlines(shutdown=60, firmware=60, kernel=60, rootfs=60, init=60, login=60, silence=60)
PANIC = "\n[   77.000000] Kernel panic - not syncing: Fatal exception\n"


class Switch(Driver, PowerProtocol):
    """The power switch of the scripted Pi."""

    def __init__(self, target: Target, pi: ScriptedPi) -> None:
        self.pi, self.cycles, self.broken = pi, 0, False
        super().__init__(target, name=None)

    def on(self) -> None:
        if self.broken:
            raise OSError("the relay does not answer")
        self.cycles += 1
        self.pi.power_on()

    def off(self) -> None:
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
