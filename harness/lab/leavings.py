"""What a run has left in its folder, read for a report; only run.json must be there."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

import attrs

from harness import host
from harness.errors import UsageError
from harness.report import record as records
from harness.report import run_page
from harness.report.material import Material, mapping
from harness.report.record import RunRecord
from harness.report.redact import redact

RECORD = "run.json"
PAGE = "report.html"
DOING = "doing.json"
"""What a run does at the moment; gone when it has ended."""
CONSOLE = 24 << 20  # bytes of a log; a page of a longer one would take the memory that the lab host needs
BLOCK = 1 << 20


@attrs.frozen
class Doing:
    """What a run does at the moment."""

    work: str
    """Before the first colon of *text*; empty: it asks the board its tests."""
    text: str
    since: float
    """When this work began, in seconds since 1970; *at*: when *text* was said."""
    at: float


def leave_doing(folder: Path, doing: Doing) -> None:
    """Write down what goes on; a reader sees it whole or not at all, and a crash of the host may lose it."""
    beside = folder / f".{DOING}"
    beside.write_text(json.dumps(attrs.asdict(doing)))
    beside.replace(folder / DOING)


def read_doing(folder: Path) -> Doing | None:
    """Return what goes on; None when nobody has said so."""
    try:
        said = json.loads((folder / DOING).read_bytes())
        return Doing(str(said["work"]), str(said["text"]), float(said["since"]), float(said["at"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def find(name: str, *, runs: Path) -> Path:
    """Return the folder of a run: *name* is that folder, its run.json, or its name below *runs*.

    UsageError that names the newest runs when there is none.
    """
    for path in (Path(name), runs / name):
        folder = path.parent if path.name == RECORD else path
        if (folder / RECORD).is_file():
            return folder
    there = sorted(
        (path.parent.name for path in runs.glob(f"*/{RECORD}") if not path.parent.is_symlink()), reverse=True
    )
    raise UsageError(
        f"{name}: no such run, neither a folder with a {RECORD} nor the name of one below {runs}",
        evidence=there[:8],
        hint="name a folder below runs/, or make a run first: pytest tests_hw",
    )


def read(folder: Path, *, record: RunRecord | None = None) -> Material:
    """Return what lies in *folder*; *record* goes over its run.json. UsageError when that is no record."""
    console, omitted = _console(folder / "console.log")
    return Material(
        record or _record(folder / RECORD),
        console=console,
        omitted=omitted,
        stamped=b"" if omitted else _bytes(folder / "console.jsonl"),
        manifest=mapping(_bytes(folder / "deploy.json")),
    )


def publish(folder: Path, record: RunRecord, *, hide: Iterable[str] = ()) -> Path:
    """Write the page of a run into its *folder*, without the words to *hide*; return it."""
    left = read(folder, record=record)
    said = redact(left.console.decode("utf-8", "surrogateescape"), hide)
    shown = attrs.evolve(left, console=said.encode("utf-8", "surrogateescape"))
    host.write_atomic(folder / PAGE, run_page.render(shown).encode())
    return folder / PAGE


def _record(path: Path) -> RunRecord:
    try:
        return records.from_json(path.read_text(), name=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}") from error


def _console(path: Path) -> tuple[bytes, int]:
    """Return the log and 0; of one beyond CONSOLE its ends, the line ends of what is between, and how long that is."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= CONSOLE:
                return file.read(), 0
            head = file.read(CONSOLE // 2)
            omitted = size - CONSOLE
            lines = sum(file.read(min(BLOCK, omitted - at)).count(b"\n") for at in range(0, omitted, BLOCK))
            return head + b"\n" * lines + file.read(CONSOLE // 2), omitted
    except OSError:
        return b"", 0


def _bytes(path: Path) -> bytes:
    """Return the content; nothing for what cannot be read, for the rest is worth a report."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
