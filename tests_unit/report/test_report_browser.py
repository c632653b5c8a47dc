"""A page in a real browser: on a phone's screen and a large one, by the address of a line, without a complaint."""

from collections.abc import Iterator

import browser
import pytest
from browser import look
from report_samples import DATA, RECORD, RETRIED, recorded

from harness.report import run_page
from harness.report.material import Material

pytestmark = browser.MARKS

PAGES = {
    "oops": lambda: recorded("raspi3b-module-oops"),
    "green": lambda: recorded("virtual-rpi3-debian"),
    "retried": lambda: Material(RETRIED, b"x\r\n" * 200),
    "hostile": lambda: Material(RECORD, (b"<script>alert(1)</script>\x1b[31m\x00" + b"w" * 5000 + b"\xff\n") * 100),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[str]:
    """The pages on a web server of their own."""
    folder = tmp_path_factory.mktemp("site")
    for name, material in PAGES.items():
        (folder / f"{name}.html").write_text(run_page.render(material()))
    with browser.serving(folder) as address:
        yield address


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_fits_its_screen_and_nothing_complains(site, tmp_path, page: str, width: int) -> None:
    told = look(site, tmp_path, f"{page}.html", width=width)
    assert told["complaints"] == []
    assert told["wide"] == []
    assert told["needed"] <= told["width"]
    assert width - 20 <= told["width"] <= width


def test_the_keyboard_gets_everywhere_and_first_to_the_skip_link(site, tmp_path) -> None:
    told = look(site, tmp_path, "oops.html")
    assert (told["first"], told["seen"]) == ("skip", True)
    assert told["unfocused"] == 0
    assert told["reached"] > 10


def test_the_address_of_a_folded_line_opens_its_fold(site, tmp_path) -> None:
    log = (DATA / "raspi3b-module-oops.log").read_bytes()
    assert log.count(b"\n") > 40
    told = look(site, tmp_path, "oops.html#L40")
    assert told["target"] == ["L40", True, True]


def test_a_dark_desktop_gets_a_dark_page(site, tmp_path) -> None:
    assert look(site, tmp_path / "light", "oops.html")["paper"] == "rgb(255, 255, 255)"
    dark = look(site, tmp_path / "dark", "oops.html", flags=("--blink-settings=preferredColorScheme=0",))
    assert dark["paper"] == "rgb(16, 20, 24)"
