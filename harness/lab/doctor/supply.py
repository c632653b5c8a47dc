"""The board's power as the doctor may switch it: never of a board in use, never without a deadline, off in the end."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from harness.deadline import within, words
from harness.errors import LabError

if TYPE_CHECKING:
    from harness.lab.doctor.bench import Bench

SWITCH_S = 20.0  # a driver may wait for its relay, and a virtual board for QEMU


class Inapplicable(Exception):
    """A part, or what it hangs on, is not there to be looked at; *remedy* says how it would be."""

    def __init__(self, fact: str, remedy: str = "") -> None:
        super().__init__(fact)
        self.fact, self.remedy = fact, remedy


class Supply:
    """Switches through labgrid's power driver of the target; LabError with its words when it refuses or is late."""

    def __init__(self, bench: "Bench") -> None:
        self._bench = bench
        self._stays_on = ""
        self.turned_on = False
        """Whether the doctor has switched the board on, and not off again."""

    def cut(self) -> None:
        """Switch the board off. Never in a run, nor of a board in use."""
        assert not self._bench.running
        assert not self._bench.used_by
        power = self._bench.strategy.power
        self._bench.activate(power)
        self._do(power.off, "off")
        self.turned_on = False

    def give(self) -> None:
        """Switch the board on, which was switched off before."""
        self.turned_on = True
        self._do(self._bench.strategy.power.on, "on")

    def be_off(self) -> None:
        """Switch the board off for what is done with its card; Inapplicable when that cannot be, or it is in use."""
        if by := self._bench.used_by:
            raise Inapplicable(f"not tried: {by} has the board", "wait for it to end, and ask again")
        if not self._stays_on:
            try:
                self.cut()
                return
            except LabError as error:
                self._stays_on = error.message
        raise Inapplicable(f"not tried while the board may be on: {self._stays_on}", "see the part `power`")

    def _do(self, switch: Callable[[], object], what: str) -> None:
        name = f"{type(self._bench.strategy.power).__name__}: {what}"
        try:
            within(SWITCH_S, switch, name)
        except LabError:
            raise
        except Exception as error:  # whatever a driver's library raises
            raise LabError(f"{name}: {words(error)}") from error
