"""What real kernels printed, and what it must be judged as."""

from pathlib import Path

import pytest

from harness.verdict.classify import classify, read
from harness.verdict.findings import scan
from harness.verdict.lines import split

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
}


def recorded(name: str) -> list[str]:
    return list(split([(DATA / f"{name}.log").read_bytes()]))


@pytest.mark.parametrize("name", EXPECTED)
def test_a_recorded_log_gets_its_verdict(name: str) -> None:
    result = classify(recorded(name), name)
    kinds = [found["kind"] for found in result["findings"] if found["severity"] != "info"]
    assert (result["verdict"], result["last_stage"], kinds) == EXPECTED[name]
    assert result["boots"] == 1


def test_every_recorded_log_has_an_expectation() -> None:
    assert {path.stem for path in DATA.glob("raspi?b-*.log")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_finding_quotes_the_lines_it_names(name: str) -> None:
    lines = [line.rstrip() for line in recorded(name)]
    for found in read(lines).findings:
        assert list(found.text) == lines[found.first_line - 1 : found.last_line]


@pytest.mark.parametrize("name", ["raspi3b-module-oops", "raspi3b-module-warn", "raspi3b-rcu-stall"])
def test_a_trace_is_found_without_time_stamps(name: str) -> None:
    bare = [line.partition("] ")[2] if line.startswith("[") else line for line in recorded(name)]
    assert [found.signature for found in scan(bare)] == [found.signature for found in scan(recorded(name))]


@pytest.mark.parametrize("prefix", ["<4>", "<28>"])
def test_a_trace_is_found_with_levels_and_caller_ids(prefix: str) -> None:
    plain = recorded("raspi3b-module-oops")
    noisy = [prefix + line.replace("] ", "][   T1] ", 1) if line.startswith("[") else line for line in plain]
    assert [found.signature for found in scan(noisy)] == [found.signature for found in scan(plain)]


def test_a_trace_with_other_lines_inside_is_one_finding() -> None:
    plain = recorded("raspi3b-module-oops")
    noisy = [extra for line in plain for extra in (line, "[  OK  ] Started ssh.service - OpenBSD Secure Shell server.")]
    assert [found.signature for found in scan(noisy)] == [found.signature for found in scan(plain)]


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


def test_a_hang_after_the_first_lines_is_the_kernels() -> None:
    result = classify(recorded("raspi3b-healthy")[:20], "log")
    assert (result["verdict"], result["last_stage"]) == ("KERNEL", "kernel")


def test_a_log_that_ends_before_its_login_accuses_nobody() -> None:
    lines = recorded("raspi3b-healthy")
    end = next(number for number, line in enumerate(lines) if "login:" in line)
    assert classify(lines[:end], "log")["verdict"] == "INCONCLUSIVE"


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
