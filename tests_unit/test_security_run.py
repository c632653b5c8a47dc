"""What comes from outside stays text: no console, relay or server commands the terminal, the record or the page."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import fakekernel
import pytest
from faultylab import FaultyLab
from pluginbench import BOOTS, Bench

from harness.progress import Progress

pytest_plugins = ["pluginfixtures"]

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m"
MARKUP = '"><script>alert(1)</script>'
LEFT_ALONE = {"console.log"}
"""The raw bytes of the line, for machines; docs/security.md says how to look at it."""


class Tags(HTMLParser):
    """The names of the elements of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.names.add(tag)


def clean(text: str) -> bool:
    """Whether nothing in *text* is what a terminal obeys."""
    return not [char for char in text if not char.isprintable() and char not in "\n\t"]


def files(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(folder.iterdir()):
        if path.name not in LEFT_ALONE:
            yield path, path.read_text(errors="replace")


def prove(lab: Bench, output: str) -> None:
    """Assert that nothing of what came from outside is obeyed by whoever reads what the run has left."""
    assert clean(output), [line for line in output.splitlines() if not clean(line)]
    unclean = [path.name for path, text in files(lab.folder) if not clean(text)]
    assert unclean == []
    assert "script" not in Tags((lab.folder / "report.html").read_text()).names
    ET.parse(lab.folder / "junit.xml")
    json.loads((lab.folder / "run.json").read_text())


def test_a_hostile_console_reaches_neither_terminal_nor_record_nor_page(tmp_path, image) -> None:
    lab = Bench(tmp_path, image)
    said = f"VFS: {ESCAPES}{MARKUP}\nKernel panic - not syncing: {ESCAPES}{MARKUP}\n"
    lab.kernel(fakekernel.text("@RELEASE@", said))
    process = lab.start(BOOTS, "-v", "-o", "log_level=DEBUG")
    output, errors = process.communicate(timeout=90)
    assert lab.record["verdict"]["name"] in {"KERNEL", "DEPLOY"}
    assert "alert(1)" in output
    prove(lab, output + errors)


@pytest.fixture
def lab(tmp_path, monkeypatch, image) -> Iterator[FaultyLab]:
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    with FaultyLab(tmp_path, image) as lab:
        yield lab


def test_a_relay_whose_answer_holds_escapes_is_told_in_plain_text(lab) -> None:
    lab.relay.status, lab.relay.reason = 503, f"Service {ESCAPES}{MARKUP}"
    process = lab.start(BOOTS, "-v", "-o", "log_level=DEBUG")
    output, errors = process.communicate(timeout=90)
    assert lab.record["verdict"]["name"] == "LAB"
    assert "503" in lab.record["still_on"]
    prove(lab, output + errors)


def test_a_mux_whose_answer_holds_escapes_is_told_in_plain_text(lab) -> None:
    lab.mux.words = f"<html>{ESCAPES}{MARKUP}"
    process = lab.start(BOOTS, "-v", "-o", "log_level=DEBUG")
    output, errors = process.communicate(timeout=90)
    assert "is no card mux" in output
    prove(lab, output + errors)


def test_a_line_of_progress_commands_no_terminal() -> None:
    """A board that boots is shown with its last words."""
    shown = []

    class Reporter:
        isatty = False
        write_line = staticmethod(shown.append)
        flush = staticmethod(lambda: None)

    Progress(Reporter())(f"booting: {ESCAPES}")
    assert clean(shown[0])
    assert r"\x1b]0;owned\x07" in shown[0]
