"""What a run leaves behind says what the run was, whatever was on the console."""

import json
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.model import AttemptRecord, BootRecord, Verdict, VerdictName
from harness.report import junit, summary
from harness.report.record import CaseRecord, RunRecord, from_json, to_json
from harness.report.redact import printable, redact
from harness.verdict.findings import finding

OOPS = finding(
    "oops", "Unable to handle kernel NULL", fault="KERNEL", first_line=122, last_line=123, text=("a", "b\x1b[0m")
)
BOOTS = (
    BootRecord("virtual-rpi3", {"firmware": 0.1, "kernel": 0.3, "login": 23.6}, True, "", (), Path("console.log"), 1),
    BootRecord(
        "virtual-rpi3", {"kernel": 0.4}, False, "60 s without a byte", (OOPS,), Path("console.log"), 130, ("x",)
    ),
)
RECORD = RunRecord(
    run_id="2026-07-01T120000-virtual-rpi3",
    target="virtual-rpi3",
    started="2026-07-01T12:00:00Z",
    finished="2026-07-01T12:01:00Z",
    board="rpi-3-b",
    host="bench",
    argv=("pytest", "tests_hw"),
    source="package linux-source-6.12",
    commit="0123456789abcdef",
    dirty=True,
    release="6.12.117-pi64",
    boots=BOOTS,
    findings=(OOPS,),
    tests=(CaseRecord("tests_hw/test_boot.py::test_boots", "failed", 23.6, "stopped", attempt=2),),
    attempts=(
        AttemptRecord("test_boots", 1, VerdictName.LAB, "the bench failed", ("gone",), 1, 1, True, (OOPS,)),
        AttemptRecord("test_boots", 2, VerdictName.KERNEL, "oops", (), 2, 2),
    ),
    verdict=Verdict(VerdictName.KERNEL, "oops that nothing on the bench explains", ("line 122: Unable to handle",)),
    console_log="runs/1/console.log",
)


def test_a_record_survives_json() -> None:
    assert from_json(to_json(RECORD)) == RECORD


def test_a_record_of_a_run_that_just_began_survives_json() -> None:
    record = RunRecord("1", "virtual-rpi3", "2026-07-01T12:00:00Z")
    assert from_json(to_json(record)) == record


def test_unknown_keys_are_kept() -> None:
    data = json.loads(to_json(RECORD))
    data["power_watts"] = [3.1, 3.2]
    data["boots"][0]["colour"] = "green"
    record = from_json(json.dumps(data))
    assert record.extra == {"power_watts": [3.1, 3.2]}
    assert json.loads(to_json(record))["power_watts"] == [3.1, 3.2]
    assert record.boots == RECORD.boots


def test_missing_keys_get_their_defaults() -> None:
    assert from_json('{"run_id": "1"}') == RunRecord("1", "", "")


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("", "not JSON"),
        ('{"run_id": "1", ', "not JSON"),
        ("[]", "not the record of a run"),
        ("{}", "not the record of a run"),
        ('{"run_id": "1", "schema": 99}', "schema 99"),
        ('{"run_id": "1", "boots": [{"target": "x"}]}', "damaged record"),
        ('{"run_id": "1", "verdict": {"name": "GREEN", "rule": ""}}', "damaged record"),
    ],
)
def test_what_is_no_record_is_refused_by_name(text: str, fact: str) -> None:
    with pytest.raises(UsageError, match=f"^runs/1/run.json: {fact}"):
        from_json(text, name="runs/1/run.json")


@given(st.text())
def test_any_text_survives_in_a_record(text: str) -> None:
    record = attrs.evolve(RECORD, tests=(CaseRecord("a", "failed", 0.0, text),))
    assert from_json(to_json(record)) == record


def test_junit_properties_tell_identity_and_stage_seconds() -> None:
    properties = dict(junit.properties(RECORD))
    assert properties["board"] == "rpi-3-b"
    assert properties["commit"] == "0123456789abcdef-dirty"
    assert properties["release"] == "6.12.117-pi64"
    assert properties["verdict"] == "KERNEL"
    assert properties["boot_seconds.login"] == "23.600"
    assert properties["boot_2_seconds.kernel"] == "0.400"
    assert properties["attempt_1"] == "test_boots: LAB: the bench failed"


def test_a_summary_begins_with_the_verdict_and_ends_with_the_log() -> None:
    assert summary.lines(RECORD) == [
        "verdict: KERNEL: oops that nothing on the bench explains",
        "  | line 122: Unable to handle",
        "target: virtual-rpi3 (rpi-3-b), kernel 6.12.117-pi64 commit 0123456789ab-dirty (package linux-source-6.12)",
        "boot 1 (set aside): firmware 0.1 s, kernel 0.3 s, login 23.6 s",
        "retried: test_boots: attempt 1 was LAB: the bench failed",
        "boot 2: kernel 0.4 s; stopped at stage kernel: 60 s without a byte",
        "full log: runs/1/console.log",
    ]


def test_a_board_that_is_still_on_is_said_before_all_else() -> None:
    first = summary.lines(attrs.evolve(RECORD, still_on="HTTP status 503"))[0]
    assert first == "!!! the board is still ON: it could not be switched off: HTTP status 503"


def test_a_control_boot_is_no_boot_of_the_kernel_under_test_and_what_the_card_holds_is_told() -> None:
    control = attrs.evolve(BOOTS[0], control=True, release="6.12-good")
    record = attrs.evolve(RECORD, boots=(BOOTS[1], control), attempts=(), left_on_card="6.12-good")
    lines = summary.lines(record)
    assert "control boot (6.12-good): firmware 0.1 s, kernel 0.3 s, login 23.6 s" in lines
    assert "the card now holds the known-good kernel 6.12-good, not the one under test" in lines
    assert dict(junit.properties(record))["control_boot_seconds.login"] == "23.600"


def test_an_attempt_that_booted_nothing_has_its_line_too() -> None:
    attempt = attrs.evolve(RECORD.attempts[0], first_boot=0, last_boot=0)
    lines = summary.lines(attrs.evolve(RECORD, attempts=(attempt,)))
    assert "retried: test_boots: attempt 1 was LAB: the bench failed" in lines
    assert not any("set aside" in line for line in lines)


def test_a_record_from_before_there_were_attempts_loads() -> None:
    data = json.loads(to_json(RECORD))
    for key in ("attempts", "still_on", "left_on_card"):
        del data[key]
    del data["tests"][0]["attempt"]
    for boot in data["boots"]:
        del boot["control"], boot["release"]
    record = from_json(json.dumps(data))
    assert (record.attempts, record.tests[0].attempt, record.boots) == ((), 1, BOOTS)


def test_nothing_from_the_console_reaches_the_terminal_as_a_command() -> None:
    verdict = Verdict(VerdictName.KERNEL, "oops", ("\x1b]0;owned\x07\x1b[2J", "two\nlines", "\u202ereversed"))
    text = "\n".join(summary.lines(attrs.evolve(RECORD, verdict=verdict)))
    assert all(char.isprintable() or char == "\n" for char in text)
    assert r"\x1b]0;owned\x07" in text


@given(st.text(st.characters()))
def test_printable_text_has_no_controls_and_is_stable(text: str) -> None:
    safe = printable(text)
    assert not any((ord(char) < 32 and char not in "\t\n") or 0x7F <= ord(char) < 0xA0 for char in safe)
    assert printable(safe) == safe


def test_printable_spells_out_lone_surrogates() -> None:
    assert printable("a\udcffb") == r"a\udcffb"


def test_secrets_are_hidden_the_longest_first() -> None:
    assert redact("pw=raspberry pi=rasp", ["rasp", "raspberry", ""]) == "pw=*** pi=***"
    assert redact("a.c abc", ["a.c"]) == "*** abc"


def test_a_secret_is_hidden_wherever_it_stands() -> None:
    """A line that lost its newline glues what was typed to what came next."""
    assert redact("xhunter2Login incorrect", ["hunter2"]) == "x***Login incorrect"


@pytest.mark.parametrize("word", ["raspberry", "pi", "1234"])
def test_what_everybody_knows_and_what_is_too_short_is_hidden_as_a_word_of_its_own_only(word: str) -> None:
    assert redact(f"a{word}b {word}pi [ 0.{word}56]", [word]) == f"a{word}b {word}pi [ 0.{word}56]"
    assert redact(f"pw={word} ({word})", [word]) == "pw=*** (***)"
