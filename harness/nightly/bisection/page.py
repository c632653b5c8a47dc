"""The page of a bisection: the answer first, then why to believe it. Pure: values in, HTML out."""

from collections.abc import Iterator, Mapping, Sequence

from markupsafe import Markup

from harness.nightly.bisection import tell
from harness.nightly.bisection.excerpts import Excerpt, Line
from harness.nightly.bisection.graph import Commit
from harness.nightly.bisection.state import Answer, State
from harness.report import markup, paint
from harness.report.markup import facts, join, listing, own, tag
from harness.report.page import Section, badge, page, paragraphs

TONE = {"good": "PASS", "bad": "KERNEL", "skip": "BUILD", "again": "LAB"}
SAID = {"good": "good", "bad": "bad", "skip": "skipped", "again": "says nothing"}
WIDE = 400  # characters of a console's line


def render(
    state: State,
    commits: Mapping[str, Commit],
    pair: Sequence[Excerpt | None],
    *,
    sure: Sequence[str] = (),
    by_hand: Sequence[str] = (),
) -> str:
    """Return the page; *pair* are the consoles of the good and of the bad commit, *sure* how certain the answer is."""
    culprit = commits.get(state.first_bad[0]) if len(state.first_bad) == 1 else None
    title = f"{culprit.sha[: tell.SHORT]} {culprit.subject}" if culprit else f"bisection on {state.question.board}"
    sections = [
        Section("answer", "The answer", _answer(state, commits, culprit, sure)),
        Section("consoles", "The two consoles", _consoles(pair)),
        Section("steps", "Steps", _steps(state, commits)),
        Section("by-hand", "By hand", tag("pre", "\n".join(by_hand))),
    ]
    head = join([tag("h1", badge("KERNEL" if state.first_bad else "INCONCLUSIVE"), title)])
    return page(title, head, sections, verdict="KERNEL" if state.first_bad else "INCONCLUSIVE", foot=tell.costs(state))


def _answer(state: State, commits: Mapping[str, Commit], culprit: Commit | None, sure: Sequence[str]) -> Markup:
    question = state.question
    said = [line.strip() for line in tell.answer(state, commits)]
    about = [
        ("first bad", culprit.sha if culprit else None),
        ("subject", culprit.subject if culprit else None),
        ("author", culprit.author if culprit else None),
        ("date", culprit.date if culprit else None),
        ("revert", tell.confirmation(state) if culprit else None),
        ("bad when", str(question.symptom)),
        ("board", question.board),
        ("repository", state.tree),
        ("good", ", ".join(tell.named(sha, commits) for sha in question.goods)),
        ("bad", tell.named(question.bad, commits)),
    ]
    listed = Markup("") if culprit else paragraphs(said[0]) + listing(said[1:])
    return tag("div", listed, facts(about), listing(sure))


def _consoles(pair: Sequence[Excerpt | None]) -> Markup:
    shown = [_console(excerpt) for excerpt in pair if excerpt]
    return tag("div", *shown, class_="sides") if shown else tag("p", "There are none.", class_="dim")


def _console(excerpt: Excerpt) -> Markup:
    title = tag("h3", badge(TONE[excerpt.vote]), f"{excerpt.vote}: {excerpt.sha[: tell.SHORT]}")
    blocks = [
        tag("div", join(_line(line) for line in lines), class_="log bad" if marked else "log")
        for marked, lines in _blocks(excerpt.lines)
    ]
    told = join(blocks) if blocks else tag("p", "Not a line.", class_="dim")
    where = tag("p", f"runs/{excerpt.run}/console.log", class_="dim")
    return tag("div", title, told, where)


def _blocks(lines: Sequence[Line]) -> Iterator[tuple[bool, list[Line]]]:
    """Yield lines that belong together: of the symptom, or not."""
    block: list[Line] = []
    for line in lines:
        if block and block[0].marked != line.marked:
            yield block[0].marked, block
            block = []
        block.append(line)
    if block:
        yield block[0].marked, block


def _line(line: Line) -> Markup:
    return own(f"<div><a>{line.number}</a>{paint.lines([line.text[:WIDE]])[0]}</div>")


def _steps(state: State, commits: Mapping[str, Commit]) -> Markup:
    rows = [
        tag("tr", *(tag("td", cell, class_=kind) for cell, kind in _cells(said, commits))) for said in state.answers
    ]
    return markup.table(("", "commit", "", "says", "build", "all"), rows, label="Steps", numbers={"build", "all"})


def _cells(said: Answer, commits: Mapping[str, Commit]) -> Iterator[tuple[object, str | None]]:
    commit = commits.get(said.sha)
    yield said.number, "n"
    subject = commit.subject if commit else "bad without the culprit" if said.role == "revert" else ""
    yield join([tag("code", said.sha[: tell.SHORT]), " ", subject]), None
    yield badge_of(said.vote), None
    yield said.reason if said.role == "try" else f"{said.role}: {said.reason}", None
    yield f"{said.build_seconds:.0f} s" if said.build_seconds else "", "n"
    yield f"{said.seconds:.0f} s", "n"


def badge_of(vote: str) -> Markup:
    """Return a vote on the colour of the verdict that it goes with."""
    return tag("span", SAID[vote], class_=f"badge {TONE[vote]}")
