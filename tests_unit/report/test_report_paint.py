"""A console's own colours are kept, and nothing else of what a terminal would obey."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from report_samples import Page

from harness.report import paint
from harness.report.redact import printable

SGR = re.compile(r"\x1b\[[0-9;]{0,32}m")
LINE = st.text(st.characters(codec=None, exclude_characters="\n\r"))
COLOURFUL = st.lists(st.one_of(LINE, st.sampled_from(["\x1b[31m", "\x1b[0m", "\x1b[1;32m", "\x1b[2J", "\x1b", "<b>"])))


@settings(max_examples=50, deadline=None)
@given(st.lists(COLOURFUL.map("".join), min_size=1))
def test_every_line_comes_out_whole_and_as_one_line(block: list[str]) -> None:
    told = paint.lines(block)
    assert [Page(line).text for line in told] == [printable(SGR.sub("", line)) for line in block]
    assert {name for line in told for name in Page(line).names} <= {"b", "i"}
    assert [Page(line).text for line in paint.lines(block, coloured=False)] == [Page(line).text for line in told]


def test_systemds_green_ok_is_green() -> None:
    assert paint.lines(["[\x1b[0;32m  OK  \x1b[0m] Started x\r"]) == ['[<b class="g">  OK  </b>] Started x']


def test_bold_and_a_colour_add_up_and_end_with_the_line() -> None:
    assert paint.lines(["\x1b[1;31mFAILED", "next"]) == ['<b class="r s">FAILED</b>', "next"]


def test_a_colour_on_which_it_cannot_be_seen_hides_nothing() -> None:
    assert paint.lines(["\x1b[30;40mblack\x1b[8mhidden\x1b[38;5;16mpalette"]) == ["blackhiddenpalette"]


def test_what_moves_the_cursor_is_spelt_out() -> None:
    assert paint.lines(["a\x1b[2J\x07\x00b"]) == [r"a<i>\x1b</i>[2J<i>\x07\x00</i>b"]
