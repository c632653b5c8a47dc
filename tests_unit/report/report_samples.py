"""Runs to report on, made of recorded logs; and a page as a browser's parser sees it."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import attrs

from harness.model import AttemptRecord, BootRecord, Measurement, Verdict, VerdictName
from harness.report import run_page
from harness.report.material import Material
from harness.report.record import CaseRecord, RunRecord
from harness.verdict import classify
from harness.verdict.findings import finding
from harness.verdict.lines import split

DATA = Path(__file__).parents[1] / "data"
STAMP = re.compile(rb"\[ *(\d+\.\d+)\]")
FORBIDDEN = ("address", "script", "iframe", "img", "form", "input", "button", "object", "embed", "base")
"""Elements that no page has."""
VOID = {"meta", "link", "wbr", "rect", "line"}

OOPS = finding("oops", "Unable to handle kernel NULL", fault="KERNEL", first_line=122, text=("[    2.000000] a",))
GOOD = BootRecord("rpi3", {"firmware": 0.1, "kernel": 0.3, "login": 23.6}, True, "", (), Path("console.log"), 1)
RECORD = RunRecord(
    run_id="2026-07-01T12-00-00-rpi3",
    target="rpi3",
    started="2026-07-01T12:00:00Z",
    finished="2026-07-01T12:01:00Z",
    board="rpi-3-b",
    host="bench",
    argv=("tests_hw", "--board", "rpi3"),
    source="package linux-source-6.12",
    release="6.12.117-pi64",
    build_key="0123abcd",
    boots=(GOOD,),
    tests=(CaseRecord("tests_hw/test_boot.py::test_who_answers[release]", "passed", 0.5),),
    verdict=Verdict(VerdictName.PASS, "every boot reached its login and nothing was found"),
    console_log="console.log",
)


def failed(blame: str, *, outcome: str = "failed", message: str = "rpi3: stopped\n  | evidence") -> CaseRecord:
    return CaseRecord("tests_hw/test_boot.py::test_boots", outcome, 1.5, message, blame, 1, blame)


def with_case(case: CaseRecord, verdict: VerdictName) -> RunRecord:
    return attrs.evolve(RECORD, tests=(case,), verdict=Verdict(verdict, "rule", ("evidence",)))


MEASURED = attrs.evolve(RECORD, measurements=(Measurement("ethernet.throughput", 93.5, "Mbit/s", 80.0, "test_net"),))
RETRIED = attrs.evolve(
    RECORD,
    boots=(
        attrs.evolve(GOOD, stages={"firmware": 0.2, "kernel": 0.5}, reached=False, reason="silent for 60 s"),
        attrs.evolve(GOOD, first_line=60),
        attrs.evolve(GOOD, first_line=90, control=True, release="6.12-good"),
    ),
    tests=(failed("LAB", outcome="retried"), attrs.evolve(RECORD.tests[0], attempt=2)),
    attempts=(
        AttemptRecord("test_boots", 1, VerdictName.LAB, "the bench failed", ("the line was lost",), 1, 1, True),
        AttemptRecord("test_boots", 2, VerdictName.PASS, "nothing was found", (), 2, 2),
    ),
)


def stamped(log: bytes) -> bytes:
    """Return console.jsonl for a recorded log: each line comes at its kernel's own time, or with the one before."""
    lines, seconds = [], 0.5
    for line in log.splitlines(keepends=True):
        stamp = STAMP.search(line)
        seconds = max(seconds, float(stamp[1]) + 0.5 if stamp else 0.0)
        lines.append(json.dumps({"t": round(seconds, 6), "data": line.decode("latin-1")}))
    return "\n".join([*lines, ""]).encode()


def recorded(name: str) -> Material:
    """Return a run whose console is a recorded log, judged as ``pi64 classify`` judges it."""
    log = (DATA / f"{name}.log").read_bytes()
    reading = classify.read(split([log]))
    loose = tuple(found for found in reading.findings if not reading.boot_of(found))
    record = attrs.evolve(RECORD, boots=tuple(reading.records(name)), findings=loose, verdict=reading.verdict(name))
    return Material(record, console=log, stamped=stamped(log))


class Page(HTMLParser):
    """What a browser would make of a page; AssertionError where tags do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[int] = []
        self.said: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.said.append(data)

    @property
    def text(self) -> str:
        return "".join(self.said)

    @property
    def names(self) -> set[str]:
        return {tag for tag, _ in self.tags}

    @property
    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.tags if attributes.get("id")]

    @property
    def hrefs(self) -> list[str]:
        return [attributes["href"] for _, attributes in self.tags if attributes.get("href")]


def page(material: Material) -> Page:
    return Page(run_page.render(material))
