"""What a run leaves behind says what the run was, whatever was on the console."""

import json
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.model import BootRecord, Verdict, VerdictName
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
    tests=(CaseRecord("tests_hw/test_boot.py::test_boots", "failed", 23.6, "stopped"),),
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


def test_a_summary_begins_with_the_verdict_and_ends_with_the_log() -> None:
    assert summary.lines(RECORD) == [
        "verdict: KERNEL: oops that nothing on the bench explains",
        "  | line 122: Unable to handle",
        "target: virtual-rpi3 (rpi-3-b), kernel 6.12.117-pi64 commit 0123456789ab-dirty (package linux-source-6.12)",
        "boot 1: firmware 0.1 s, kernel 0.3 s, login 23.6 s",
        "boot 2: kernel 0.4 s; stopped at stage kernel: 60 s without a byte",
        "full log: runs/1/console.log",
    ]


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
