"""The bench as the doctor sees it: the host's folders, lab.yaml, and one target of it, made when a part asks for it.

Nothing of labgrid is imported before a part needs it: when `serial` or labgrid itself is broken, that is an answer.
"""

import importlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import attrs

from harness import boards
from harness.deadline import within, words
from harness.errors import LabError, Pi64Error
from harness.host import Progress, silent
from harness.lab.doctor import usbtree
from harness.lab.doctor.supply import Inapplicable, Supply
from harness.model import BoardProfile

if TYPE_CHECKING:
    from harness.lab.claim import Lock
    from harness.lab.config import Lab
    from harness.lab.options import TargetOptions
    from harness.strategy import RaspberryPiStrategy

ACTIVATE_S = 25.0  # labgrid waits 5 s for a device of udev's, a virtual board's process may take 20
BAD_LAB = "lab.yaml is not good"


@attrs.frozen
class Roots:
    """Where the host's own folders lie; others stand in for them in tests."""

    proc: Path = Path("/proc")
    sys: Path = Path("/sys")
    dev: Path = Path("/dev")
    run: Path = Path("/run")


@attrs.define(slots=False, eq=False)
class Bench:
    """What is looked at; each question to it is asked once."""

    lab_file: Path
    board: str = ""
    """Name of the target; empty: only the host is looked at."""
    runs: Path = Path("runs")
    """Where records of runs go."""
    roots: Roots = Roots()
    clock: Callable[[], float] = time.monotonic
    progress: Progress = silent
    usb_backend: Any = None
    """pyusb's backend; None: libusb."""
    used_by: str = ""
    """Who else has the board; its power and its mux are left alone then. Parts find it out as they go."""
    no_target: str = ""
    """Why labgrid need not be asked for the target."""
    no_card: str = ""
    """Why there is nothing to boot from."""
    console_open: bool = False
    """Whether the doctor itself has the console."""
    claim: "Lock | None" = None
    """The board, while the doctor has it."""
    running: "RaspberryPiStrategy | None" = None
    """The strategy of a run that has failed: looked at, never touched."""

    @classmethod
    def of_run(cls, strategy: "RaspberryPiStrategy | None", *, runs: Path) -> Self:
        """Return the bench of a run that has failed; *strategy* is None when it had not come to its board."""
        target = getattr(strategy, "target", None)
        environment = getattr(target, "env", None)
        file = Path(environment.config.filename) if environment else Path("lab.yaml")
        return cls(file, target.name if target else "", runs, running=strategy if target else None)

    # --- lab.yaml -----------------------------------------------------------------------------------------------------
    @cached_property
    def lab(self) -> "Lab":
        """lab.yaml, read and checked; Pi64Error."""
        lab: Lab = self.module("harness.lab.config").load(self.lab_file)
        return lab

    @cached_property
    def options(self) -> "TargetOptions":
        """What lab.yaml says of the target; Inapplicable when there is no target, or no good lab.yaml."""
        if not self.board:
            raise Inapplicable("no board is named", "--board NAME")
        try:
            return self.lab.target(self.board)
        except Pi64Error as error:
            raise Inapplicable(BAD_LAB) from error

    @property
    def has_target(self) -> bool:
        """Whether there is a target to speak of: one is named, and lab.yaml is good."""
        try:
            return self.options is not None
        except Inapplicable:
            return False

    @property
    def profile(self) -> BoardProfile:
        """The target's board model."""
        return boards.load(self.options.model)

    # --- the target ---------------------------------------------------------------------------------------------------
    @cached_property
    def strategy(self) -> "RaspberryPiStrategy":
        """The target's strategy, made by labgrid; Inapplicable where the part `target` has the reason."""
        try:
            return self.make()
        except Pi64Error as error:
            raise Inapplicable("labgrid could not make the target") from error

    def make(self) -> "RaspberryPiStrategy":
        """Make the target; Inapplicable without one, ConfigError or LabError when labgrid or the bench refuses."""
        if self.running:
            return self.running
        if self.no_target:
            raise Inapplicable(self.no_target)
        if "strategy" not in vars(self):
            made = self.module("harness.lab.targets").strategy_of(self.environment, self.board)
            vars(self)["strategy"] = made  # where cached_property keeps it
        strategy: RaspberryPiStrategy = vars(self)["strategy"]
        return strategy

    @cached_property
    def environment(self) -> Any:
        """What labgrid makes of lab.yaml, which is good."""
        if self.running:
            return self.running.target.env
        assert self.options  # checked first: labgrid only warns
        return self.module("labgrid").Environment(str(self.lab_file), interact=_refuse)

    @property
    def coordinator(self) -> str:
        """Where labgrid looks for the coordinator, ``HOST[:PORT]``."""
        said: str = self.environment.config.get_option(
            "coordinator_address", os.environ.get("LG_COORDINATOR", "127.0.0.1:20408")
        )
        return said

    def asked(self, kind: str) -> set[str]:
        """Return the classes of the ``resources`` or ``drivers`` that lab.yaml gives the target, before one is made."""
        if self.running:
            return {name for thing in getattr(self.target, kind) for name in class_names(thing)}
        asked = self.environment.config.get_targets()[self.board].get(kind) or {}
        named: list[Any] = []
        for entry in [asked] if isinstance(asked, dict) else asked:
            named += [entry["cls"]] if "cls" in entry else [(args or {}).get("cls", cls) for cls, args in entry.items()]
        return set(map(str, named))

    def tool(self, name: str) -> str:
        """Return what lab.yaml says under ``tools:`` for the program *name*, or the name itself."""
        found: str = self.environment.config.get_tool(name)
        return found

    @property
    def target(self) -> Any:
        """The target, as labgrid has it."""
        return self.strategy.target

    def resources(self, *classes: str) -> list[Any]:
        """Return the target's resources of any of *classes*, by labgrid's name or a base class's."""
        return [resource for resource in self.target.resources if _is(resource, classes)]

    def drivers(self, *classes: str) -> list[Any]:
        """Return the target's drivers of any of *classes*."""
        return [driver for driver in self.target.drivers if _is(driver, classes)]

    @property
    def deploy_remedy(self) -> str:
        """How something comes onto the card."""
        return f"`pytest tests_hw --board {self.board}` deploys"

    @property
    def virtual(self) -> bool:
        """Whether the board is a program on this host, which has no wires."""
        return _is(self.strategy.power, ("VirtualPiDriver", "QEMUDriver"))

    @cached_property
    def supply(self) -> Supply:
        """The board's power, as the doctor may switch it."""
        return Supply(self)

    def activate(self, driver: Any) -> None:
        """Let labgrid make *driver* ready; LabError with its words when it cannot, or takes longer than ACTIVATE_S."""
        what = f"{type(driver).__name__} of {self.board}"
        try:
            within(ACTIVATE_S, lambda: self.target.activate(driver), what)
        except LabError:
            raise
        except Exception as error:  # whatever a driver's library raises
            raise LabError(f"{what} does not start: {words(error)}") from error

    def module(self, name: str) -> Any:
        """Import a module that stands on labgrid; LabError when that is broken."""
        try:
            return importlib.import_module(name)
        except ImportError as error:
            raise LabError(f"{name} cannot be loaded: {error}", hint="`make setup` mends an installation") from error

    def close(self) -> str:
        """Leave the board off if its power was touched, and let labgrid's drivers go; return why it is still on.

        Of a run nothing was taken, and nothing is let go.
        """
        if self.running or "strategy" not in vars(self):
            return ""
        try:
            if self.supply.turned_on:
                self.supply.cut()
        except LabError as error:
            return error.message
        finally:
            with suppress(LabError):  # a driver that does not even end
                within(ACTIVATE_S, self.target.cleanup, f"the drivers of {self.board}")
            if self.claim:
                self.claim.close()
        return ""

    # --- USB ----------------------------------------------------------------------------------------------------------
    @cached_property
    def usb(self) -> tuple[usbtree.Device, ...]:
        """What is plugged in."""
        return usbtree.read(self.roots.sys, self.roots.run)

    def node(self, name: str) -> Path:
        """Return where the device file *name* (``/dev/...``) lies below our roots."""
        path = Path(name)
        return self.roots.dev / path.relative_to("/dev") if path.is_relative_to("/dev") else path

    def may_use(self, node: Path) -> bool:
        """Tell whether this user may read and write the device file *node*."""
        return os.access(node, os.R_OK | os.W_OK)


def class_names(thing: Any) -> Iterator[str]:
    """Yield the names of *thing*'s class and of its bases."""
    return (cls.__name__ for cls in type(thing).__mro__)


def _is(thing: Any, classes: tuple[str, ...]) -> bool:
    return any(name in classes for name in class_names(thing))


def _refuse(question: str) -> None:
    """Answer labgrid, which asks a person to switch: the doctor runs without one."""
    raise LabError(f"somebody would have to do this by hand: {question}")
