"""The page of a night: nothing on it can do anything, its links lead somewhere, and it says when it will be renewed."""

import re
import time
from html.parser import HTMLParser

import attrs
import pytest
from morninglab import HOSTILE, filled, lab, state

from harness import host
from harness.nightly.compare import Kind
from harness.nightly.doing import Doing, Idle, Now, table
from harness.nightly.morning import page, plots, publish
from harness.nightly.morning.links import Links
from harness.nightly.morning.look import NIGHTLY
from harness.nightly.morning.plots import steps
from harness.nightly.morning.values import Cell, Health, Line, Morning, News, Point, Trend
from harness.nightly.night.state import to_json
from harness.report.page import policy

LINE = Line(f"b{HOSTILE}", f"c{HOSTILE}")
BOARD = f"desk{HOSTILE}"
NOW = Now(
    (Doing(BOARD, f"b{HOSTILE}", "run", f"booting{HOSTILE}", 99.0, 60.0, 40.0, f"login: {HOSTILE}\x07\n"),),
    (Idle(f"other{HOSTILE}", "b", "PASS", 60.0, 2),),
    (f"building {HOSTILE}",),
    f"night {HOSTILE}",
)
HOSTILE_MORNING = Morning(
    f"night{HOSTILE}", "2026-03-04T01:00:00Z", running=True, host=HOSTILE,
    cells=(
        Cell(LINE, BOARD, "KERNEL", f"../{HOSTILE}", published=True, reason=HOSTILE, change="worse"),
        Cell(LINE, "rpi3", f"{HOSTILE}", state="left", reason=HOSTILE),
    ),
    news=(News(Kind.NEW_SIGNATURE, LINE, (BOARD,), (HOSTILE,) * 20, HOSTILE, HOSTILE, bisections=(HOSTILE,)),),
    boards=(Health(BOARD, HOSTILE, HOSTILE, slower=(HOSTILE,)),),
    trends=(Trend(LINE, BOARD, (Point(1, 1.0, 2.0, 3.0),), (1,)),),
)  # fmt: skip
TAGS = frozenset(
    """a b body br code dd details div dl dt figcaption figure footer h1 h2 h3 head header html li line link main meta
    nav p path section small span strong style summary svg table tbody td th thead title tr ul wbr""".split()  # noqa: SIM905
)


class Elements(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.feed(html)

    def handle_starttag(self, tag, attributes) -> None:
        self.found.append((tag, dict(attributes)))


def test_whatever_a_branch_a_board_or_a_console_says_is_text() -> None:
    html = page.render(HOSTILE_MORNING, NOW)
    elements = Elements(html).found
    assert {tag for tag, _ in elements} <= TAGS
    assert not [name for _, attributes in elements for name in attributes if name.startswith("on") or name == "style"]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", html)
    assert all(not value.startswith("javascript") for _, known in elements if (value := known.get("href") or ""))


def test_a_terminal_obeys_nothing_either() -> None:
    shown = "\n".join(table(NOW, 200))
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", shown)
    assert all(len(line) <= 60 for line in table(NOW, 60))


def test_no_style_but_its_own_and_nothing_from_anywhere() -> None:
    html = page.render(HOSTILE_MORNING)
    (content,) = [
        known["content"] for tag, known in Elements(html).found if known.get("http-equiv") == "Content-Security-Policy"
    ]
    assert content == policy(NIGHTLY)
    assert "default-src 'none'" in content
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", html)


def test_it_renews_itself_only_while_the_night_goes_on() -> None:
    refreshing = '<meta http-equiv="refresh" content="30"/>'
    assert refreshing in page.render(HOSTILE_MORNING, NOW)
    ended = page.render(attrs.evolve(HOSTILE_MORNING, running=False), NOW)
    assert refreshing not in ended
    assert 'id="now"' not in ended


def test_a_colour_is_never_the_only_sign() -> None:
    html = page.render(HOSTILE_MORNING)
    assert "✕ KERNEL" in html
    assert "<small><b>worse</b></small>" in html


@pytest.mark.parametrize("scheme", [None, "../../", "https://lab.example/runs/"])
def test_links_lead_to_pages_of_runs_below_the_folder_of_runs(scheme) -> None:
    links = Links(scheme)
    address = links.run("../a b#c")
    assert address == (None if scheme is None else f"{scheme}..%2Fa%20b%23c/report.html")


def test_a_way_from_point_to_point_in_few_bytes() -> None:
    assert steps([(0, 50), (1, 47), (3, 47)]) == "0 50l1 -3 2 0"
    assert steps([(0, 50)]) == "0 50h1"


def test_one_odd_night_does_not_flatten_all_others() -> None:
    usual = [Point(number, 19.0, 20.0, 21.0) for number in range(200)]
    low, high = plots.scale([*usual, Point(200, 20.0, 300.0, 400.0)])
    assert (round(low, 1), round(high, 1)) == (18.9, 21.1)


# --- on the disk -----------------------------------------------------------------------------------------------------
def test_the_page_of_a_night_lies_with_it_and_links_to_the_pages_there_are(tmp_path) -> None:
    records = list(lab(4))
    filled(tmp_path, records)
    there = records[-1].run_id
    (tmp_path / there).mkdir()
    (tmp_path / there / "report.html").touch()
    made = publish.publish(tmp_path, night := state(records))
    assert made.problems == ()
    assert made.page == tmp_path / "nightly" / night.name / "index.html"
    links = {known["href"] for tag, known in Elements(made.page.read_text()).found if tag == "a"}
    assert {link for link in links if link.startswith("..")} == {f"../../{there}/report.html"}
    assert (made.page.parent / f"../../{there}/report.html").exists()


def test_without_a_night_there_is_one_page_of_the_history(tmp_path) -> None:
    filled(tmp_path, list(lab(4)))
    made = publish.publish(tmp_path, None)
    assert (made.page, made.problems) == (tmp_path / "nightly" / "index.html", ())


def test_what_goes_wrong_is_told_and_stops_no_night(tmp_path) -> None:
    nowhere = publish.publish(tmp_path / "nowhere", None)
    assert (nowhere.page, len(nowhere.problems)) == (None, 1)
    filled(tmp_path, list(lab(2)))
    (tmp_path / "nightly").write_text("in the way")
    (problem,) = publish.publish(tmp_path, None).problems
    assert "nightly" in problem
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "history.sqlite").write_text("no database" * 100)
    assert publish.publish(tmp_path / "broken", None).problems


def test_the_page_is_kept_true_while_the_night_goes_on(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(publish, "RENEW_S", 0.01)
    records = list(lab(2))
    filled(tmp_path, records)
    night = state(records, finished="")
    folder = tmp_path / "nightly" / night.name
    folder.mkdir(parents=True)
    seen = []
    with publish.live(tmp_path, night.name):
        host.write_atomic(folder / publish.FILE, to_json(night).encode())
        while not (folder / publish.PAGE).exists():
            assert len(seen) < 500
            seen.append(time.sleep(0.02))
    assert "it goes on" in (folder / publish.PAGE).read_text()
