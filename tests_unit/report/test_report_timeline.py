"""The picture of the boots says what the numbers say."""

import re

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_samples import GOOD, Page

from harness.model import STAGES, BootRecord
from harness.report import timeline


def boxes(html: str) -> list[tuple[str, float, float]]:
    """Return class, left edge and width of each box, in percent."""
    tags = [attributes for tag, attributes in Page(html).tags if tag == "rect" and "%" in (attributes["x"] or "")]
    return [(box["class"], float(box["x"].rstrip("%")), float(box["width"].rstrip("%"))) for box in tags]


def test_each_stage_lasts_until_the_next_and_the_login_ends_the_bar() -> None:
    boot = attrs.evolve(GOOD, stages={"firmware": 1.0, "kernel": 2.0, "rootfs": 4.0, "init": 5.0, "login": 10.0})
    assert boxes(timeline.svg([timeline.bar(boot, "Boot 1")])) == [
        ("power", 0.0, 10.0),
        ("firmware", 10.0, 10.0),
        ("kernel", 20.0, 20.0),
        ("rootfs", 40.0, 10.0),
        ("init", 50.0, 50.0),
    ]


def test_stages_stand_in_the_order_in_which_they_came() -> None:
    """With an initramfs, init runs before the root filesystem is mounted."""
    boot = attrs.evolve(GOOD, stages={"init": 1.0, "rootfs": 3.0, "login": 4.0})
    assert [name for name, _, _ in boxes(timeline.svg([timeline.bar(boot, "Boot 1")]))] == ["power", "init", "rootfs"]


def test_all_boots_have_one_scale() -> None:
    slow, fast = attrs.evolve(GOOD, stages={"login": 20.0}), attrs.evolve(GOOD, stages={"login": 5.0})
    html = timeline.svg([timeline.bar(slow, "1"), timeline.bar(fast, "2")])
    assert [width for _, _, width in boxes(html)] == [100.0, 25.0]


def test_a_boot_that_failed_is_drawn_until_it_was_heard_last_and_marked() -> None:
    boot = attrs.evolve(GOOD, stages={"kernel": 1.0}, reached=False)
    html = timeline.svg([timeline.bar(boot, "Boot 1", heard_s=4.0)])
    assert boxes(html) == [("power", 0.0, 25.0), ("kernel", 25.0, 75.0)]
    assert "✕" in html
    assert "✕" not in timeline.svg([timeline.bar(GOOD, "Boot 1", heard_s=99.0)])


def test_a_boot_that_does_not_count_is_pale() -> None:
    assert 'class="row pale"' in timeline.svg([timeline.bar(GOOD, "Control boot", pale=True)])


def test_a_long_label_does_not_leave_a_phone() -> None:
    assert "…" in timeline.svg([timeline.bar(GOOD, "x" * 80)])
    assert "x" * (timeline.LABEL + 1) not in timeline.svg([timeline.bar(GOOD, "x" * 80)])


@pytest.mark.parametrize(("longest", "wanted"), [(52.9, [0, 10, 20, 30, 40, 50]), (6.0, [0, 2, 4, 6]), (0.9, 5)])
def test_ticks_are_round(longest: float, wanted: list[int] | int) -> None:
    assert timeline.ticks(longest) == wanted or len(timeline.ticks(longest)) == wanted


SECONDS = st.floats(allow_nan=True, allow_infinity=True)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.dictionaries(st.sampled_from(STAGES), SECONDS), max_size=4), st.none() | st.floats(0, 1e9), st.text()
)
def test_any_numbers_make_a_picture_that_keeps_to_its_frame(boots, heard, label: str) -> None:
    records = [BootRecord("x", stages, False, "", (), GOOD.log, 1) for stages in boots]
    html = timeline.svg([timeline.bar(boot, label, heard_s=heard) for boot in records])
    assert all(0 <= left <= left + width <= 100.01 for _, left, width in boxes(html))
    assert not re.search(r"=\"-?(nan|inf)", html)
