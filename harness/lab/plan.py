"""The ``nightly:`` section of lab.yaml: which branches, in which configurations, on which boards, for how long.

What it says is checked with the rest of the file, before anything moves: names of boards and configurations against
what there is, addresses and refs as ``harness.build`` will read them.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeVar

import attrs

from harness.build import address
from harness.errors import UsageError
from harness.lab.mail import MailOptions
from harness.lab.options import TargetOptions
from harness.lab.yaml_reader import Reader, nearest
from harness.report.redact import printable

T = TypeVar("T")

OnRegression = Literal["report", "bisect"]
TESTS = "tests_hw"
KEYS = ("branches", "boards", "configurations", "on_regression", "budget", "repeat", "board_wait", "pytest", "mail")
OURS = ("--board", "--runs", "--source", "--ref", "--branch", "--toolchain", "--config", "--fragment", "--requires",
        "--kernel", "--lg-env", "--board-wait", "-n", "--numprocesses")  # fmt: skip
"""Words for pytest that the night says itself, for each job."""
MOST = 64
"""Of one board, and of repeats: more is a mistake."""
_DURATION = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m(?:in)?)?(?:(\d{1,9})s)?")
_UNITS = (86_400, 3_600, 60, 1)


@attrs.frozen
class Branch:
    """One branch of one tree."""

    source: str = ""
    """As for a target: a folder, a tarball, a git URL, or ``package:PATTERN``."""
    ref: str | None = None
    """Branch or tag, for git; None: what is checked out, or the server's HEAD."""
    without: tuple[str, ...] = ()
    """Boards and configurations that it leaves out."""
    name: str = ""


@attrs.frozen
class Configuration:
    """How a kernel is configured and compiled; what it does not say is as the target has it."""

    config: str | None = None
    fragments: tuple[str, ...] = ()
    """On top of the target's."""
    requires: tuple[str, ...] | None = None
    toolchain: str | None = None
    without: tuple[str, ...] = ()
    """Boards that it leaves out."""
    name: str = ""


DEFAULT = (Configuration(name="default"),)
"""Where the plan names none: each target's own."""


@attrs.frozen
class Boards:
    """One target, or as many as a coordinator has of one that is reserved by tags."""

    name: str
    count: int = 1


@attrs.frozen
class Wanted:
    """One branch in one configuration on one target."""

    branch: Branch
    configuration: Configuration
    board: str

    @property
    def label(self) -> tuple[str, str, str]:
        """What tells it from all others of its plan."""
        return self.branch.name, self.configuration.name, self.board


@attrs.frozen
class Plan:
    """All of the section."""

    branches: tuple[Branch, ...]
    boards: tuple[Boards, ...]
    configurations: tuple[Configuration, ...]
    on_regression: OnRegression = "report"
    budget_s: float | None = None
    """None: until all is done."""
    repeat: int = 1
    """How often a job is run again in the same night when the bench spoilt it."""
    board_wait_s: float = 900.0
    """How long a job waits for a board that somebody else has."""
    pytest: tuple[str, ...] = (TESTS,)
    mail: MailOptions | None = None
    """Who is told in the morning; None: nobody."""

    def jobs(self) -> Iterator[Wanted]:
        """Yield all that is to be run, in the order of the file."""
        for branch in self.branches:
            for configuration in self.configurations:
                for board in self.boards:
                    left_out = board.name in configuration.without
                    if not left_out and not {configuration.name, board.name}.intersection(branch.without):
                        yield Wanted(branch, configuration, board.name)

    def only(self, *, branches: tuple[str, ...] = (), boards: tuple[str, ...] = ()) -> "Plan":
        """Return the plan of some *branches* and *boards* alone; UsageError for one that it has not."""
        return attrs.evolve(
            self,
            branches=_only(self.branches, branches, "branch"),
            boards=_only(self.boards, boards, "board"),
        )


Named = TypeVar("Named", Branch, Boards)


def _only(things: tuple[Named, ...], names: tuple[str, ...], what: str) -> tuple[Named, ...]:
    known = [thing.name for thing in things]
    for name in names:
        if name not in known:
            raise UsageError(f"no {what} `{printable(name)}` in the plan", hint=nearest(name, known))
    return tuple(thing for thing in things if thing.name in names or not names)


def duration(text: str) -> float:
    """Return the seconds of ``8h``, ``90m``, ``1h30m`` or ``45s``; UsageError for anything else."""
    found = _DURATION.fullmatch(text.strip())
    if not found or not any(found.groups()):
        raise UsageError(f"{printable(text)!r} is no time", hint="`8h`, `90m`, `1h30m`, `45s`, say")
    return float(sum(int(number or 0) * unit for number, unit in zip(found.groups(), _UNITS, strict=True)))


# --- from YAML -------------------------------------------------------------------------------------------------------
def parse(reader: Reader, node: Any, targets: Mapping[str, TargetOptions]) -> Plan:
    """Return the plan in *node*; ConfigError with file, line and the nearest known word."""
    parts = reader.mapping(node, "`nightly`", KEYS)
    for key in ("branches", "boards"):
        if key not in parts:
            raise reader.fault(node, f"`nightly` has no {key}", f"its keys: {', '.join(KEYS)}")
    boards = tuple(_boards(reader, parts["boards"], targets))
    names = [board.name for board in boards]
    configurations: tuple[Configuration, ...] = DEFAULT
    if "configurations" in parts:
        configurations = tuple(_named(reader, parts["configurations"], Configuration, "configuration", names))
    both = [*names, *(each.name for each in configurations)]
    branches = tuple(_named(reader, parts["branches"], Branch, "branch", both))
    given: dict[str, Any] = {}
    for key, read in _WORDS.items():
        if key in parts:
            given |= read(reader, parts[key])
    plan = Plan(branches, boards, configurations, **given)
    if not any(plan.jobs()):
        raise reader.fault(node, "`nightly` leaves nothing to be run", "see its `without`")
    return plan


def _boards(reader: Reader, node: Any, targets: Mapping[str, TargetOptions]) -> Iterator[Boards]:
    """Yield the boards: a list of targets, or a mapping from each to `{count: N}`."""
    plain = reader.plain(node)
    if isinstance(plain, list):
        for name, part in zip(reader.value(node, tuple[str, ...], "`boards`"), node.value, strict=True):
            yield Boards(_target(reader, part, name, targets))
        return
    for name, part in reader.mapping(node, "`boards`").items():
        _target(reader, part, name, targets)
        wish = reader.mapping(part, f"board `{name}`", ("count",))
        count = _number(reader, wish["count"], "`count`", least=1) if "count" in wish else 1
        if count > 1 and not targets[name].reserve:
            hint = "`reserve: [board=rpi4]` among its options, and `RemotePlace: {name: +}` (docs/sharing.md)"
            raise reader.fault(part, f"`{name}` is one board: a count is for targets that reserve by tags", hint)
        yield Boards(name, count)


def _target(reader: Reader, node: Any, name: str, targets: Mapping[str, TargetOptions]) -> str:
    if name not in targets:
        raise reader.fault(node, f"no target `{name}` for `nightly`", nearest(name, targets))
    return name


def _named(reader: Reader, node: Any, kind: type[T], what: str, known: list[str]) -> Iterator[T]:
    """Yield a value of *kind* for each key of the mapping; *known* may stand in its `without`."""
    named = reader.mapping(node, f"`{what}s`".replace("branchs", "branches"))
    if not named:
        raise reader.fault(node, f"`nightly` has no {what}", f"`NAME: {{...}}` for each {what}")
    for name, part in named.items():
        if not name or printable(name) != name or "\n" in name:
            raise reader.fault(part, f"{what} {printable(repr(name))}: no name to show to people")
        value: Any = attrs.evolve(reader.value(part, kind, f"{what} `{name}`"), name=name)
        for word in value.without:
            if word not in known:
                message = f"{what} `{name}` leaves out `{word}`, which is not in the plan"
                raise reader.fault(reader.mapping(part, what)["without"], message, nearest(word, known))
        if isinstance(value, Branch):
            _check_source(reader, part, value)
        yield value


def _check_source(reader: Reader, node: Any, branch: Branch) -> None:
    if not branch.source:
        raise reader.fault(node, f"branch `{branch.name}` has no source", "`source: package:linux-source-*`, say")
    try:
        address.parse(branch.source, ref=branch.ref)
    except UsageError as error:
        raise reader.fault(node, f"branch `{branch.name}`: {error.message}", error.hint) from error


def _number(reader: Reader, node: Any, what: str, *, least: int = 0) -> int:
    number: float = reader.value(node, float, what)
    if not number.is_integer() or not least <= number <= MOST:
        raise reader.fault(node, f"{what} must be a whole number from {least} to {MOST}, not {number:g}")
    return int(number)


def _time(key: str) -> Callable[[Reader, Any], dict[str, Any]]:
    def read(reader: Reader, node: Any) -> dict[str, Any]:
        try:
            return {f"{key}_s": duration(str(reader.plain(node)))}
        except UsageError as error:
            raise reader.fault(node, f"`{key}`: {error.message}", error.hint) from error

    return read


def _pytest(reader: Reader, node: Any) -> dict[str, Any]:
    words: tuple[str, ...] = reader.value(node, tuple[str, ...], "`pytest`")
    for word in words:
        if word.partition("=")[0] in OURS:
            raise reader.fault(node, f"`pytest`: {word}: the night says that itself, for each job")
    return {"pytest": words if words and not words[0].startswith("-") else (TESTS, *words)}


def _mail(reader: Reader, node: Any) -> dict[str, Any]:
    options: MailOptions = reader.value(node, MailOptions, "`mail`")
    if fault := options.fault():
        raise reader.fault(node, f"`mail`: {fault}", "docs/nightly-page.md has an example")
    return {"mail": options}


def _on_regression(reader: Reader, node: Any) -> dict[str, Any]:
    return {"on_regression": reader.value(node, OnRegression, "`on_regression`")}


_WORDS: Mapping[str, Callable[[Reader, Any], dict[str, Any]]] = {
    "on_regression": _on_regression,
    "budget": _time("budget"),
    "repeat": lambda reader, node: {"repeat": _number(reader, node, "`repeat`")},
    "board_wait": _time("board_wait"),
    "pytest": _pytest,
    "mail": _mail,
}
