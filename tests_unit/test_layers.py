"""The floors of the house as data: an import points down, no cables on the ground floors, only the top one prints."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

import harness

HOUSE = Path(harness.__file__).parent

FLOORS = {
    6: ("plugin", "options", "asking", "attempts", "outcomes", "cli"),
    5: ("nightly",),
    4: ("strategy", "lab"),
    3: ("build", "image", "deploy", "power", "console", "virtual"),
    2: ("card", "deadline", "host", "progress", "usbbus"),
    1: ("boards", "bootfs", "verdict", "checks", "report"),
    0: ("model", "errors"),
}

SIDEWAYS = {
    ("errors", "model"): "an exception carries the values that it is about",
    ("checks", "verdict"): "a check makes its findings the way the log scanner makes them",
    ("card", "host"): "the card is read and written by host programs",
    ("report", "verdict"): "a page finds a finding's line on the console by what the log scanner makes of a line",
    ("plugin", "outcomes"): "the second half of the plugin: fixtures here, how they end there",
    ("plugin", "asking"): "the third part of the plugin: what is asked of a kernel that runs",
    ("plugin", "attempts"): "how a test is repeated, between the fixtures and how they end",
    ("plugin", "options"): "what the command line may say",
    ("attempts", "outcomes"): "where the record of a run is found",
    ("lab", "strategy"): "a run's record takes the boots from the strategy, and lab.yaml names it",
}
"""Edges between two rooms of one floor, each with its reason; between any other two there is none."""

CABLES = ("labgrid", "pexpect", "pytest", "serial", "socket")
PURE = (*CABLES, "asyncio", "datetime", "select", "subprocess", "threading", "time")
FORBIDDEN = {
    **dict.fromkeys(FLOORS[0] + FLOORS[1], PURE),
    **dict.fromkeys(FLOORS[2], CABLES),
    **dict.fromkeys(FLOORS[3] + FLOORS[4] + FLOORS[5] + ("cli",), ("pytest",)),
}
"""What a room must not import from outside of the house."""

ALLOWED = {
    ("card/slot.py", "labgrid"): "a labgrid resource; it stands here because deploy and virtual share it",
    ("progress.py", "sys.stdout"): "a line below the one on which pytest's own writer counts its columns",
    ("virtual/pi.py", "print"): "a process of its own: one line tells whoever started it that it is ready",
    ("virtual/pi.py", "sys.exit"): "a process of its own: what went wrong is its last word",
}
"""What would be a fault elsewhere, each with its reason: (file, module or call)."""


@attrs.frozen
class Fault:
    """One line that breaks a rule."""

    file: str
    line: int
    what: str
    """Module or call, as in ALLOWED, or the edge between two rooms."""
    rule: str


# --- what a module does ----------------------------------------------------------------------------------------------
def imports(tree: ast.Module, package: str) -> Iterator[tuple[int, str]]:
    """Yield line and full name of all that is imported, wherever it stands; *package* is what `.` means."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: None if node.level < 2 else 1 - node.level] if node.level else []
            module = ".".join([*parts, *filter(None, [node.module])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def last_words(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and name of what belongs to the floor of the command line: printing and ending the process."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id="print" | "exit" | "quit" | "SystemExit" as name):
                yield node.lineno, name
            case ast.Attribute(
                ast.Name(id="sys" | "os" as module), attr="exit" | "_exit" | "stdout" | "stderr" as name
            ):
                yield node.lineno, f"{module}.{name}"


def faults(file: str, source: str) -> list[Fault]:
    """Return what *source* does wrong if it lies in *file* of the house."""
    tree, room = ast.parse(source), Path(file).parts[0].removesuffix(".py")
    package = ".".join(["harness", *Path(file).parent.parts])
    found = []
    for line, name in imports(tree, package):
        top, _, rest = name.partition(".")
        other = rest.partition(".")[0]
        if top != "harness":
            bad = top.removeprefix("_") in FORBIDDEN.get(room, ())
            found += [Fault(file, line, top, f"{room} must not know {top}")] * bad
        elif other and other != room:
            found += [Fault(file, line, f"{room} -> {other}", rule) for rule in edge(room, other)]
    if floor(room) < 6:
        found += [Fault(file, line, name, f"only the top floor may use {name}") for line, name in last_words(tree)]
    return [fault for fault in found if (file, fault.what) not in ALLOWED]


def edge(room: str, other: str) -> Iterator[str]:
    """Yield why *room* must not import *other*."""
    if floor(other) > floor(room):
        yield f"{room} stands on floor {floor(room)}, {other} above it on floor {floor(other)}"
    elif floor(other) == floor(room) and (room, other) not in SIDEWAYS:
        yield f"{room} and {other} stand on the same floor {floor(room)}"


def floor(room: str) -> int:
    """Return the floor of *room*; KeyError when the picture does not show it."""
    return {name: number for number, names in FLOORS.items() for name in names}[room]


# --- the house -------------------------------------------------------------------------------------------------------
def modules() -> list[str]:
    files = (str(path.relative_to(HOUSE)) for path in HOUSE.rglob("*.py"))
    return sorted(file for file in files if file != "__init__.py")


@pytest.mark.parametrize("file", modules())
def test_keeps_to_its_floor(file: str) -> None:
    found = faults(file, (HOUSE / file).read_text())
    assert not found, "\n".join(f"harness/{fault.file}:{fault.line}: {fault.rule}" for fault in found)


def test_everything_in_the_house_stands_on_a_floor() -> None:
    standing = {name for names in FLOORS.values() for name in names}
    assert {Path(file).parts[0].removesuffix(".py") for file in modules()} <= standing


def test_the_docstring_shows_the_same_floors() -> None:
    rows = re.findall(r"^    (\d)  ([a-z]+(?: [a-z]+)*)(?: {2,}|$)", harness.__doc__ or "", re.MULTILINE)
    assert {int(number): tuple(names.split()) for number, names in rows} == FLOORS


def test_the_house_itself_holds_no_code() -> None:
    assert [type(node) for node in ast.parse((HOUSE / "__init__.py").read_text()).body] == [ast.Expr]


@pytest.mark.parametrize(("file", "what"), ALLOWED)
def test_no_exception_outlives_its_need(file: str, what: str) -> None:
    tree = ast.parse((HOUSE / file).read_text())
    used = {name.partition(".")[0] for _, name in imports(tree, "")} | {name for _, name in last_words(tree)}
    assert what in used


# --- the rules themselves --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("bootfs/x.py", "from harness import host"),
        ("host.py", "import harness.card.fat"),
        ("model.py", "from harness.errors import LabError"),
        ("deploy/x.py", "from harness.virtual import firmware"),
        ("console/x.py", "def late():\n    from ..virtual import board"),
        ("strategy.py", "from harness.lab.run import Run"),
        ("verdict/x.py", "import time"),
        ("checks/x.py", "from labgrid.step import step"),
        ("report/x.py", "import subprocess as run"),
        ("console/x.py", "from _pytest.config import Config"),
        ("cli.py", "import pytest"),
        ("build/x.py", "print(1)"),
        ("card/x.py", "import sys\nsys.exit(1)"),
        ("virtual/qemu.py", "raise SystemExit"),
    ],
)
def test_a_fault_is_seen(file: str, source: str) -> None:
    assert len(faults(file, source)) == 1


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("virtual/x.py", "from harness.bootfs import firmware"),
        ("virtual/x.py", "from . import dtb\nfrom .qemu import command"),
        ("lab/x.py", "from harness.strategy import RaspberryPiStrategy"),
        ("console/x.py", "import time, pexpect, labgrid.step"),
        ("plugin.py", "import pytest\nfrom _pytest.junitxml import xml_key"),
        ("cli.py", "print(1)"),
        ("boards/x.py", '"""import time; print(1)"""'),
    ],
)
def test_what_points_down_is_no_fault(file: str, source: str) -> None:
    assert faults(file, source) == []
