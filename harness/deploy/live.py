"""A deploy into the running system: what its driver can do beyond every other, and what it asks of a serial console."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Protocol

from harness.deploy import DeployProtocol
from harness.model import BootFiles, CommandResult


class Console(Protocol):
    """A logged-in command line that needs no network, as ``console.shell.Shell`` is one."""

    def run(self, command: str, *, timeout: float = ...) -> CommandResult:
        """Run *command* and return its output and its status."""


GetConsole = Callable[[], Console]
"""Logs in on the serial console when it is called, and not before: that takes seconds, and is rarely needed."""


class LiveDeployProtocol(DeployProtocol):
    """What a driver does that needs the board to run: the stock system, or the kernel that was committed last."""

    live = True

    @property
    @abstractmethod
    def way_back(self) -> str:
        """Say how the system from before comes back when what boots now does not: a hint for people."""

    @property
    @abstractmethod
    def restores_live(self) -> bool:
        """Whether ``restore`` needs the board to run as well."""

    @property
    @abstractmethod
    def clean(self) -> bool:
        """Whether ``restore`` has left nothing: what runs, it cannot remove."""

    @abstractmethod
    def bare(self) -> Mapping[str, bytes] | None:
        """Return the text files of the card's boot partition without any kernel; None where the lab holds no card."""

    @abstractmethod
    def provide(self, files: BootFiles) -> None:
        """Put *files* onto the card, as the system that is there already. The board is off meanwhile. LabError."""

    @abstractmethod
    def recover(self) -> None:
        """Undo from outside what a kernel that did not boot has left as what boots; nothing to do with tryboot.

        The board is off meanwhile.
        """

    @abstractmethod
    def connect(self, console: GetConsole) -> str:
        """Reach the system that has come to its login, and return the release of its kernel. LabError."""

    @abstractmethod
    def step_back(self, files: BootFiles) -> bool:
        """Let the stock system boot next if *files* are to be tried, and only a kernel of ours that runs prevents it.

        True when the board has to start again for that. LabError.
        """

    @abstractmethod
    def restart(self) -> None:
        """Restart the board into what was deployed last, for one boot where it can. LabError."""

    @abstractmethod
    def commit(self, console: GetConsole) -> None:
        """Make what was deployed last, and has come to its login, what every start boots.

        DeployError when it is another kernel that answers; what was there before then stays what boots.
        """
