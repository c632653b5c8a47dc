"""A question to the bench that must not take for ever: a relay that accepts and says nothing, a disk that is gone."""

import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from harness.errors import LabError

T = TypeVar("T")


def within(seconds: float, ask: Callable[[], T], what: str) -> T:
    """Return what *ask* returns, or raise what it raises; LabError naming *what* when it has not after *seconds*.

    *ask* runs in a thread, for half of labgrid's power drivers, and the kernel itself, know no deadline. One that is
    late is left behind; it cannot keep the process from ending. A signal that ends the wait leaves it behind as well.
    """
    answer: list[tuple[bool, Any]] = []
    done = threading.Event()

    def run() -> None:
        try:
            answer.append((True, ask()))
        except BaseException as error:  # noqa: BLE001 - raised again below, in the thread of whoever asked
            answer.append((False, error))
        done.set()

    steps = _steps()
    threading.Thread(target=run, name=what, daemon=True).start()
    try:
        if not done.wait(seconds):
            raise LabError(f"{what}: no answer within {seconds:g} s")
    finally:
        if steps is not None and not done.is_set():
            _forget_steps(steps)
    good, value = answer[0]
    if not good:
        raise value
    result: T = value
    return result


def words(error: BaseException) -> str:
    """Return in one line what *error* says; of an OSError that a library wrapped up, only what the host said."""
    inner: BaseException | None = error
    seen: list[BaseException] = []
    while inner is not None and inner not in seen:
        seen.append(inner)
        if isinstance(inner, OSError) and inner.strerror:
            return f"{inner.strerror}: {inner.filename}" if inner.filename else inner.strerror
        inner = inner.__cause__ or inner.__context__
    said = str(getattr(error, "msg", "") or getattr(error, "message", "") or error).strip()
    return said.partition("\n")[0] or type(error).__name__


def _steps() -> list[Any] | None:
    """Return the steps that labgrid, if it is loaded, is in now."""
    module = sys.modules.get("labgrid.step")
    return list(module.steps._stack) if module else None  # noqa: SLF001 - see _forget_steps


def _forget_steps(before: list[Any]) -> None:
    """Take what the late thread had begun off labgrid's stack of steps, or the next step would trip over it."""
    sys.modules["labgrid.step"].steps._stack[:] = before  # noqa: SLF001 - labgrid has one stack for all threads
