"""What is told of a bisection: the answer with its evidence, and nothing that a commit or a console says is obeyed."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import browser
import pytest

from harness.nightly.bisection import excerpts, page, tell
from harness.nightly.bisection.graph import Commit
from harness.nightly.bisection.state import Answer, Question, Revert, State

EVIL = '<script>alert(1)</script>\x1b[31m\u202e"'
A, B, C = "a" * 40, "b" * 40, "c" * 40
COMMITS = {sha: Commit(sha, (), f"{EVIL} {sha[0]}", f"{EVIL} <x@y>", "2026-01-01") for sha in (A, B, C)}
BAD = Answer(2, B, "bad", "bad", EVIL, run="two", first_line=4, last_line=5, end_line=6, seconds=60.0, boots=1)
STATE = State(
    "one",
    "now",
    Question("pi", (A,), B),
    answers=(Answer(1, A, "good", "good", "PASS", run="one", seconds=60.0, boots=2), BAD),
    first_bad=(B,),
    revert=Revert(B, C),
    confirmed=True,
)
GOOD_LOG = "firmware\n[    0.000000] Booting Linux on CPU 0x0\n[    1.5] mmc0: new card at address 1234\nlogin:\n"
BAD_LOG = (
    "firmware\n[    0.000000] Booting Linux on CPU 0x1\n[    1.6] mmc0: new card at address abc1\n"
    f"Oops {EVIL}\npc : x\nend\nanother boot\n"
)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name, log in (("one", GOOD_LOG), ("two", BAD_LOG)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "console.log").write_text(log)
    return tmp_path


def test_both_consoles_are_shown_where_they_part(runs: Path) -> None:
    good, bad = excerpts.pair(STATE, runs)
    assert good
    assert bad
    assert [line.text for line in good.lines if not line.marked][-1] == "login:"
    assert [line.number for line in bad.lines if line.marked] == [4, 5]
    assert bad.lines[-1].text == "end", "what the next boot says belongs to another kernel"


def test_lines_are_counted_as_findings_count_them(runs: Path) -> None:
    """A serial line is full of carriage returns that end no line."""
    (runs / "two/console.log").write_bytes(b"a\r\r\n\x0cb\rc\x85\r\n\nOops\r\r\npc : x\nend\n")
    _, bad = excerpts.pair(STATE, runs)
    assert bad
    assert [line.text for line in bad.lines if line.marked] == ["Oops", "pc : x"]


def test_a_console_of_nothing_but_letters_is_read_in_no_time(runs: Path) -> None:
    for name in ("one", "two"):
        (runs / name / "console.log").write_text(f"{'a' * 3000}\n" * 1000)
    began = time.monotonic()
    excerpts.pair(STATE, runs)
    assert time.monotonic() - began < 10


def test_a_console_that_is_gone_leaves_a_page_all_the_same(tmp_path: Path) -> None:
    html = page.render(STATE, COMMITS, excerpts.pair(STATE, tmp_path))
    assert "first bad" in html


def test_secret_words_are_hidden(runs: Path) -> None:
    _, bad = excerpts.pair(STATE, runs, hide=("another", "Booting"))
    assert bad
    assert not any("Booting" in line.text for line in bad.lines)


def test_nothing_that_is_told_can_become_markup_or_move_a_terminal(runs: Path) -> None:
    pair = excerpts.pair(STATE, runs)
    html = page.render(STATE, COMMITS, pair, sure=[EVIL], by_hand=[EVIL])
    assert "<script" not in html
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert not re.search("[\x00-\x08\x1b\u202e]", tell.git_log(STATE, COMMITS) + "\n".join(tell.consoles(pair)))


def test_the_answer_names_commit_author_and_whether_it_was_confirmed() -> None:
    said = "\n".join(tell.answer(STATE, COMMITS))
    assert B in said
    assert "<x@y>" in said
    assert "confirmed: bad becomes good when it is reverted" in said
    stays = "\n".join(tell.answer(attrs.evolve(STATE, confirmed=False), COMMITS))
    assert "bad stays bad" in stays


def test_what_it_took_is_counted() -> None:
    assert tell.costs(STATE) == "2 runs of 2 commits, 0 builds (0 s), 3 boots, 2 min in all"


class TestInABrowser:
    """On a phone and on a large screen, with the longest words that a commit and a console may have."""

    pytestmark = browser.MARKS

    @pytest.fixture
    def site(self, runs: Path) -> Iterator[str]:
        wide = attrs.evolve(COMMITS[B], subject="w" * 300)
        pair = excerpts.pair(STATE, runs)
        (runs / "page.html").write_text(page.render(STATE, {**COMMITS, B: wide}, pair, by_hand=["pytest " + "x" * 300]))
        with browser.serving(runs) as address:
            yield address

    @pytest.mark.parametrize("width", [360, 1280])
    def test_the_page_fits_and_nothing_complains(self, site: str, tmp_path: Path, width: int) -> None:
        told = browser.look(site, tmp_path, "page.html", width=width)
        assert told["complaints"] == []
        assert told["wide"] == []
        assert told["needed"] <= told["width"]
