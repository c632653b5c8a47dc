"""What runs on the computer that has the card, started over ssh by ``exporter``, for as long as the connection lasts.

On standard input, for each request: a line of JSON that says what to do and which files follow, then their bytes. On
standard output: lines of JSON, ``progress`` as often as there is any, at last ``result`` or ``error``.
"""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import attrs

from harness.card.bmap import Range
from harness.card.firstboot import Account
from harness.card.flashplan import Plan
from harness.deploy import cardwork
from harness.deploy.cardwork import Place, Work
from harness.errors import Pi64Error
from harness.host import Progress

CHUNK = 1 << 20
Incoming = Callable[[], Iterator[bytes]]


def main(given: IO[bytes], answer: IO[bytes]) -> int:
    """Do what *given* asks for, one request after the other, and write the *answer* to each."""

    def say(kind: str, what: object) -> None:
        answer.write(json.dumps({kind: what}).encode() + b"\n")
        answer.flush()

    while line := given.readline():
        try:
            asked = json.loads(line)
            say("result", OPERATIONS[asked["do"]](asked, given, lambda text: say("progress", text)))
        except Pi64Error as error:
            told = {"message": error.message, "hint": error.hint, "evidence": list(error.evidence)}
            say("error", {"kind": type(error).__name__, **told})
            return 1  # what follows on the connection may be the rest of a request
        except Exception as error:  # noqa: BLE001 - over there nobody would see the traceback
            say(
                "error", {"kind": "LabError", "message": f"{type(error).__name__}: {error}", "hint": "", "evidence": []}
            )
            return 1
    return 0


def _look(asked: Mapping[str, Any], _: IO[bytes], progress: Progress) -> dict[str, Any]:
    return attrs.asdict(cardwork.look(Place(**asked["place"]), asked["sizes"], progress=progress))


def _write(asked: Mapping[str, Any], given: IO[bytes], progress: Progress) -> None:
    with _received(given, asked["boot"]) as boot, _received(given, asked["modules"]) as modules:
        cardwork.write(Place(**asked["place"]), Work(**asked["work"]), boot, modules, progress=progress)


def _restore(asked: Mapping[str, Any], _: IO[bytes], progress: Progress) -> None:
    cardwork.restore(Place(**asked["place"]), progress=progress)


def _flash(asked: Mapping[str, Any], given: IO[bytes], progress: Progress) -> str:
    plan = Plan(Path(), asked["size_bytes"], tuple(Range(**part) for part in asked["ranges"]), "", "")
    return cardwork.flash(
        Place(**asked["place"]), plan, lambda part: _incoming(given, part), forced=asked["forced"], progress=progress
    )


def _prepare(asked: Mapping[str, Any], _: IO[bytes], progress: Progress) -> tuple[str, ...]:
    return cardwork.prepare(Place(**asked["place"]), Account(**asked["who"]), progress=progress)


OPERATIONS: Mapping[str, Callable[[Mapping[str, Any], IO[bytes], Progress], Any]] = {
    "look": _look,
    "write": _write,
    "restore": _restore,
    "flash": _flash,
    "prepare": _prepare,
}


@contextmanager
def _received(given: IO[bytes], entries: list[tuple[str, int | str]]) -> Iterator[dict[str, Path]]:
    """Yield name -> file with the bytes that follow on *given*; an entry is a name with a size, or where a link points.

    Names are only names here: the files are called by their numbers.
    """
    with tempfile.TemporaryDirectory(prefix="pi64-card-") as name:
        found = {}
        for number, (entry, size) in enumerate(entries):
            path = found[entry] = Path(name) / str(number)
            if isinstance(size, str):
                path.symlink_to(size)
                continue
            with path.open("wb") as file:
                file.writelines(_incoming(given, Range(0, size)))
        yield found


def _incoming(given: IO[bytes], part: Range) -> Iterator[bytes]:
    """Yield the bytes of *part* as they come; those of a hole are not sent."""
    left = part.size
    while left:
        piece = bytes(min(left, CHUNK)) if part.hole else given.read(min(left, CHUNK))
        if not piece:
            raise EOFError("the connection ended in the midst of a file")
        yield piece
        left -= len(piece)
