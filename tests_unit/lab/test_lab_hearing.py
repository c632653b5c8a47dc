"""What the kernel says against itself outside of a boot's record is told once, and wholly."""

from pathlib import Path

import attrs

from harness.lab.hearing import Hearing
from harness.model import BootRecord
from harness.verdict.findings import scan

BOOT = "Booting Linux on physical CPU 0x0\nraspberrypi login: \n"
BUG = "[   40.000000] BUG: scheduling while atomic: swapper/0/0/0x00000002\n"
LATER = BUG.replace("40.0", "45.0")
TRACE = "[   40.000001] Call trace:\n[   40.000002]  foo+0x10/0x20\n"
GOOD = BootRecord("pi", {"kernel": 0.3, "login": 20.0}, True, "", (), Path("console.log"), 1)


class Recording:
    """As much of a recorder as is looked at."""

    def __init__(self) -> None:
        self.data = b""

    def say(self, text: str) -> "Recording":
        self.data += text.replace("\n", "\r\n").encode()
        return self

    @property
    def position(self) -> int:
        return len(self.data)

    def read(self, position: int, *, timeout: float, limit: int) -> bytes:
        return self.data[position : position + limit]

    def line_number(self, position: int) -> int:
        return self.data.count(b"\n", 0, position) + 1


def heard(*texts: str, boots: tuple[BootRecord, ...] = (GOOD,)) -> list[list[tuple[str, int]]]:
    """Return kind and line of what is told after each of *texts*."""
    hearing, recording = Hearing(), Recording()
    told = [hearing.complaints(recording.say(text), boots) for text in texts]  # type: ignore[arg-type]
    return [[(found.kind, found.first_line) for found in each] for each in told]


def test_a_complaint_is_told_once_with_its_line_in_the_log() -> None:
    assert heard(BOOT, BUG, "[   41.0] usb 1-1: new device\n") == [[], [("bug", 3)], []]


def test_a_trace_whose_lines_still_come_is_one_complaint() -> None:
    assert heard(BOOT, BUG, TRACE, TRACE, LATER) == [[], [("bug", 3)], [], [], [("bug", 8)]]


def test_a_line_that_came_in_two_parts_is_one_line() -> None:
    assert heard(BOOT + BUG[:15], BUG[15:]) == [[], [("bug", 3)]]


def test_what_a_boots_record_holds_is_not_told_again() -> None:
    boot = attrs.evolve(GOOD, findings=tuple(scan(["", BUG])))
    assert heard("Booting Linux on physical CPU 0x0\n" + BUG, LATER, boots=(boot,)) == [[], [("bug", 3)]]


def test_the_same_complaint_counts_in_each_test() -> None:
    assert heard(*[BUG.replace("40.0", f"4{second}.0") for second in range(9)]) == [[("bug", n)] for n in range(1, 10)]


def test_what_a_known_good_kernel_complains_about_is_not_told() -> None:
    control = attrs.evolve(GOOD, first_line=3, control=True)
    assert heard(BOOT, BOOT + BUG, BOOT + LATER + BOOT, boots=(GOOD, control)) == [[], [], []]


def test_the_output_of_a_command_is_not_the_kernels_word() -> None:
    assert heard("<17 0 9 3fa1|throttled=0x50005^|17>\n", "throttled=0x50005\n") == [[], [("throttled", 2)]]


def test_a_recording_that_has_ended_is_heard_to_its_end() -> None:
    hearing, recording = Hearing(), Recording().say(BOOT)
    hearing.complaints(recording, [GOOD])  # type: ignore[arg-type]
    recording.say(BUG)
    assert len(hearing.complaints(None, [GOOD])) == 1


def test_without_a_recording_nothing_is_heard() -> None:
    assert Hearing().complaints(None, []) == []
