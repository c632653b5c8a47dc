"""Whatever the line does: a command runs once, its output is exact, or there is an error; never a wrong answer."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from badline import INSERTS, LOSSES, Bad, Once, drop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from processes import until
from scriptedpi import BOOT_LOG, serial_driver

from harness.console import agent
from harness.console.expect import ConsoleExpect
from harness.console.recorder import Recorder
from harness.console.shell import Shell
from harness.errors import Pi64Error
from harness.model import Account

PROMPT_AT = len(BOOT_LOG.replace("\n", "\r\n"))
HOSTILE = (
    b"", b"\n", b"$ ", b"raspberrypi login: ", b"pi@raspberrypi:~$ ", b"a  b\tc\n\n", b"\x1b[31mred\x1b[0m\r\n",
    b"|9>\n",
    b"<1 0 6 5c0ff5f15d3|x86_64|1>\n", b"<pi64 ?>", b"~^|<>", b"\x00\xff\x80\xc3\x28\n", bytes(range(256)),
    b"[   12.345678] usb 1-1: new device\r\n", b"no newline at the end", b"x" * 256, b"x" * 257, b"word " * 3000,
)  # fmt: skip


@contextmanager
def opened(pi, folder: Path) -> Iterator[Shell]:
    pi.power_on()
    driver = serial_driver(folder, pi)
    with Recorder(driver, folder) as recorder:
        until(lambda: b"login: " in recorder.log.read_bytes())
        console = ConsoleExpect(recorder, driver, position=PROMPT_AT)
        shell = Shell(console, Account("pi", "raspberry"), target="scripted")
        shell.open(timeout_s=30)
        yield shell


@pytest.fixture
def shell(pi, tmp_path):
    with opened(pi, tmp_path) as shell:
        yield shell


class Ledger:
    """Runs numbered commands; the file on the far end shows how often each of them ran."""

    def __init__(self, shell: Shell, folder: Path) -> None:
        self._shell, self._file, self._number, self.failed = shell, folder / "ledger", 0, 0
        self._file.touch()
        self._good: list[int] = []

    def run(self, output: bytes, *, status: int = 0, timeout: float = 20.0) -> None:
        self._number += 1
        octal = "".join(f"\\\\{byte:03o}" for byte in output) if len(output) < 500 else ""
        where = self._file.with_name(f"output-{self._number}")
        if not octal and output:
            where.write_bytes(output)
        say = f"cat {where}" if where.exists() else f"printf {octal or chr(39) * 2}"
        try:
            result = self._shell.run(f"echo {self._number} >>{self._file}; {say}; exit {status}", timeout=timeout)
        except Pi64Error:
            self.failed += 1
            return
        assert result.output.encode("utf-8", "surrogateescape") == output
        assert result.status == status
        self._good.append(self._number)

    def settle(self) -> None:
        """Every command that was answered ran once, none ran twice."""
        ran = [int(line) for line in self._file.read_text().split()]
        assert len(ran) == len(set(ran)), "a command ran twice"
        assert set(self._good) <= set(ran)


@pytest.fixture
def ledger(shell, tmp_path):
    ledger = Ledger(shell, tmp_path)
    yield ledger
    ledger.settle()


@pytest.mark.parametrize("better", ["bash", "no-such-shell"])
def test_any_output_comes_back_as_it_was_from_bash_and_from_a_plain_sh(pi, tmp_path, monkeypatch, better) -> None:
    monkeypatch.setattr(agent, "BETTER_SHELL", better)
    with opened(pi, tmp_path) as shell:
        ledger = Ledger(shell, tmp_path)
        for output in HOSTILE:
            ledger.run(output, status=len(output) % 200)
        ledger.settle()
    assert not ledger.failed


@pytest.mark.parametrize("way", ["to_pi", "to_lab"])
def test_one_damaged_byte_at_any_place_of_an_exchange_changes_nothing(pi, ledger, way) -> None:
    generator = random.Random(way)
    for position in range(70):
        once = Once(generator.choice(LOSSES if way == "to_pi" else LOSSES + INSERTS), position)
        setattr(pi, way, once)
        ledger.run(b"aarch64\n")
    assert not ledger.failed


@pytest.mark.parametrize("better", ["bash", "no-such-shell"])
def test_a_command_that_never_arrives_whole_is_brought_in_pieces(pi, tmp_path, monkeypatch, better) -> None:
    monkeypatch.setattr(agent, "BETTER_SHELL", better)
    with opened(pi, tmp_path) as shell:
        ledger = Ledger(shell, tmp_path)
        pi.to_pi = lambda data: drop(data, 50) if len(data) > 200 else data
        ledger.run(b"  x " * 100, status=3)
        ledger.run(b"y" * 400)
        pi.to_pi = bytes
        ledger.settle()
    assert not ledger.failed


@pytest.mark.slow
@pytest.mark.parametrize("way", ["to_pi", "to_lab"])
@pytest.mark.parametrize("damage", LOSSES + INSERTS)
def test_every_damage_at_every_place_of_an_exchange_changes_nothing(pi, ledger, way, damage) -> None:
    if way == "to_pi" and damage in INSERTS:
        pytest.skip("nobody but us types on the line to the board")
    for position in range(90):
        setattr(pi, way, Once(damage, position))
        ledger.run(b"aarch64\n")
    assert not ledger.failed


LINES = st.sampled_from(HOSTILE[:-1]) | st.binary(max_size=400)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(outputs=st.lists(LINES, max_size=4), seed=st.integers(0, 2**32), rate=st.sampled_from((0.0, 0.0005, 0.002)))
def test_a_bad_line_never_gives_a_wrong_answer(pi, ledger, outputs, seed, rate) -> None:
    pi.to_pi, pi.to_lab = Bad(seed, rate, LOSSES), Bad(seed + 1, rate, LOSSES + INSERTS)
    for output in outputs:
        ledger.run(output)
    pi.to_pi = pi.to_lab = bytes


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_ten_thousand_commands_on_a_bad_line_are_all_exact_and_run_once(pi, ledger, part) -> None:
    """In ten parts, which wait more than they work: `-n 10 --dist load` runs them at once."""
    generator = random.Random(10_000 + part)
    pi.to_pi, pi.to_lab = Bad(2 * part + 1, 0.001, LOSSES), Bad(2 * part + 2, 0.001, LOSSES + INSERTS)
    for number in range(1000):
        size = generator.choice((0, 8, 8, 8, 40, 250, 1000))
        ledger.run(generator.randbytes(size) if number % 2 else b"x" * size, status=number % 256)
    assert not ledger.failed
    assert pi.to_pi.damaged > 30
