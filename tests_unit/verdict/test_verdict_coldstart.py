"""A kernel that is older than its power was never cut off from it."""

import pytest

from harness.verdict.coldstart import outlived


@pytest.mark.parametrize(
    ("expected", "seconds", "line"),
    [
        (True, 2.0, "[   77.000000] usb 1-1: new high-speed USB device"),
        (True, 30.0, "[12345.678901] systemd[1]: Started Session 3"),
        (False, 0.2, "[   77.000000] usb 1-1: waited in the adapter since before the power was cut"),
        (False, 2.0, "[    1.500000] usb 1-1: new high-speed USB device"),
        (False, 30.0, "[   32.000000] a clock that is a little fast"),
        (False, 2.0, "raspberrypi login: "),
        (False, 2.0, ""),
    ],
)
def test_only_a_kernels_own_clock_proves_that_the_power_was_not_cut(expected: bool, seconds: float, line: str) -> None:
    assert (outlived([(0.1, "hello"), (seconds, line)]) is not None) is expected


def test_the_proof_names_its_line_and_both_clocks() -> None:
    found = outlived([(0.1, "x"), (2.0, "[   77.000000] usb 1-1: new device")], first_line=40)
    assert found is not None
    assert (found.kind, found.fault, found.severity, found.first_line) == ("power-not-cut", "LAB", "fatal", 41)
    assert "77 s, 2 s after the cold start" in found.message
