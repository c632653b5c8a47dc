"""A run as one HTML page: the verdict and its evidence first, then boots, tests, findings, console, how to repeat."""

import re
from collections.abc import Iterator, Mapping

import attrs
from markupsafe import Markup

from harness.model import STAGES, AttemptRecord, BootRecord, Finding, VerdictName
from harness.report import console, deployed, moment, overview, timeline, transcript
from harness.report.markup import breakable, facts, fold, join, link, listing, table, tag, text
from harness.report.material import Material
from harness.report.page import Section, badge, page, paragraphs, tone
from harness.report.record import CaseRecord, RunRecord
from harness.report.transcript import Transcript

MEANING = {
    VerdictName.PASS: "Every boot reached its login, every test passed, the kernel complained of nothing.",
    VerdictName.KERNEL: "The kernel under test died, hung, complained or answered wrongly, and nothing on the bench "
    "explains it. Look at the kernel.",
    VerdictName.DEPLOY: "Kernel, modules, device tree, command line and root filesystem do not fit together. Look at "
    "what was put onto the card.",
    VerdictName.LAB: "Power, card, cable, serial line, power switch or lab host. Look at the bench; this says nothing "
    "about the kernel.",
    VerdictName.BUILD: "The tree does not configure or compile. Look at build.log.",
    VerdictName.INCONCLUSIVE: "The bench may explain what looks like the kernel's fault, or two attempts differed, or "
    "too little was seen. Mend the bench, run again.",
}
COLOURS = {"passed": "good", "xfailed": "none", "skipped": "none", "retried": "lab", "error": "lab"}
_FOUND = re.compile(r"(line \d{1,9}): (.*)", re.DOTALL)
_BOOTED = re.compile(r"boot from (line \d{1,9})\b")
"""Evidence as ``verdict.clues`` words it."""


def render(material: Material) -> str:
    """Return the page of a run, for any content of its record and console."""
    view = _View.of(material)
    record = material.record
    name = _name(record)
    sections = [
        Section("boots", "Boots", _boots(view)),
        Section("tests", "Tests", _tests(record)),
        Section("findings", "Findings", _findings(view)),
        Section("console", "Console", _console(view)),
        Section("deployed", "What was deployed", deployed.files(material)),
        Section("repeat", "How to repeat", deployed.repeat(record)),
    ]
    title = f"{name} {record.target} {record.release}".strip()
    return page(title, _head(view), sections, verdict=name, foot=f"pi64, run {record.run_id}")


@attrs.frozen(eq=False)
class _View:
    """A run with the places of its findings on the console."""

    material: Material
    transcript: Transcript
    places: Mapping[Finding, int]
    aside: Mapping[int, AttemptRecord]
    """Number of a boot that was set aside -> the attempt to which it belonged."""

    @classmethod
    def of(cls, material: Material) -> "_View":
        told = transcript.read(material.console, material.stamped)
        places = told.places(found for _, found in overview.findings(material.record))
        return cls(material, told, places, overview.set_aside(material.record))

    @property
    def record(self) -> RunRecord:
        return self.material.record

    def linked(self, evidence: str) -> Markup:
        """Return a line of evidence with the line of the console linked that it is about."""
        for pattern, lines in ((_FOUND, self._lines), (_BOOTED, self._begins)):
            told = pattern.match(evidence)
            line = lines.get(told.groups()) if told else None
            if told and line:
                return join([evidence[: told.start(1)], link(told[1], line), evidence[told.end(1) :]])
        return text(evidence)

    @property
    def _lines(self) -> dict[tuple[str, ...], int]:
        return {(f"line {found.first_line}", found.message): line for found, line in self.places.items()}

    @property
    def _begins(self) -> dict[tuple[str, ...], int]:
        begins = {boot.first_line for boot in self.record.boots}
        return {(f"line {line}",): line for line in begins if 0 < line <= len(self.transcript.lines)}


def _name(record: RunRecord) -> str:
    return str(record.verdict.name) if record.verdict else "no verdict"


# --- verdict ---------------------------------------------------------------------------------------------------------
def _head(view: _View) -> Markup:
    record, verdict = view.record, view.record.verdict
    name = _name(record)
    alarm = f"The board is still ON: it could not be switched off: {record.still_on}"
    rule = verdict.rule if verdict else "the run did not come to its end"
    meaning = MEANING[verdict.name] if verdict else "There is no verdict: it runs still, or it was killed."
    evidence = listing(map(view.linked, verdict.evidence if verdict else ()), class_="evidence")
    return join(
        [
            tag("h1", badge(name), rule),
            tag("p", alarm, class_="alarm", role="alert") if record.still_on else "",
            tag("div", tag("p", meaning), evidence, class_=f"verdict {tone(name)}"),
            facts(_identity(view)),
        ]
    )


def _identity(view: _View) -> Iterator[tuple[str, object]]:
    record = view.record
    took = moment.between(record.started, record.finished)
    length = f", took {moment.told(took)}" if took is not None else ""
    control = f"the known-good kernel {record.left_on_card}, not the one under test" if record.left_on_card else ""
    yield "Target", f"{record.target} ({record.board or 'unknown board'}) at {record.host or 'an unknown lab host'}"
    yield "Kernel", record.release or "none was built"
    yield "Source", _source(record)
    yield "Started", f"{record.started}{length}"
    yield "On the card now", control


def _source(record: RunRecord) -> str:
    commit = f", commit {record.commit}{' with changes' if record.dirty else ''}" if record.commit else ""
    return f"{record.source}{commit}"


# --- boots -----------------------------------------------------------------------------------------------------------
def _boots(view: _View) -> Markup:
    boots = view.record.boots
    if not boots:
        return paragraphs("The board was not booted.")
    bars = [_bar(view, number, boot) for number, boot in enumerate(boots, start=1)]
    rows = timeline.numbers([_numbers(view, number, boot) for number, boot in enumerate(boots, start=1)])
    grid = table(["Seconds to", *STAGES], [rows], label="Seconds from power-on to each boot stage", numbers=STAGES)
    return timeline.svg(bars) + timeline.legend() + grid


def _bar(view: _View, number: int, boot: BootRecord) -> timeline.Bar:
    ended = "login" if boot.reached else f"stopped at {boot.last_stage}"
    seconds = boot.stages.get("login" if boot.reached else boot.last_stage)
    when = f" {seconds:.1f} s" if boot.reached and seconds is not None else ""
    aside = " (set aside)" if number in view.aside else ""
    label = f"{overview.heading(boot, number)}{aside}: {ended}{when}"
    pale = boot.control or number in view.aside
    return timeline.bar(boot, label, heard_s=_heard(view, number, boot), pale=pale)


def _heard(view: _View, number: int, boot: BootRecord) -> float | None:
    """Return the seconds from power-on to the last line before the next boot began; None when nobody knows."""
    following = view.record.boots[number:]
    last = following[0].first_line - 1 if following else len(view.transcript.lines)
    first_s, last_s = view.transcript.seconds(boot.first_line), view.transcript.seconds(last)
    if first_s is None or last_s is None or last_s < first_s:
        return None
    return last_s - first_s + min(boot.stages.values(), default=0.0)


def _numbers(view: _View, number: int, boot: BootRecord) -> tuple[Markup, BootRecord, str]:
    there = 0 < boot.first_line <= len(view.transcript.lines)
    name = overview.heading(boot, number)
    told = [] if boot.reached else [f"stopped at stage {boot.last_stage}: {boot.reason or 'no reason known'}"]
    if attempt := view.aside.get(number):
        told.append(f"set aside: attempt {attempt.number} at {attempt.test} was {attempt.verdict}: {attempt.rule}")
    named = tag("a", name, href=f"#console-boot-{number}") if there else tag("span", name)
    return named, boot, "; ".join(told)


# --- tests -----------------------------------------------------------------------------------------------------------
def _tests(record: RunRecord) -> Markup:
    if not record.tests:
        return paragraphs("No test was run.")
    counts = {outcome: sum(case.outcome == outcome for case in record.tests) for outcome in _outcomes(record)}
    summary = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    head = ["Outcome", "Test", "Seconds"]
    grid = table(head, map(_case, record.tests), label="Tests and their outcome", numbers=["Seconds"])
    attempts = [
        fold(f"{each.test}: attempt {each.number} was {each.verdict}: {each.rule}", listing(each.evidence))
        for each in record.attempts
    ]
    repeated = tag("h3", "Repeated") + join(attempts) if attempts else Markup("")
    return tag("p", summary) + grid + repeated + _measured(record) + _there(record)


def _measured(record: RunRecord) -> Markup:
    if not record.measurements:
        return Markup("")
    head = ["Measured", "Value", "Limit"]
    rows = [
        tag(
            "tr",
            tag("td", breakable(each.name)),
            tag("td", f"{each.value:g} {each.unit}", class_="n"),
            tag("td", "-" if each.limit is None else f"{each.limit:g}", class_="n"),
        )
        for each in record.measurements
    ]
    return tag("h3", "Measurements") + table(head, rows, label="What tests measured", numbers=head[1:])


def _there(record: RunRecord) -> Markup:
    """Return what was found on the board, folded away, and with which good run it was compared."""
    if not record.inventory:
        return Markup("")
    told = {kind: record.compared.get(kind, "not compared") for kind in record.inventory}
    lists = [fold(f"{len(names)} {kind}; {told[kind]}", listing(names)) for kind, names in record.inventory.items()]
    return tag("h3", "On the board") + join(lists)


def _outcomes(record: RunRecord) -> list[str]:
    return sorted({case.outcome for case in record.tests})


def _case(case: CaseRecord) -> Markup:
    fault = f" ({case.fault})" if case.fault else ""
    again = f" (attempt {case.attempt})" if case.attempt > 1 else ""
    row = tag(
        "tr",
        tag("td", case.outcome, fault, class_=f"outcome {COLOURS.get(case.outcome, 'bad')}"),
        tag("td", breakable(case.nodeid), again),
        tag("td", f"{case.seconds:.1f}", class_="n"),
    )
    return row + (tag("tr", tag("td", _message(case), colspan=3, class_="under")) if case.message else "")


def _message(case: CaseRecord) -> Markup:
    """Return what a test said, under the line that says most."""
    lines = case.message.strip().split("\n")
    first = next((line for line in lines if line.startswith("E ")), lines[0])
    rest = lines[1:] if first is lines[0] else lines
    shown = case.outcome in {"failed", "error"}
    return fold(first, tag("pre", "\n".join(rest)), open=shown) if rest else tag("span", first)


# --- findings --------------------------------------------------------------------------------------------------------
def _findings(view: _View) -> Markup:
    told = list(overview.findings(view.record))
    if not told:
        return paragraphs("None.")
    serious = [_finding(view, *each) for each in told if each[1].severity != "info"]
    minor = [_finding(view, *each) for each in told if each[1].severity == "info"]
    more = fold(f"{len(minor)} that count for nothing", listing(minor)) if minor else Markup("")
    return (listing(serious) or paragraphs("None that count.")) + more


def _finding(view: _View, where: str, found: Finding) -> Markup:
    line = view.places.get(found)
    seconds = view.transcript.seconds(line) if line else None
    at = f", {seconds:.1f} s into the recording" if seconds is not None else ""
    place = join([link(f"line {line}", line), at]) if line else "in the answer to a command"
    head = join([tag("strong", found.kind), f" ({found.severity}, {found.fault}): {found.message}"])
    below = tag("div", f"{where}, ", place, class_="dim")
    return head + below + ("" if line or not found.text else fold("Evidence", tag("pre", "\n".join(found.text))))


# --- console ---------------------------------------------------------------------------------------------------------
def _console(view: _View) -> Markup:
    count = len(view.transcript.lines)
    omitted = view.material.omitted
    size = f"{count} lines, {(len(view.material.console) + omitted) / 1024:.0f} KiB. "
    told = join(
        [
            size,
            "What matters is shown, the rest is folded; a line's number is its address. The bytes as they came: ",
            tag("a", "console.log", href="console.log"),
            ", beside this page.",
            f" It has {omitted / 2**20:.0f} MiB more, left out here in the middle." if omitted else "",
        ]
    )
    log = console.section(view.transcript, view.record.boots, view.places)
    return (tag("p", told, class_="dim") if count else Markup("")) + tag("div", log, class_="console")
