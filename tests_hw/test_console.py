"""What the kernel lets onto its console."""

import time

from harness.console.recorder import Recorder
from harness.console.shell import Shell

# The sums keep both words out of the command itself, wherever that is echoed; the number is one that no run before had,
# for the log keeps what it said. What is to be heard is said three times: a serial line loses bytes.
SAY = (
    "dmesg -n 1; echo '<6>pi64: hushed'$((N+1)) >/dev/kmsg; dmesg -n 8;"
    " for i in 1 2 3; do echo '<6>pi64: heard'$((N+1)) >/dev/kmsg; done"
)
SHOWN_S = 10.0  # a console thread prints when it is its turn


def test_the_log_level_silences_the_console_and_gives_it_back(shell: Shell) -> None:
    """At level 1 only what ends the world comes through, at 8 all; what was not shown is in the kernel's log."""
    recorder = shell.console.recorder
    level, begin = shell.check("cut -f1 /proc/sys/kernel/printk"), recorder.position
    number = time.monotonic_ns() % 10**9
    heard, hushed = f"heard{number + 1}", f"hushed{number + 1}"
    try:
        shell.check(f'sudo sh -c "{SAY.replace("N", str(number))}"')
        said = _read_until(recorder, begin, heard.encode())
    finally:
        logged = shell.check(
            f"sudo sh -c 'dmesg -n {level}; cut -f1 /proc/sys/kernel/printk; dmesg | grep -c {hushed}'"
        )
    assert heard.encode() in said
    assert hushed.encode() not in said
    assert logged.split() == [level, "1"]


def _read_until(recorder: Recorder, begin: int, wanted: bytes) -> bytes:
    """Return what came since *begin*, as far as the line with *wanted*, or within the time that is given to it."""
    said, deadline = b"", time.monotonic() + SHOWN_S
    while wanted not in said and time.monotonic() < deadline:
        said += recorder.read(begin + len(said), timeout=0.5)
    return said
