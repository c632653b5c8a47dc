"""A run's page: the verdict first, every line of the console with a name, nothing hostile in it."""

import re
import resource
from itertools import pairwise
from pathlib import Path

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_samples import DATA, FORBIDDEN, GOOD, MEASURED, OOPS, RECORD, RETRIED, failed, page, recorded, with_case

from harness.model import BootRecord, Verdict, VerdictName
from harness.report import console, overview, run_page, style
from harness.report.material import Material, mapping
from harness.report.page import POLICY
from harness.report.record import CaseRecord, RunRecord
from harness.report.redact import UNSAFE, printable
from harness.verdict.findings import finding

LOGS = sorted(path.stem for path in DATA.glob("*.log"))
TEXT = st.text(st.characters(codec=None), max_size=60)


# --- the shell of a page ---------------------------------------------------------------------------------------------
def test_a_page_loads_nothing_and_runs_nothing() -> None:
    told = page(recorded("raspi3b-module-oops"))
    assert not told.names.intersection(FORBIDDEN)
    assert {href for href in told.hrefs if not href.startswith(("#", "data:"))} == {"console.log"}
    assert not [name for _, attributes in told.tags for name in attributes if name.startswith("on") or name == "style"]
    policy = next(attributes for tag, attributes in told.tags if tag == "meta" and "http-equiv" in attributes)
    assert policy["content"] == POLICY
    assert "default-src 'none'" in POLICY
    assert "unsafe" not in POLICY
    assert not re.search(r"url\(|@import|https?:", style.SHEET)


@pytest.mark.parametrize("log", LOGS)
def test_every_link_leads_somewhere_and_every_name_is_given_once(log: str) -> None:
    told = page(recorded(log))
    assert len(told.ids) == len(set(told.ids))
    assert {href[1:] for href in told.hrefs if href.startswith("#")} <= set(told.ids)


@pytest.mark.parametrize("log", LOGS)
def test_headings_are_in_order(log: str) -> None:
    levels = page(recorded(log)).headings
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_a_keyboard_gets_past_the_navigation_and_into_wide_tables() -> None:
    told = page(recorded("raspi3b-healthy"))
    first = next(attributes for tag, attributes in told.tags if tag == "a")
    assert first["href"] == "#main"
    wide = [attributes for _, attributes in told.tags if attributes.get("class") == "wide"]
    assert all(attributes["tabindex"] == "0" and attributes["aria-label"] for attributes in wide)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str, column: int) -> float:
    """As WCAG 2 has it."""
    pair = sorted(luminance(style.PALETTE[name][column]) for name in (one, other))
    return (pair[1] + 0.05) / (pair[0] + 0.05)


@pytest.mark.parametrize("column", [0, 1], ids=["light", "dark"])
def test_words_can_be_read_on_what_they_stand_on(column: int) -> None:
    words = [(word, paper) for word in style.WORDS for paper in style.PAPERS]
    words += [("badge", name) for name in (*style.BADGES, *style.BARS)]
    assert {pair: round(contrast(*pair, column), 2) for pair in words if contrast(*pair, column) < 4.5} == {}


@pytest.mark.parametrize("column", [0, 1], ids=["light", "dark"])
def test_bars_can_be_told_from_the_paper(column: int) -> None:
    assert all(contrast(name, "paper", column) >= 3 for name in style.BARS)


# --- what it says ----------------------------------------------------------------------------------------------------
def test_the_verdict_and_its_evidence_come_before_all_else() -> None:
    material = recorded("raspi3b-module-oops")
    verdict = material.record.verdict
    said = page(material).text
    order = [said.index(part) for part in (f"{verdict.name}{verdict.rule}", verdict.evidence[0], "Boots", "Console")]
    assert order == sorted(order)


def test_evidence_leads_to_its_line() -> None:
    html = run_page.render(recorded("raspi3b-module-oops"))
    line = re.search(r'class="evidence"><li><a href="#(L\d+)">line \d+</a>: Unable to handle kernel', html)
    assert re.search(rf'<div id="{line[1]}">.*?Unable to handle kernel', html)


def test_evidence_from_a_commands_output_leads_to_no_line_of_the_console() -> None:
    wrong = finding("wrong-kernel", "runs 6.1", fault="DEPLOY", first_line=1, text=("6.1",))
    verdict = Verdict(VerdictName.DEPLOY, "another kernel", ("line 1: runs 6.1",))
    html = run_page.render(Material(attrs.evolve(RECORD, findings=(wrong,), verdict=verdict), b"Booting Linux\n"))
    assert "<li>line 1: runs 6.1</li>" in html
    assert "in the answer to a command" in html


@pytest.mark.parametrize("log", LOGS)
def test_each_finding_is_marked_on_the_console_above_its_line(log: str) -> None:
    material = recorded(log)
    html = run_page.render(material)
    for _, found in overview.findings(material.record):
        if found.text:
            number = found.first_line
            assert re.search(
                rf'<p class="mark (bad|note)">(?:(?!<div id).)*<div class="log[^"]*"><div id="L{number}">', html
            )


@pytest.mark.parametrize("log", LOGS)
def test_the_console_is_whole(log: str) -> None:
    material = recorded(log)
    ids = page(material).ids
    count = len(material.console.removesuffix(b"\n").split(b"\n"))
    assert [name for name in ids if re.fullmatch(r"L\d+", name)] == [f"L{number}" for number in range(1, count + 1)]


def test_a_very_long_console_is_whole_too_and_names_its_folded_lines_by_the_hundred() -> None:
    count = console.MANY + 1000
    log = b"".join(b"line number %d.\r\n" % number for number in range(1, count + 1))
    oops = attrs.evolve(OOPS, first_line=30_000, last_line=30_003, text=("line number 30000.",))
    told = page(Material(attrs.evolve(RECORD, findings=(oops,)), log))
    assert [int(number) for number in re.findall(r"line number (\d+)\.", told.text)] == list(range(1, count + 1))
    assert {"L30000", "L30001", f"L{count}"} <= set(told.ids)
    assert len(told.ids) < count / 50


def test_a_line_without_end_is_folded_and_whole() -> None:
    log = b"x" * 10_000
    html = run_page.render(Material(RECORD, log))
    assert "8000 more characters" in html
    assert page(Material(RECORD, log)).text.count("x" * 8000) == 1


def test_lines_have_their_seconds() -> None:
    html = run_page.render(recorded("raspi3b-module-oops"))
    assert re.search(r"<em>\d+\.\d</em>[^<]*Unable to handle kernel", html)


def test_a_boot_that_stopped_says_where_and_why() -> None:
    said = page(recorded("raspi3b-no-root")).text
    assert "Boot 1: stopped at kernel" in said
    assert "stopped at stage kernel: " in said


def test_attempts_that_were_set_aside_and_control_boots_are_marked() -> None:
    said = page(Material(RETRIED, b"x\n" * 200)).text
    assert "Boot 1 (set aside): stopped at kernel" in said
    assert "set aside: attempt 1 at test_boots was LAB: the bench failed" in said
    assert "Control boot, 6.12-good: login 23.6 s" in said
    assert "the line was lost" in said


def test_a_test_says_its_outcome_and_its_message() -> None:
    record = with_case(failed("KERNEL", message="E   assert 1 == 2\nx.py:3: AssertionError"), VerdictName.KERNEL)
    told = page(Material(record))
    assert "failed (KERNEL)" in told.text
    assert "E   assert 1 == 2" in told.text
    assert next(attributes for tag, attributes in told.tags if tag == "details") == {"open": ""}


def test_what_was_on_the_board_stands_with_the_run_it_was_compared_with() -> None:
    inventory = {"modules": ("dwc2", "<b>"), "devices": ()}
    record = attrs.evolve(RECORD, inventory=inventory, compared={"modules": "2026-11-27T05-00-20-desk"})
    html = run_page.render(Material(record))
    assert "2 modules; 2026-11-27T05-00-20-desk" in html
    assert "&lt;b&gt;" in html
    assert "0 devices; not compared" in html


def test_measurements_stand_with_unit_and_limit() -> None:
    assert "ethernet.throughput93.5 Mbit/s80" in page(Material(MEASURED)).text


def test_what_was_deployed_and_how_to_repeat_it_is_told() -> None:
    record = attrs.evolve(RECORD, argv=("tests_hw", "--board", "my pi"), commit="a" * 40, base_config="defconfig")
    manifest = {"boot": {"pi64/kernel8.img": "5" * 64}, "modules": {"lib/modules/a.ko": "6" * 64}}
    said = page(Material(record, manifest=manifest)).text
    assert "pytest tests_hw --board 'my pi'" in said
    assert "--kernel ~/.cache/pi64/kernels/0123abcd" in said
    for word in ("pi64/kernel8.img", "5" * 64, "1 files of modules", "a" * 40, "defconfig", "target rpi3"):
        assert word in said


def test_a_board_that_is_still_on_is_an_alarm() -> None:
    html = run_page.render(Material(attrs.evolve(RECORD, still_on="HTTP status 503")))
    assert 'role="alert">The board is still ON: it could not be switched off: HTTP status 503' in html


def test_a_run_that_did_not_end_has_a_page_that_says_so() -> None:
    said = page(Material(RunRecord("1", "rpi3", "2026-07-01T12:00:00Z"))).text
    assert "no verdictthe run did not come to its end" in said
    for words in ("The board was not booted", "No test was run", "Not a byte came", "Nothing was deployed"):
        assert words in said


def test_a_manifest_that_is_none_costs_the_manifest_only() -> None:
    for text in (b"", b"{", b"[]", b"\xff", b'{"boot": 3}', b'{"boot": {"a": 1}, "modules": null}'):
        assert "How to repeat" in page(Material(RECORD, manifest=mapping(text))).text


# --- hostile ---------------------------------------------------------------------------------------------------------
@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=3000), st.binary(max_size=200))
def test_any_bytes_on_the_console_make_a_page_in_which_they_are_text(log: bytes, times: bytes) -> None:
    found = attrs.evolve(OOPS, first_line=3, last_line=9, text=(log[:40].decode("utf-8", "replace"),))
    told = page(Material(attrs.evolve(RECORD, findings=(found,)), log, stamped=times))
    assert not told.names.intersection(FORBIDDEN)
    assert not UNSAFE.search(told.text)


HOSTILE = '"><script>alert(1)</script>\x1b[31m\u202e\0\udcff'


@settings(max_examples=50, deadline=None)
@given(TEXT, TEXT)
def test_any_words_in_the_record_are_text_too(one: str, other: str) -> None:
    for word in (one, other, HOSTILE):
        boot = BootRecord(
            word, {"kernel": 1.0}, False, word, (OOPS,), Path("x"), 1, (word,), release=word, control=True
        )
        found = finding(word, word, fault=word, severity=word, text=(word, word))
        record = RunRecord(
            word, word, word, word, word, word, (word,), source=word, commit=word, release=word, build_key=word,
            new_warnings=(word,), remarks=(word,), boots=(boot,), findings=(found,), still_on=word, left_on_card=word,
            tests=(CaseRecord(word, word, 1.0, word, word),), verdict=Verdict(VerdictName.KERNEL, word, (word, word)),
        )  # fmt: skip
        told = page(Material(record, word.encode(errors="replace"), manifest={"boot": {word: word}}))
        assert not told.names.intersection(FORBIDDEN)
        assert not [name for _, attributes in told.tags for name in attributes if name.startswith("on")]
        assert printable(word) in told.text


HUGE = 10 << 20
MONSTERS = {
    "a log as they are": lambda: (DATA / "virtual-rpi3-debian.log").read_bytes() * 700,
    "one line": lambda: b"a" * HUGE,
    "line ends": lambda: b"\n" * HUGE,
    "tags": lambda: b"<b>" * (HUGE // 3),
    "colours": lambda: b"\x1b[31m\x1b[1;32mx" * (HUGE // 13),
    "escapes": lambda: b"a\x1b[" * (HUGE // 3),
    "no text at all": lambda: bytes(range(256)) * (HUGE // 256),
}


@pytest.mark.parametrize("log", MONSTERS.values(), ids=MONSTERS)
def test_ten_megabytes_of_anything_take_seconds_and_not_minutes(log) -> None:
    """Of this program's own time, with much to spare: a busy machine is no fault; docs/reports.md has figures."""
    boot = attrs.evolve(GOOD, findings=(attrs.evolve(OOPS, text=("[    1.000000] what does not stand there",)),))
    material = Material(attrs.evolve(RECORD, boots=(boot,)), log()[:HUGE])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    run_page.render(material)
    took = resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
    assert took < 20
