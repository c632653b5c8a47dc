"""The page of a night in a real browser: on a phone's screen and a large one, by keyboard, without a complaint."""

from collections.abc import Iterator

import browser
import pytest
from browser import look
from morninglab import filled, lab, state
from test_morning_page import HOSTILE_MORNING, NOW

from harness.nightly.morning import page, publish

pytestmark = browser.MARKS
PAGES = ("night", "running", "hostile")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[str]:
    """The pages, and the runs that they link to, on a web server of their own."""
    runs = tmp_path_factory.mktemp("runs")
    records = list(lab(45, [f"rpi-6.{number}.y" for number in range(8)], [f"rpi4-{number}" for number in range(14)]))
    filled(runs, records)
    for record in records[-200:]:
        (runs / record.run_id).mkdir()
        (runs / record.run_id / "report.html").write_text("<!DOCTYPE html><title>run</title>")
    night = state(records)
    made = publish.publish(runs, night, catch_up=False)
    assert made.morning
    folder = runs / "nightly" / night.name
    (folder / "running.html").write_text(page.render(publish.morning(runs, night, running=True, catch_up=False), NOW))
    (folder / "hostile.html").write_text(page.render(HOSTILE_MORNING, NOW))
    (folder / "index.html").rename(folder / "night.html")
    (runs / "nightly" / "latest").symlink_to(night.name)
    with browser.serving(runs) as address:
        yield address


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_a_night_fits_its_screen_and_nothing_complains(site, tmp_path, name: str, width: int) -> None:
    told = look(site, tmp_path, f"nightly/latest/{name}.html", width=width)
    assert told["complaints"] == []
    assert told["wide"] == []
    assert told["needed"] <= told["width"]
    assert width - 20 <= told["width"] <= width


def test_the_keyboard_gets_everywhere_on_a_night_and_first_to_the_skip_link(site, tmp_path) -> None:
    told = look(site, tmp_path, "nightly/latest/night.html")
    assert (told["first"], told["seen"]) == ("skip", True)
    assert told["unfocused"] == 0
    assert told["reached"] > 100


def test_a_dark_desktop_gets_a_dark_night(site, tmp_path) -> None:
    flags = ("--blink-settings=preferredColorScheme=0",)
    assert look(site, tmp_path, "nightly/latest/night.html", flags=flags)["paper"] == "rgb(16, 20, 24)"
