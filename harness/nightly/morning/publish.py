"""Write the page of a night, and send its summary: at its end, and the page alone every now and then while it runs."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import attrs

from harness import deadline, host
from harness.errors import Pi64Error, UsageError
from harness.lab.mail import MailOptions
from harness.nightly import db, importer, told, watching
from harness.nightly.doing import Now
from harness.nightly.morning import gather, outbox, page
from harness.nightly.morning.letter import letter
from harness.nightly.morning.links import Links
from harness.nightly.morning.values import Morning
from harness.nightly.night.state import FILE, FOLDER, Night, from_json
from harness.report.redact import printable

PAGE = "index.html"
RENEW_S = 20.0
"""Between two pages of a night that goes on, at least; a tenth of the time at most is spent on them."""

LAST_S = 60.0
"""How long the last page of a night that goes on may take: the one of its end comes after it."""
T = TypeVar("T")


@attrs.frozen
class Published:
    """What was made, and what went wrong with it; nothing of that stops a night."""

    page: Path | None = None
    morning: Morning | None = None
    sent: outbox.Sent = outbox.Sent()
    problems: tuple[str, ...] = ()


def publish(
    runs: Path, night: Night | None, *, history: Path | None = None, mail: MailOptions | None = None,
    days: int = gather.DAYS, catch_up: bool = True, send: Callable[[Path, MailOptions], outbox.Sent] = outbox.flush,
) -> Published:  # fmt: skip
    """Write the page of *night* (None: of the history's last day) and mail its summary; never raises for the lab."""
    problems: list[str] = []
    made = _guarded(problems, lambda: morning(runs, night, history=history, days=days, catch_up=catch_up))
    if made is None:
        return Published(problems=tuple(problems))
    path = _guarded(problems, lambda: write(runs, made, night=night))
    sent = _guarded(problems, lambda: mailed(runs, made, mail, send)) if mail else None
    sent = sent or outbox.Sent()
    return Published(path, made, sent, (*problems, *sent.problems))


def morning(
    runs: Path,
    night: Night | None,
    *,
    history: Path | None = None,
    days: int = gather.DAYS,
    catch_up: bool = True,
    running: bool = False,
    progress: host.Progress = host.silent,
) -> Morning:
    """Return what there is to tell, with what is new below *runs* in the history; what was worked out is kept there."""
    path = history or runs / db.NAME
    if catch_up:
        importer.catch_up(path, runs, progress=progress)
    with db.reading(path) as opened:
        found = gather.gather(opened, runs, night, days=days, running=running)
    with suppress(Pi64Error):  # a history that cannot be written to costs the same work the next time
        told.keep(path, found.compared)
    return found.morning


def write(runs: Path, made: Morning, *, night: Night | None, now: Now | None = None) -> Path:
    """Write the page atomically; return it. OSError when it cannot be written."""
    nights = runs / FOLDER
    path = nights / night.name / PAGE if night else nights / PAGE
    links = Links("../../" if night else "../")
    host.write_atomic(path, page.render(made, now, links=links).encode())
    return path


def mailed(
    runs: Path, made: Morning, options: MailOptions, send: Callable[[Path, MailOptions], outbox.Sent] = outbox.flush
) -> outbox.Sent:
    """Put the summary into the outbox, if it is to be told, and send all that is there."""
    box = runs / FOLDER / outbox.FOLDER
    if options.when == "always" or made.changed:
        outbox.put(box, letter(made, options), made.name)
    return send(box, options)


def read(runs: Path, name: str = "latest") -> Night | None:
    """Return a night by its name; None when `latest` is asked for and there has been none.

    UsageError when there is none of that name, or its state cannot be read.
    """
    path = runs / FOLDER / name / FILE
    if not path.exists():
        if name == "latest":
            return None
        states = (each.parent for each in (runs / FOLDER).glob(f"*/{FILE}"))
        there = sorted((folder.name for folder in states if not folder.is_symlink()), reverse=True)
        raise UsageError(f"{name}: no such night below {runs / FOLDER}", evidence=there[:8])
    try:
        return from_json(path.read_text(), name=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}") from error


# --- while it runs ---------------------------------------------------------------------------------------------------
@contextmanager
def live(runs: Path, name: str, *, history: Path | None = None) -> Iterator[None]:
    """Keep the page of the night *name* true while the block runs, in a thread of its own; its faults are nobody's."""
    over = threading.Event()
    thread = threading.Thread(target=_renew, args=(runs, name, history, over), name="nightly page", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(LAST_S)


def _renew(runs: Path, name: str, history: Path | None, over: threading.Event) -> None:
    watch = watching.Watch(runs, history=history)
    made: Morning | None = None
    seen = b""
    while True:
        began = time.monotonic()
        with suppress(Exception):
            state = (runs / FOLDER / name / FILE).read_bytes()
            night = from_json(state.decode())
            if made is None or state != seen:
                made, seen = morning(runs, night, history=history, running=True), state
            write(runs, made, night=night, now=watch.look())
        if over.wait(max(RENEW_S, 9 * (time.monotonic() - began))):
            return


def _guarded(problems: list[str], work: Callable[[], T]) -> T | None:
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - the night has been; its status is to be told whatever a page finds
        said = error.message if isinstance(error, Pi64Error) else deadline.words(error)
        problems.append(printable(said))
        return None
