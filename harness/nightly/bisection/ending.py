"""What a bisection leaves when it ends: a page, and what is told on the terminal."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from harness import host
from harness.errors import UsageError
from harness.lab import config
from harness.nightly.bisection import excerpts, page, plan, tell
from harness.nightly.bisection.git import History
from harness.nightly.bisection.places import Bench
from harness.nightly.bisection.plan import Done, Out, Refused, Step
from harness.nightly.bisection.state import State

PAGE, LOG = "report.html", "bisect.log"


def leave(state: State, history: History, step: Step | None, folder: Path, bench: Bench) -> Iterator[str]:
    """Write the page into *folder* and yield what is told; *step* is how it ended, None by a signal."""
    pair = excerpts.pair(state, folder / "runs", hide=_secrets(state, bench))
    sure = tuple(tell.certainty(state, len(plan.good_votes(state, history.graph))))
    hand = tuple(tell.by_hand(state, str(folder / LOG)))
    html = page.render(state, history.commits, pair, sure=sure, by_hand=hand)
    host.write_atomic(folder / PAGE, html.encode())
    yield ""
    yield from tell.answer(state, history.commits)
    if isinstance(step, Refused | Out):
        yield from (f"  | {line}" for line in step.answer.evidence[:8])
    if isinstance(step, Refused):
        yield f"  hint: {step.hint}"
    yield from (f"  {line}" for line in sure)
    if isinstance(step, Done):
        yield from tell.consoles(pair)
        yield "to repeat it by hand:"
        yield from (f"  {line}" for line in hand)
    elif not isinstance(step, Refused):
        yield f"to go on: pi64 bisect --resume {state.name}"
    yield tell.costs(state)
    beside = folder.relative_to(bench.folder) if folder.is_relative_to(bench.folder) else folder
    yield f"{beside}/{PAGE}, {beside}/{LOG}"


def _secrets(state: State, bench: Bench) -> tuple[str, ...]:
    """Return the words that a console must not tell."""
    board = state.question.board
    login = config.load(bench.lab).target(board).login
    with suppress(UsageError):  # the variable is not set any more: then nobody knows what to hide
        return (login.account(board).password,) if login.secret else ()
    return ()
