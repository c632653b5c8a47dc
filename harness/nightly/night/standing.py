"""Which boards are still to be trusted in this night: pure.

A board is taken out when the known-good kernel does not boot on it either, or when the bench broke again and again. Of
boards that are chosen by tags one may be at fault, and nobody knows which will be next: there it takes as many more.
"""

from collections import Counter
from collections.abc import Mapping

from harness.model import VerdictName
from harness.nightly import facts
from harness.report.record import RunRecord

LABS = 2
"""So many runs in a row that the bench broke, and the board is taken out."""


class Standing:
    """What the runs of this night say about the boards themselves."""

    def __init__(self, count: Mapping[str, int]) -> None:
        """*count* says how many there are of each."""
        self._count = count
        self._in_a_row: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        """How often the known-good kernel did not boot."""

    def judge(self, board: str, record: RunRecord) -> str:
        """Take the *record* of a complete run on *board*; return why the board is to be taken out, empty if not."""
        assert record.verdict is not None
        others = self._count[board] - 1
        self._in_a_row[board] = self._in_a_row[board] + 1 if record.verdict.name is VerdictName.LAB else 0
        failed = facts.control_failed(record)
        self._refused[board] += bool(failed)
        if failed and self._refused[board] > others:
            return f"the known-good kernel does not boot on it either ({failed})"
        if self._in_a_row[board] >= LABS + others:
            said = next(iter(record.verdict.evidence), record.verdict.rule)
            return f"LAB {self._in_a_row[board]} times in a row: {said}"
        return ""
