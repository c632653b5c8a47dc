"""The console on a run's page: every line with a name of its own (``#L123``), findings marked, the rest folded away."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

import attrs
from markupsafe import Markup

from harness.model import BootRecord, Finding
from harness.report import folds, paint
from harness.report.folds import Part
from harness.report.markup import fold, join, link, own, tag
from harness.report.overview import heading
from harness.report.transcript import Transcript

BEFORE, AFTER = 8, 4  # lines shown around a finding
LONGEST = 130  # lines of a finding that are shown; its text in the record has no more either
BEGIN = 3  # lines shown where a boot begins
END = 20  # lines shown before a boot that failed was over, and at the end
WIDE = 2000  # characters of a line that are shown at once
MANY, LARGE = 50_000, 4 << 20  # lines, characters; in a longer console the folded lines are named by the hundred
HUNDRED = 100
COARSE = 20_000  # lines in a fold of those


@attrs.frozen
class Mark:
    """What stands above a line: a boot begins, or a finding."""

    line: int
    last: int
    html: Markup
    severity: str = ""
    """Of a finding; empty for a boot."""


def section(transcript: Transcript, boots: Sequence[BootRecord], places: Mapping[Finding, int]) -> Markup:
    """Return the console of a run; *places* says at which line each finding stands."""
    count = len(transcript.lines)
    if not count:
        return tag("p", "Not a byte came over the console, or its log is gone.", class_="dim")
    marks = sorted([*_boots(boots), *_findings(places)], key=lambda mark: mark.line)
    wanted = [*_around(marks), *_endings(boots, count), (count - END + 1, count)]
    coarse = count > MANY or len(transcript.text) > LARGE
    parts = folds.parts(count, wanted, largest=COARSE if coarse else folds.LARGEST)
    return join(_part(transcript, part, marks, coarse=coarse) for part in parts)


# --- what is shown ---------------------------------------------------------------------------------------------------
def _boots(boots: Sequence[BootRecord]) -> Iterator[Mark]:
    for number, boot in enumerate(boots, start=1):
        html = tag("h3", heading(boot, number), id=f"console-boot-{number}")
        yield Mark(boot.first_line, boot.first_line + BEGIN - 1, html)


def _findings(places: Mapping[Finding, int]) -> Iterator[Mark]:
    """Yield a mark for each finding, with links to the one before and the one after."""
    ordered = sorted(places.items(), key=lambda item: item[1])
    lines = list(dict.fromkeys(line for _, line in ordered))
    after = dict(itertools.pairwise(lines))
    before = {line: other for other, line in after.items()}
    for found, line in ordered:
        others = [link(word, there[line]) for word, there in (("previous", before), ("next", after)) if line in there]
        said = f"{found.kind} ({found.severity}, {found.fault}): {found.message}"
        html = tag("p", tag("strong", said), " ", join(others, " "), class_=f"mark {_class(found.severity)}")
        size = min(max(found.last_line - found.first_line, 0), LONGEST)
        yield Mark(line, line + size, html, found.severity)


def _class(severity: str) -> str:
    return "note" if severity == "info" else "bad"


def _around(marks: Sequence[Mark]) -> Iterator[tuple[int, int]]:
    for mark in marks:
        few = mark.severity in {"", "info"}
        yield mark.line - (1 if few else BEFORE), mark.last + (1 if few else AFTER)


def _endings(boots: Sequence[BootRecord], count: int) -> Iterator[tuple[int, int]]:
    """Yield the last lines of each boot that failed."""
    following = [boot.first_line - 1 for boot in boots[1:]]
    for boot, last in zip(boots, [*following, count], strict=False):
        if not boot.reached:
            yield max(last - END + 1, boot.first_line), last


# --- how -------------------------------------------------------------------------------------------------------------
def _part(transcript: Transcript, part: Part, marks: Sequence[Mark], *, coarse: bool) -> Markup:
    if not part.shown:
        name = f"Lines {part.first} to {part.last}"
        return fold(name, _coarse(transcript, part) if coarse else _log(transcript, part.first, part.last, ""))
    told = []
    for first, last, heads in _cut(part, marks):
        told += [mark.html for mark in heads]
        inside = [mark.severity for mark in marks if mark.severity and mark.line <= first <= mark.last]
        told.append(_log(transcript, first, last, _class(inside[-1]) if inside else ""))
    return join(told)


def _cut(part: Part, marks: Sequence[Mark]) -> Iterator[tuple[int, int, list[Mark]]]:
    """Yield pieces of *part* that lie wholly inside or outside of each mark's lines, with the marks above them."""
    edges = {edge for mark in marks for edge in (mark.line, mark.last + 1) if part.first < edge <= part.last}
    begins = sorted({part.first, *edges})
    for first, following in zip(begins, [*begins[1:], part.last + 1], strict=True):
        yield first, following - 1, [mark for mark in marks if mark.line == first]


def _log(transcript: Transcript, first: int, last: int, kind: str) -> Markup:
    """Return lines *first* to *last*, each with its number and seconds."""
    block = transcript.lines[first - 1 : last]
    told = (
        f'<div id="L{number}"><a href="#L{number}" tabindex="-1">{number}</a>{_seconds(transcript, number)}{html}</div>'
        for number, html in enumerate(map(_narrow, block, _painted(block)), start=first)
    )
    return tag("div", own("".join(told)), class_=f"log {kind}".strip())


def _seconds(transcript: Transcript, number: int) -> str:
    seconds = transcript.seconds(number)
    return "" if seconds is None else f"<em>{seconds:.1f}</em>"


def _painted(block: Sequence[str]) -> list[str]:
    return paint.lines([line[:WIDE] for line in block])


def _narrow(line: str, html: str) -> str:
    """Return the beginning of a line, *html*, and what is left of one that is too long, folded."""
    if len(line) <= WIDE:
        return html
    rest = own(paint.lines([line[WIDE:]])[0])
    return html + fold(f"{len(line) - WIDE} more characters", rest)


def _coarse(transcript: Transcript, part: Part) -> Markup:
    """Return the lines of *part* with one name for a hundred of them: a browser need not hold millions of elements."""
    painted = paint.lines(transcript.lines[part.first - 1 : part.last], coloured=False)
    told = []
    for at in range(0, len(painted), HUNDRED):
        first, block = part.first + at, "\n".join(painted[at : at + HUNDRED])
        told.append(f'<div id="L{first}"><a href="#L{first}" tabindex="-1">{first}</a>{block}</div>')
    return tag("div", own("".join(told)), class_="log coarse")
