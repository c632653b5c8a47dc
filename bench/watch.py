"""What it costs to watch a boot live, and how soon a panic is known; labgrid's own SerialDriver on a pty.

At the pty's other end a process of its own sends a recorded boot log at the pace of 115200 baud, 14 bytes at a time: as
a 16550 hands them on, which makes the most wake-ups that an adapter can. The processor time is this process's, threads
and kernel included; before the watch it is idle. A panic is known when the watch has ended; its clock starts when the
panic's line has been sent, and its trace, which comes after, counts.
"""

import os
import pty
import subprocess
import sys
import tempfile
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from _common import ROOT, Figure, main, median, repeats, say
from labgrid import Target
from labgrid.driver import SerialDriver
from labgrid.resource import RawSerialPort

from harness.console.recorder import Recorder
from harness.console.watcher import BootWatch
from harness.errors import LabError
from harness.model import Deadlines

CPU_LIMIT_PERCENT = 2.0
PANIC_LIMIT_S = 1.0
SECONDS = 10.0
BYTES_A_SECOND = 11_520
MARK = b"Kernel panic - not syncing"
DATA = ROOT / "tests_unit" / "data"
SENDER = f"""
import os, sys, time
line, data, at = int(sys.argv[1]), sys.stdin.buffer.read(), 0
panic = data.find({MARK!r}); panic = data.find(b"\\n", panic) if panic >= 0 else -1
began = time.monotonic()
while at < len(data):
    os.write(line, data[at : at + 14])
    if at <= panic < at + 14:
        print(time.monotonic(), flush=True)
    at += 14
    time.sleep(max(began + at / {BYTES_A_SECOND} - time.monotonic(), 0))
"""
"""Says on its standard output when the last byte of the panic's line went out, on the clock of all processes."""


def figures() -> Iterator[Figure]:
    """Watch a boot that goes on for ten seconds, then two panics: one that ends as it should, one that is cut off."""
    number = repeats(3)
    yield Figure("watch.115200_baud", median([_share(_healthy()) for _ in range(number)]), "%", CPU_LIMIT_PERCENT)
    for name, data in (("panic", _panic()), ("panic_cut_off", _cut_off())):
        times = [_known(data) for _ in range(number)]
        say(f"{name}: first seen after {median([seen for seen, _ in times]):.3f} s")
        yield Figure(f"watch.{name}_line_to_known", median([known for _, known in times]), "s", PANIC_LIMIT_S)


# --- what is sent ----------------------------------------------------------------------------------------------------
def _healthy() -> bytes:
    """Return ten seconds of a boot that does not end: the recorded one's middle, again and again."""
    banner, *lines = (DATA / "raspi3b-healthy.log").read_bytes().splitlines(keepends=True)
    middle = b"".join(line for line in lines if b"Linux version" not in line and b"login:" not in line)
    size = int(SECONDS * BYTES_A_SECOND)
    return (banner + middle * (size // len(middle) + 1))[:size]


def _panic() -> bytes:
    return (DATA / "raspi3b-no-root.log").read_bytes()


def _cut_off() -> bytes:
    """Return a panic whose trace stops in the middle, without its last words."""
    head, mark, tail = _panic().partition(MARK)
    return head + mark + tail[:700]


# --- how it is measured ----------------------------------------------------------------------------------------------
def _share(data: bytes) -> float:
    """Return the share of one core in percent that watching *data* takes."""
    with _watched(data) as (watch, sender):
        began, spent = time.monotonic(), time.process_time()
        with suppress(LabError):
            watch.run(progress=lambda _: _end_with(sender))
        seconds, used = time.monotonic() - began, time.process_time() - spent
    record = watch.record
    assert record.stages.keys() >= {"kernel", "rootfs", "init"}, record
    say(f"{used:.3f} s of processor time in {seconds:.1f} s")
    return 100 * used / seconds


def _known(data: bytes) -> tuple[float, float]:
    """Return the seconds from the panic's line to its first sight, and to the end of the watch."""
    seen: list[float] = []
    with _watched(data) as (watch, sender):
        record = watch.run(progress=lambda _: seen.append(time.monotonic()) if watch.fatal and not seen else None)
        known = time.monotonic()
        assert sender.stdout
        sent = float(sender.stdout.readline())
    assert record.last_stage == "kernel", record
    assert record.findings[-1].severity == "fatal", record
    return seen[0] - sent, known - sent


def _end_with(sender: "subprocess.Popen[bytes]") -> None:
    """End a watch that would go on for ever."""
    if sender.poll() is not None:
        raise LabError("all has been sent")


@contextmanager
def _watched(data: bytes) -> Iterator[tuple[BootWatch, "subprocess.Popen[bytes]"]]:
    """Yield a watch whose recorder listens to a line on which *data* is about to be sent, and the sender."""
    ours, port = pty.openpty()
    tty.setraw(port)
    target = Target("bench")
    RawSerialPort(target, name=None, port=os.ttyname(port))
    driver = SerialDriver(target, name=None)
    target.activate(driver)
    try:
        with tempfile.TemporaryDirectory() as folder, Recorder(driver, Path(folder)) as recorder:
            watch = BootWatch(recorder, Deadlines(), position=0, started=0.0)
            with _sender(ours, data) as sender:
                yield watch, sender
            assert recorder.log.read_bytes() == data, "bytes were lost"
    finally:
        target.deactivate(driver)
        os.close(ours)
        os.close(port)


@contextmanager
def _sender(line: int, data: bytes) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-c", SENDER, str(line)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, pass_fds=[line]) as sender:
        assert sender.stdin
        sender.stdin.write(data)
        sender.stdin.close()
        try:
            yield sender
        finally:
            sender.kill()


if __name__ == "__main__":
    main(figures())
