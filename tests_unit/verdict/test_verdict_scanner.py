"""Reading line by line and reading in chunks is the same thing, for any log."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.verdict.classify import classify, read
from harness.verdict.findings import Scanner, scan
from harness.verdict.lines import clean, payload, split
from harness.verdict.rules import ROWS
from harness.verdict.sieve import Row

LINES = st.lists(
    st.one_of(
        st.sampled_from([row.example for row in ROWS]),
        st.sampled_from([
            "Call trace:", " foo+0x10/0x20 [bar]", "---[ end trace 0000000000000000 ]---", "pc : foo+0x1/0x2", "hello",
            "[    0.000000] Booting Linux on physical CPU 0x0", "MESS:00:00:08.746506:0:[    0.000000] Booting Linux",
            "------------[ cut here ]------------", "x0 : 0000000000000000", "", "raspberrypi login: ",
            "Rebooting in 1 seconds..",
        ]),
        st.text(max_size=40).map(lambda text: re.sub(r"[\r\n]", "", text).rstrip()),
    ),
    max_size=60,
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(LINES, st.integers(1, 20))
def test_chunks_and_single_lines_give_the_same_findings(lines: list[str], size: int) -> None:
    single, chunked = Scanner(), Scanner()
    one = [found for line in lines for found in single.feed(line)] + single.close()
    many = [
        it for at in range(0, len(lines), size) for it in chunked.feed_many(lines[at : at + size])
    ] + chunked.close()
    assert one == many


@settings(max_examples=60, deadline=None)
@given(LINES)
def test_findings_do_not_overlap_and_quote_their_lines(lines: list[str]) -> None:
    after = 0
    for found in scan(lines):
        assert after < found.first_line <= found.last_line <= len(lines)
        assert list(found.text) == [clean(line) for line in lines[found.first_line - 1 : found.last_line]]
        after = found.last_line


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=8))
def test_any_bytes_can_be_classified(blocks: list[bytes]) -> None:
    assert classify(split(blocks), "noise")["file"] == "noise"


@given(st.binary(max_size=300), st.integers(1, 50))
def test_lines_do_not_depend_on_where_blocks_end(data: bytes, size: int) -> None:
    blocks = [data[at : at + size] for at in range(0, len(data), size)]
    whole = data.decode("utf-8", "replace").split("\n")
    assert list(split(blocks)) == (whole if whole[-1] else whole[:-1])


def test_a_log_without_a_kernel_is_nobodys_crash() -> None:
    for text in ("", "hello\n", "BUG: my program\nCall trace:\n foo\nCall trace:\n", "-bash: ./a: Exec format error"):
        result = classify(text.splitlines(), "log")
        assert (result["verdict"], result["findings"], result["boots"]) == ("INCONCLUSIVE", [], 0)


NO_KERNEL = {
    "a program in C": """\
        starting worker 3
        BUG: queue not empty at worker.c:211
        panic: out of handles
        WARNING: CPU: usage above 90 %
        Unable to handle request: I/O error
        INFO: task backup blocked for more than expected
        INFO: task sync blocked for more than 120 seconds
        ==12345== Invalid read of size 4
        ==12345==ERROR: AddressSanitizer: heap-use-after-free on address 0x602000000010
        Segmentation fault (core dumped)
        Call Trace:
        #0 0x4005f4 in main a.c:12
        """,
    "FreeBSD": """\
        FreeBSD 14.0-RELEASE #0 releng/14.0-n265380-f9716eee8ab4: Fri Nov 10 05:57:23 UTC 2023
        panic: vm_fault: fault on nofault entry, addr: 0xfffffe0015c93000
        KDB: stack backtrace:
        db_trace_self_wrapper() at db_trace_self_wrapper+0x2b/frame 0xfffffe0011ad8810
        Uptime: 3s
        login:
        """,
    "NetBSD": """\
        [   1.0000000] NetBSD 10.0 (GENERIC64) #0: Thu Mar 28 08:33:33 UTC 2024
        [   1.0000030] panic: trap: address fault
        [   3.1415926] Mutex error: mutex_vector_enter,542: locking against myself
        """,
    "U-Boot": """\
        U-Boot 2024.01 (Jan 08 2024 - 15:37:48 +0000)
        MMC:   mmc@7e300000: 1
        Card did not respond to voltage select! : -110
        ** Unable to read file / **
        "Synchronous Abort" handler, esr 0x96000010
        Wrong Image Format for bootm command
        """,
    "a page about a kernel": """\
        <html><title>505 - BUG: scheduling while atomic</title>
        <p>On my board I see <b>BUG: scheduling while atomic: swapper/0</b> and then Call Trace:</p>
        <li>WARNING: CPU: 0 PID: 1 at kernel/foo.c &hellip; mmc0: error -110 whilst initialising SD card</li>
        </html>
        """,
    "a build": """\
        make[1]: Entering directory '/src'
        WARNING: modpost: missing MODULE_LICENSE() in a.o
        kernel/bug.c:12: warning: unused variable 'oops' [-Wunused-variable]
        Kernel: arch/arm64/boot/Image is ready
        """,
}


@pytest.mark.parametrize("name", NO_KERNEL)
@pytest.mark.parametrize("indent", ["", "        ", "12:00:01 "])
def test_what_is_no_kernels_log_is_no_crash_of_ours(name: str, indent: str) -> None:
    lines = [indent + line.strip() for line in NO_KERNEL[name].splitlines()]
    result = classify(lines, "log")
    assert (result["verdict"], result["findings"]) == ("INCONCLUSIVE", [])


def test_a_panic_is_a_kernel_even_without_banner_and_stamps() -> None:
    assert classify(["Kernel panic - not syncing: Fatal exception"], "log")["verdict"] == "KERNEL"


def test_the_firmware_can_refuse_without_any_kernel() -> None:
    line = "MESS:00:00:06.215373:0: dterror: Failed to load Device Tree file 'bcm2711-rpi-4-b.dtb'"
    result = classify([line], "log")
    assert (result["verdict"], result["last_stage"], result["boots"]) == ("DEPLOY", "firmware", 1)


def test_the_kernels_part_of_a_line_is_found_behind_all_prefixes() -> None:
    for line in (
        "[   12.345678] usb 1-1: new device",
        "<6>[   12.345678][   T1] usb 1-1: new device",
        "MESS:00:00:08.746506:0:[   12.345678] usb 1-1: new device",
        "raspberrypi login: [   12.345678][    C0] usb 1-1: new device",
    ):
        assert payload(line) == (12.345678, "usb 1-1: new device")
    for line in (
        "usb 1-1: new device",
        "<6>usb 1-1: new device",
        "[   T12] usb 1-1: new device",
        "[Mon Jul  1 12:00:00 2024] usb 1-1: new device",
        "Jul 01 12:00:00 raspberrypi kernel: usb 1-1: new device",
    ):
        assert payload(line) == (None, "usb 1-1: new device")


def test_escapes_do_not_hide_a_message() -> None:
    [found] = scan(["\x1b[0;1;31m[    5.000000] Kernel panic\x1b[0m - not syncing: Fatal exception\r"])
    assert found.kind == "panic"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.kind}: {row.literal}")
def test_no_row_is_slow_on_a_line_made_to_confuse_it(row: Row) -> None:
    lines = [f"{row.example} " * 99, row.literal * 500, f"{'a' * 1000}{row.literal}{'a' * 1000}", row.example[:-9] * 99]
    start = time.process_time()
    scan(lines)
    assert time.process_time() - start < 0.1


def test_findings_of_an_endless_log_are_bounded() -> None:
    kinds = [f"BUG: problem of sort {'abcdefghij'[n % 10]}{'klmnopqrst'[n // 10 % 10]}" for n in range(3000)]
    assert len(read(["[    1.000000] x", *kinds]).findings) <= 50
