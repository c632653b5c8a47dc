"""What ends waiting in a session: a death, a restart, bytes that nobody can read; and how long its trace is heard."""

from pathlib import Path

from uart import missampled

from harness.console.deathwatch import TRACE_QUIET_S, DeathWatch, hear_out

DATA = Path(__file__).parent.parent / "data"
PANIC = b"[   77.000000] Kernel panic - not syncing: Fatal exception\r\n"
LAST_WORDS = b"[   77.100000] ---[ end Kernel panic - not syncing: Fatal exception ]---\r\n"


def fed(data: bytes, *, expected: str = "") -> DeathWatch:
    watch = DeathWatch(first_line=1)
    watch.expected = {expected}
    watch.feed(data)
    return watch


def test_a_panic_is_known_at_its_first_line() -> None:
    assert [death.kind for death in fed(PANIC).deaths] == ["panic"]


def test_a_board_that_restarts_unasked_has_died() -> None:
    assert [death.kind for death in fed(b"Booting Linux on physical CPU 0x0\r\n").deaths] == ["restart"]


def test_a_restart_is_nobodys_fault_as_long_as_nobody_knows_why() -> None:
    """A supply that gives way looks the same."""
    [death] = fed(b"Booting Linux on physical CPU 0x0\r\n").deaths
    assert death.fault == "INCONCLUSIVE"


def test_what_is_provoked_on_purpose_is_no_death() -> None:
    assert fed(PANIC, expected="panic").deaths == []


def garbage() -> bytes:
    return missampled((DATA / "raspi3b-healthy.log").read_bytes(), 0.5)


def test_a_console_that_cannot_be_read_is_a_death_of_the_labs() -> None:
    watch = fed(garbage())
    assert [(death.kind, death.fault) for death in watch.deaths] == [("console-garbage", "LAB")]
    assert [death.kind for death in watch.close()] == ["console-garbage"]
    assert watch.told_whole


def test_binary_output_that_is_expected_is_no_death() -> None:
    watch = fed(garbage(), expected="console-garbage")
    assert watch.deaths == []
    assert watch.close() == []


def test_whoever_gives_up_is_told_by_little_garbage_too() -> None:
    watch = fed(garbage()[:90])
    assert watch.deaths == []
    assert watch.garbage


def test_whoever_gives_up_on_text_is_told_nothing() -> None:
    assert fed(b"raspberrypi login: ").garbage is None


def test_a_trace_is_heard_until_its_last_words() -> None:
    watch, pieces = fed(PANIC), [b"[   77.01] CPU: 0 PID: 1\r\n", LAST_WORDS, b"never asked for"]
    waited: list[float] = []

    def listen(seconds: float) -> bool:
        waited.append(seconds)
        watch.feed(pieces.pop(0))
        return True

    hear_out(listen, over=lambda: watch.told_whole)
    assert pieces == [b"never asked for"]
    assert waited == [TRACE_QUIET_S] * 2


def test_a_trace_that_falls_silent_is_over() -> None:
    waited: list[float] = []
    hear_out(waited.append)
    assert waited == [TRACE_QUIET_S]
