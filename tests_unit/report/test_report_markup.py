"""Nothing that is put into a page can become a part of it."""

from hypothesis import given, settings
from hypothesis import strategies as st
from report_samples import Page

from harness.report.markup import breakable, facts, fold, join, listing, table, tag
from harness.report.redact import printable

ANY = st.text(st.characters(codec=None))


@settings(max_examples=50, deadline=None)
@given(ANY)
def test_any_text_comes_out_as_text(text: str) -> None:
    page = Page(tag("p", text))
    assert page.names == {"p"}
    assert page.text == printable(text)


@settings(max_examples=50, deadline=None)
@given(ANY)
def test_any_text_stays_inside_an_attribute(text: str) -> None:
    page = Page(tag("a", "x", title=text, href="#L1"))
    assert page.tags == [("a", {"title": printable(text), "href": "#L1"})]


@settings(max_examples=50, deadline=None)
@given(ANY, ANY)
def test_every_helper_escapes_what_it_is_given(one: str, other: str) -> None:
    html = join([facts([(one, other)]), listing([one]), fold(one, other), breakable(one)])
    html += table([one], [tag("tr", tag("td", other))], label=one)
    assert Page(html).names <= {"dl", "dt", "dd", "ul", "li", "details", "summary", "wbr"} | {
        *("div", "table", "thead", "tbody", "tr", "th", "td")
    }


def test_markup_is_not_escaped_a_second_time() -> None:
    assert str(tag("p", tag("b", "<"))) == "<p><b>&lt;</b></p>"


def test_an_attribute_that_does_not_hold_is_left_out() -> None:
    assert str(tag("details", open=True, class_=None, hidden=False, aria_label="x")) == (
        '<details open="" aria-label="x"></details>'
    )
