"""What real kernels printed, and what it must be judged as."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.verdict.classify import classify, read
from harness.verdict.findings import scan
from harness.verdict.lines import clean, split
from harness.verdict.rules import ROWS

DATA = Path(__file__).parents[1] / "data"
EXPECTED = {  # log -> verdict, last stage, kinds of its findings
    "raspi3b-healthy": ("PASS", "login", []),
    "raspi3b-replayed-log": ("PASS", "login", []),
    "raspi3b-guest-reboot": ("INCONCLUSIVE", "init", []),
    "raspi3b-reboot-failed": ("KERNEL", "init", ["reboot-failed"]),
    "raspi3b-no-root": ("DEPLOY", "kernel", ["root-missing"]),
    "raspi4b-no-root": ("DEPLOY", "kernel", ["root-missing"]),
    "raspi3b-wrong-root": ("DEPLOY", "kernel", ["root-missing"]),
    "raspi3b-root-wait": ("KERNEL", "kernel", []),
    "raspi3b-unformatted-card": ("DEPLOY", "kernel", ["root-missing"]),
    "raspi3b-damaged-ext4": ("INCONCLUSIVE", "init", ["fs-error", "init-missing"]),
    "raspi3b-init-absent": ("DEPLOY", "init", ["init-missing"]),
    "raspi3b-init-not-a-program": ("KERNEL", "init", ["init-noexec"]),
    "raspi3b-init-exits": ("KERNEL", "init", ["init-killed"]),
    "raspi3b-module-warn": ("KERNEL", "login", ["warning", "warning"]),
    "raspi3b-module-oops": ("KERNEL", "init", ["oops", "init-killed"]),
    "raspi3b-module-bug": ("KERNEL", "init", ["oops", "init-killed"]),
    "raspi3b-module-trace": ("KERNEL", "login", ["call-trace"]),
    "raspi3b-module-panic": ("KERNEL", "init", ["panic"]),
    "raspi3b-oops-then-panic": ("KERNEL", "init", ["oops", "panic"]),
    "raspi3b-rcu-stall": ("KERNEL", "init", ["rcu-stall", "rcu-stall", "rcu-stall"]),
    "raspi3b-module-other-magic": ("DEPLOY", "login", ["module-mismatch"] * 2),
    "raspi3b-module-other-layout": ("DEPLOY", "login", ["module-mismatch"] * 2),
    "raspi3b-module-damaged": ("DEPLOY", "login", ["module-mismatch"] * 2),
    "raspi3b-module-unknown-symbol": ("DEPLOY", "login", ["module-mismatch"] * 4),
    "raspi3b-module-oops-again": ("KERNEL", "init", ["oops", "init-killed"]),
    "raspi3b-external-abort": ("KERNEL", "init", ["oops", "init-killed"]),
    "raspi3b-irq-ignored": ("KERNEL", "login", ["irq-ignored"]),
    "raspi3b-net-timeout": ("KERNEL", "login", ["net-timeout"] * 5),
    "raspi3b-oom": ("KERNEL", "login", ["out-of-memory"]),
    "raspi3b-card-pulled": ("LAB", "login", ["io-error", "mmc-error", "fs-error", "fs-error"]),
    "raspi3b-no-console": ("DEPLOY", "init", ["no-console"]),
    "raspi3b-futex": ("KERNEL", "init", ["futex", "init-killed"]),
    "raspi3b-exec-format": ("KERNEL", "init", ["exec-format"]),
    "raspi3b-modules-missing": ("DEPLOY", "init", ["modules-missing"]),
    "raspi3b-mount-failed": ("KERNEL", "login", ["mount-failed"]),
    "raspi3b-emergency": ("KERNEL", "init", ["mount-failed", "emergency"]),
    "raspi3b-kasan": ("KERNEL", "login", ["kasan", "kasan"]),
    "raspi3b-kasan-again": ("KERNEL", "login", ["kasan", "kasan"]),
    "raspi3b-bug": ("KERNEL", "login", ["bug"]),
    "raspi3b-soft-lockup": ("KERNEL", "login", ["soft-lockup", "soft-lockup"]),
    "raspi3b-hard-lockup": (
        "KERNEL",
        "login",
        ["hard-lockup", "hard-lockup", "mmc-error", "soft-lockup", "warning"],
    ),
    "raspi3b-hung-task": ("KERNEL", "login", ["hung-task"] * 5),
    "raspi3b-kfence": ("KERNEL", "login", ["kfence"]),
    "raspi3b-lockdep": ("KERNEL", "login", ["lockdep"]),
    "raspi3b-ubsan": ("KERNEL", "login", ["ubsan"]),
    "raspi3b-overheated": ("INCONCLUSIVE", "init", ["overheated"]),
    "raspi3b-sdio-error": ("PASS", "login", []),
    "raspi3b-nfs-root": ("INCONCLUSIVE", "init", ["nfs-root", "init-missing"]),
    "raspi3b-nfs-silent": ("INCONCLUSIVE", "init", ["nfs-silent"]),
    "raspi3b-no-address": ("INCONCLUSIVE", "kernel", ["no-address"]),
    "raspi3b-under-voltage": ("LAB", "login", ["under-voltage"]),
    "virtual-rpi3-debian": ("PASS", "login", []),
    "virtual-rpi3-no-kernel": ("DEPLOY", "firmware", ["dterror", "firmware-refused"]),
}
NOT_RECORDED = {  # kind -> why nothing here can produce it
    "card-unreadable": "the EEPROM of a Pi 4 says it; QEMU runs none",
    "throttled": "vcgencmd prints what the VideoCore answers; QEMU has none. The kernel: see under-voltage",
    "wifi-firmware": "brcmfmac says it of a crashed Wi-Fi chip; QEMU has none",
}


def recorded(name: str) -> list[str]:
    return list(split([(DATA / f"{name}.log").read_bytes()]))


def problems(lines: list[str]) -> list[tuple[str, str]]:
    return [(found.kind, found.signature) for found in read(lines).findings]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_recorded_log_gets_its_verdict(name: str) -> None:
    result = classify(recorded(name), name)
    kinds = [found["kind"] for found in result["findings"] if found["severity"] != "info"]
    assert (result["verdict"], result["last_stage"], kinds) == EXPECTED[name]
    assert result["boots"] == 1


def test_every_recorded_log_has_an_expectation() -> None:
    assert {path.stem for path in DATA.glob("*.log")} == set(EXPECTED)


def test_every_recorded_log_is_small_and_says_how_it_was_made() -> None:
    readme = (DATA / "README.md").read_text()
    for path in DATA.glob("*.log"):
        assert path.stat().st_size < 60_000
        assert re.search(rf"^\| .*\b{path.stem}\b.* \|", readme, re.MULTILINE), path.stem


def test_every_kind_of_finding_was_heard_from_a_real_kernel() -> None:
    heard = {kind for name in EXPECTED for kind, _ in problems(recorded(name))}
    assert {row.kind for row in ROWS} - heard == set(NOT_RECORDED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_finding_quotes_the_lines_it_names(name: str) -> None:
    lines = [clean(line) for line in recorded(name)]
    for found in read(lines).findings:
        assert list(found.text) == lines[found.first_line - 1 : found.last_line]


# --- one problem is one finding, whatever the console does to its lines ----------------------------------------------
STAMP = re.compile(r"^\[ *\d+\.\d{6}\](?:\[ *[TC]\d+\])? ")
END_MARKER = re.compile(r"---\[ end |Rebooting in |={30,}")
FOREIGN = "[  OK  ] Started ssh.service - OpenBSD Secure Shell server."


def _stamped(change: Callable[[str, str], str]) -> Callable[[list[str]], list[str]]:
    """Return what changes each line of the kernel: *change* gets its stamp and its text."""
    return lambda lines: [
        change(stamp[0], line[stamp.end() :]) if (stamp := STAMP.match(line)) else line for line in lines
    ]


# fmt: off
CHANGES: dict[str, Callable[[list[str]], list[str]]] = {
    "no time stamps": _stamped(lambda _, text: text),
    "caller ids": _stamped(lambda stamp, text: f"{stamp.partition(']')[0]}][   T61] {text}"),
    "no caller ids": _stamped(lambda stamp, text: f"{stamp.partition(']')[0]}] {text}"),
    "caller ids, no time stamps": _stamped(lambda _, text: f"[   C1] {text}"),
    "<4>": _stamped(lambda stamp, text: f"<4>{stamp}{text}"),
    "<28>, no time stamps": _stamped(lambda _, text: f"<28>{text}"),
    "as journalctl prints it": _stamped(lambda _, text: f"Nov 22 10:00:00 raspberrypi kernel: {text}"),
    "as dmesg -T prints it": _stamped(lambda _, text: f"[Sun Nov 22 10:00:00 2026] {text}"),
    "over a prompt": _stamped(lambda stamp, text: f"pi@raspberrypi:~$ {stamp}{text}"),
    "behind the firmware's last words": _stamped(lambda stamp, text: f"MESS:00:00:08.746506:0:{stamp}{text}"),
    "in colour": _stamped(lambda stamp, text: f"\x1b[32m{stamp}\x1b[0m\x1b[1m{text}\x1b[0m"),
    "no carriage returns": lambda lines: [line.rstrip("\r") for line in lines],
    "two carriage returns": lambda lines: [f"{line}\r\r" for line in lines],
    "other lines inside": lambda lines: [extra for line in lines for extra in (line, FOREIGN, "")],
    "many other lines inside": lambda lines: [
        extra for number, line in enumerate(lines) for extra in (line, *[FOREIGN] * (7 * (number % 9 == 0)))
    ],
    "no end markers": lambda lines: [line for line in lines if not END_MARKER.search(line)],
}
# fmt: on


@pytest.mark.parametrize("name", EXPECTED)
def test_a_problem_is_the_same_whatever_happens_to_its_lines(name: str) -> None:
    lines = recorded(name)
    assert {change: problems(do(lines)) for change, do in CHANGES.items()} == dict.fromkeys(CHANGES, problems(lines))


@pytest.mark.parametrize("again", [name for name in EXPECTED if name.endswith("-again")])
def test_a_problem_is_recognised_in_another_run(again: str) -> None:
    one, two = (
        sorted(found.signature for found in read(recorded(name)).findings if found.severity != "info")
        for name in (again.removesuffix("-again"), again)
    )
    assert one == two


@pytest.mark.parametrize("name", EXPECTED)
def test_a_problem_cut_off_by_a_reset_is_one_finding(name: str) -> None:
    lines, next_boot = recorded(name), recorded("raspi3b-healthy")[:20]
    found = read(lines).findings
    for one in found:
        for end in {one.first_line, one.first_line + 2, (one.first_line + one.last_line) // 2, one.last_line - 1}:
            begun = [before.kind for before in found if before.first_line <= end]
            assert [kind for kind, _ in problems(lines[:end] + next_boot)] == begun


def test_a_trace_cut_off_by_a_reset_is_one_finding_and_the_next_boot_is_another() -> None:
    lines = recorded("raspi3b-module-oops")
    headline = next(number for number, line in enumerate(lines) if "Unable to handle" in line)
    result = classify(lines[: headline + 9] + recorded("raspi3b-healthy"), "log")
    assert [(found["kind"], found["boot"]) for found in result["findings"]] == [("oops", 1)]
    assert (result["boots"], result["last_stage"], result["verdict"]) == (2, "login", "KERNEL")


def test_a_boot_loop_is_counted() -> None:
    result = classify(recorded("raspi3b-module-panic") * 5, "log")
    assert result["boots"] == 5
    assert [found["boot"] for found in result["findings"]] == [1, 2, 3, 4, 5]


def test_an_oops_names_the_function_it_happened_in() -> None:
    oops = scan(recorded("raspi3b-module-oops"))[0]
    assert oops.message.endswith("at virtual address 0000000000000018 (in pi64_null [pi64_fault])")


@pytest.mark.parametrize("last", ["Linux version", "VFS: Mounted root", "login:"])
def test_a_log_that_ends_before_its_login_accuses_nobody(last: str) -> None:
    """It may be that nobody listened any longer."""
    lines = recorded("raspi3b-healthy")
    end = next(number for number, line in enumerate(lines) if last in line)
    assert classify(lines[:end], "log")["verdict"] == "INCONCLUSIVE"


def healthy() -> list[str]:
    """Return a log up to its login prompt, over which the real one was switched off."""
    lines = recorded("raspi3b-healthy")
    end = next(number for number, line in enumerate(lines) if "login:" in line)
    return [*lines[:end], "raspberrypi login: "]


@pytest.mark.parametrize(
    ("verdict", "between"), [("INCONCLUSIVE", ""), ("PASS", "[   99.000000] reboot: Restarting system")]
)
def test_a_system_that_begins_again_without_a_word_is_no_pass(verdict: str, between: str) -> None:
    assert classify([*healthy(), between, *healthy()], "log")["verdict"] == verdict


def test_a_system_that_begins_again_after_a_panic_needs_no_other_reason() -> None:
    panic = "[   99.000000] Kernel panic - not syncing: sysrq triggered crash"
    found = classify([*healthy(), panic, *healthy()], "log")["findings"]
    assert [one["kind"] for one in found if one["severity"] == "fatal"] == ["panic"]


@pytest.mark.parametrize(("verdict", "times"), [("INCONCLUSIVE", 1), ("KERNEL", 3)])
def test_boots_that_stop_and_begin_again_are_a_loop_from_the_third_on(verdict: str, times: int) -> None:
    """Once or twice somebody may have switched the board off and on."""
    assert classify([*healthy()[:20] * times, *healthy()], "log")["verdict"] == verdict


EARLY = "[    0.000000] printk: legacy bootconsole [pl11] enabled"
SCREEN = "[    0.000000] printk: legacy console [tty1] enabled"
PORT = "[    0.000000] printk: legacy console [ttyAMA0] enabled"


@pytest.mark.parametrize(
    ("verdict", "consoles"),
    [("DEPLOY", [EARLY]), ("DEPLOY", [EARLY, SCREEN]), ("INCONCLUSIVE", [EARLY, PORT]), ("INCONCLUSIVE", [])],
)
def test_a_boot_that_only_an_early_console_told_of_has_no_console(verdict: str, consoles: list[str]) -> None:
    lines = [line for line in healthy()[:-1] if "console [" not in line]
    assert classify([*lines[:2], *consoles, *lines[2:]], "log")["verdict"] == verdict


def test_under_voltage_makes_a_crash_inconclusive() -> None:
    lines = recorded("raspi3b-module-oops")
    lines.insert(80, "[    1.500000] hwmon hwmon1: Undervoltage detected!")
    assert classify(lines, "log")["verdict"] == "INCONCLUSIVE"


def test_a_card_that_answers_late_does_not_explain_a_warning() -> None:
    lines = recorded("raspi3b-module-warn")
    lines.insert(80, "[    1.500000] mmc0: error -110 whilst initialising SD card")
    assert classify(lines, "log")["verdict"] == "KERNEL"


def test_a_card_that_does_not_answer_explains_a_missing_root() -> None:
    lines = recorded("raspi3b-root-wait")
    lines.insert(-1, "[    1.500000] mmc0: error -110 whilst initialising SD card")
    assert classify(lines, "log")["verdict"] == "INCONCLUSIVE"


def test_dmesg_typed_after_login_is_no_second_boot_and_no_second_finding() -> None:
    boot = recorded("raspi3b-module-warn")
    result = classify([*boot, "root@raspberrypi:~# dmesg", *boot[:190], "root@raspberrypi:~# "], "log")
    assert result["boots"] == 1
    assert [found["kind"] for found in result["findings"] if found["severity"] != "info"] == ["warning", "warning"]
