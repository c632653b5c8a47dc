"""The doctor: proves each part of a bench alone and in order, so that no kernel is blamed for a loose cable.

A part is a module of ``parts``; its name is the file's. Its docstring's first line is the sentence that ought to be
true; it has

- ``ORDER``: a number; a part comes after those that it hangs on,
- ``look(bench)``, which yields answers and touches nothing: no power, no mux, no line that somebody may be using,
- optionally ``prove(bench)``, which switches the board; the doctor leaves it off. What looks broken is not proven.

What judges is kept apart from what looks: functions that take what was seen, and the folders of the host
(``Roots``), as values. A failed run asks the parts that may know why (``consult``), by ``look`` alone.
"""

import importlib
import pkgutil
from collections.abc import Callable, Generator, Iterator, Sequence

import attrs

from harness.deadline import words
from harness.errors import Pi64Error
from harness.lab.doctor import parts
from harness.lab.doctor.answer import Answer, absent, clean, fault
from harness.lab.doctor.bench import Bench
from harness.lab.doctor.supply import Inapplicable

Look = Callable[[Bench], Iterator[Answer]]


@attrs.frozen
class Part:
    """One part of a bench."""

    name: str
    summary: str
    """The sentence that ought to be true."""
    order: int
    look: Look
    prove: Look | None = None


def load_all() -> list[Part]:
    """Return every part in the order in which they are looked at."""
    names = [info.name for info in pkgutil.iter_modules(parts.__path__) if not info.name.startswith("_")]
    return sorted(map(_part, names), key=lambda part: (part.order, part.name))


def examine(bench: Bench, *, prove: bool = True, only: Sequence[str] = ()) -> Generator[Answer]:
    """Yield the answers of all parts, or of *only* those; what cannot be asked is an answer too, never an exception."""
    for part in load_all():
        if not only or part.name in only:
            good = yield from _answers(part, part.look, bench)
            if good and prove and part.prove:
                yield from _answers(part, part.prove, bench)


def _answers(part: Part, ask: Look, bench: Bench) -> Generator[Answer, None, bool]:
    """Yield what one part answers, fit for a terminal; return whether it could be asked, and has no fault."""

    def named(answer: Answer) -> Answer:
        return clean(attrs.evolve(answer, part=part.name))

    subject, good = bench.board or "the host", True
    try:
        for answer in ask(bench):
            good = good and answer.state != "fault"
            yield named(answer)
        return good
    except Inapplicable as error:
        if bench.board:  # else only the host is looked at
            yield named(absent(subject, error.fact, error.remedy))
    except Pi64Error as error:
        said = "; ".join([error.message.removeprefix(f"{subject}: "), *error.evidence])
        yield named(fault(subject, said, error.hint))
    except Exception as error:  # noqa: BLE001 - a library may raise anything, and the other parts are to be asked
        yield named(fault(subject, f"{type(error).__name__}: {words(error)}", "see the words above"))
    return False


def _part(name: str) -> Part:
    module = importlib.import_module(f"{parts.__name__}.{name}")
    summary = (module.__doc__ or "").strip().splitlines()[0]
    return Part(name, summary, module.ORDER, module.look, getattr(module, "prove", None))
