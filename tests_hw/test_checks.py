"""Every file of harness/checks is one question to the running kernel; who it is has been asked in test_boot.py."""

from collections.abc import Callable

from harness.checks import Check


def test_check(check: Check, ask: Callable[[Check], None]) -> None:
    ask(check)
