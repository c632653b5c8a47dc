"""The ladder of a Raspberry Pi under test: off, deployed, booted, shell."""

import enum
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import attr
import attrs
from labgrid.driver.exception import ExecutionError
from labgrid.factory import target_factory
from labgrid.protocol import ConsoleProtocol, PowerProtocol
from labgrid.strategy import Strategy

from harness import host
from harness.console.expect import ConsoleExpect
from harness.console.login import Account
from harness.console.recorder import Recorder
from harness.console.shell import Shell
from harness.console.watcher import BootWatch, Deadlines
from harness.deploy import DeployProtocol
from harness.errors import BootFailed, LabError, UsageError
from harness.host import Progress
from harness.model import BaseImage, BootFiles, BootRecord, Manifest
from harness.power.coldstart import proof_of_power

LOGIN_TIMEOUT_S = 60.0  # from the prompt to the shell; PAM and bash take 2 s in QEMU
REBOOT = "sudo systemctl reboot"
BENCH = (LabError, ExecutionError, OSError)
"""What a driver raises: labgrid's pass on what their libraries raise, for a port or a switch that does not answer."""


class Status(enum.IntEnum):
    """The rungs, lowest first."""

    off = 0
    deployed = 1
    booted = 2
    shell = 3


@attrs.frozen
class Assignment:
    """What a run wants of the board."""

    folder: Path | None
    """Where the console's record goes; None: a new temporary folder."""
    account: Account = Account("pi", "raspberry")
    deadlines: Deadlines = Deadlines()
    progress: Progress = host.silent


@target_factory.reg_driver
@attr.s(eq=False)
class RaspberryPiStrategy(Strategy):
    """Brings a board to a rung and keeps what happened on the way.

    ``transition`` climbs, ``reboot`` and ``cold_boot`` go round once. A boot that fails leaves a BootRecord, and the
    next transition starts from ``off``; after a LabError each further one raises that first error again, at once.
    """

    bindings = {"power": PowerProtocol, "console": ConsoleProtocol, "medium": {DeployProtocol, None}}  # noqa: RUF012

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.status = Status.off
        self.boots: list[BootRecord] = []
        self.manifest: Manifest | None = None
        self.shell: Shell | None = None
        self._prompt_at: int | None = None
        self._touched = False
        self.recorder: Recorder | None = None
        self.assignment = Assignment(None)
        self.files: BootFiles | None = None  # None: boot what lies on the card
        self._deployed: BootFiles | None = None
        self._fault: LabError | None = None
        self.still_on = ""
        """Why the board could not be switched off, in the driver's words; empty when it could."""

    def prepare(self, assignment: Assignment, base: BaseImage) -> None:
        """Say what is wanted of the board, and which system lies under the kernel."""
        self.assignment = assignment
        if self.medium:
            self.target.activate(self.medium)
            self.medium.use(base)

    def stock(self) -> Mapping[str, bytes]:
        """Return the text files of the stock boot partition; none where nothing is deployed."""
        return self.medium.stock() if self.medium else {}

    # --- climbing -----------------------------------------------------------------------------------------------------
    def transition(self, status: Status | str) -> list[str]:
        """Climb (or fall) to *status*; return the rungs passed, the last one included.

        Raises LabError for the bench, DeployError for what cannot be deployed, BootFailed when a shell is wanted and
        the board has not come to its login; ``booted`` itself does not raise for that: look at ``boot``.
        """
        wanted = _rung(status)
        with self._guarded():
            return self._climb(wanted)

    def force(self, status: Status | str) -> None:
        """Believe that the board is on *status* already (``--lg-initial-state``): attach, change nothing."""
        self.status, self._touched = _rung(status), True
        if self.status > Status.deployed:
            recorder = self._listen()
            self.boots.append(BootRecord(recorder.name, {}, True, "", (), recorder.log, 1))
        if self.status is Status.shell:
            self._open_shell(position=None)

    def reboot(self) -> BootRecord:
        """Restart from the shell with the power left on, and watch it come back to its login."""
        assert self.shell is not None, "a reboot is asked for in a shell"
        with self._guarded():
            recorder = self._listen()
            position = recorder.position
            self.shell.send(REBOOT)
            self.shell, self.status = None, Status.booted
            return self._watch(recorder, position=position, started=None)

    def cold_boot(self) -> BootRecord:
        """Off, on: what lies on the card boots from a cold start."""
        with self._guarded():
            self._cut_power()
        self.status = Status.deployed
        self.transition(Status.booted)
        return self.boot

    def start_over(self) -> None:
        """Forget what the bench did wrong: the power is off, a lost line is opened again, nothing is deployed anew.

        Raises LabError when the bench is broken still, and from then on each transition does.
        """
        self._fault = None
        with self._guarded():
            self._cut_power()
            # A virtual board is its own console: it opens its line at power-on, and what the guest wrote stays.
            if self.recorder and _lost(self.recorder) and self.console is not self.power:
                self.target.deactivate(self.console)
                self.target.activate(self.console)
                self.recorder.revive()

    @property
    def boot(self) -> BootRecord:
        """The last boot, failed or not."""
        return self.boots[-1]

    # --- coming down --------------------------------------------------------------------------------------------------
    def power_off(self) -> None:
        """Cut the power; never raises, for it runs in every ``finally``: ``still_on`` says what went wrong."""
        try:
            self._cut_power()
        except LabError as error:
            self.logger.error("%s", error.message)  # noqa: TRY400

    def close(self) -> None:
        """Power off, stop listening, let the drivers go."""
        self.power_off()
        if self.recorder:
            self.recorder.stop()
            self.recorder = None
        for driver in (self.console, self.power, self.medium):
            if driver:
                self.target.deactivate(driver)
        if not getattr(self.power, "detached", True):
            self.still_on = ""  # a virtual board ends with its driver

    def _cut_power(self) -> None:
        self.shell = None
        self.status, self._touched = Status.off, True
        try:
            self.target.activate(self.power)
            self.power.off()
        except BENCH as error:
            self.still_on = str(error).partition("\n")[0] or type(error).__name__
            raise LabError(f"{self.target.name}: the power could not be switched off: {self.still_on}") from error
        self.still_on = ""

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Keep the first LabError, switch off, and from then on raise it at once."""
        if self._fault:
            raise self._fault
        try:
            yield
        except BENCH as error:
            fault = error if isinstance(error, LabError) else LabError(f"{self.target.name}: {error}")
            self._fault = fault
            self.power_off()
            if fault is error:
                raise
            raise fault from error

    # --- the rungs ----------------------------------------------------------------------------------------------------
    def _climb(self, wanted: Status) -> list[str]:
        failed = self.status >= Status.booted and not (self.boots and self.boot.reached)
        lost = self.status is Status.shell and (self.shell is None or self.shell.dead)
        if failed or lost or wanted < self.status or not self._touched:
            self._cut_power()  # nobody knows either whether a board that was never touched is on
        passed = []
        steps = {Status.deployed: self._deploy, Status.booted: self._boot, Status.shell: self._log_in}
        for rung in [rung for rung in Status if self.status < rung <= wanted]:
            steps[rung]()
            self.status = rung
            passed.append(rung.name)
        return passed or [self.status.name]

    def _deploy(self) -> None:
        if self.medium and self.files and self._deployed is not self.files:
            self.manifest = self.medium.deploy(self.files, progress=self.assignment.progress)
            self._deployed = self.files

    def _boot(self) -> None:
        recorder = self._listen()  # before the power comes: the first bytes are the firmware's
        position = recorder.position
        self.target.activate(self.power)
        started = recorder.now
        self.power.on()
        recorder.revive()
        self._watch(recorder, position=position, started=started)
        self._believe_cold(recorder, position=position, started=started)

    def _log_in(self) -> None:
        if not self.boot.reached:
            raise BootFailed(self.boot)
        self._open_shell(position=self._prompt_at)

    # --- the console --------------------------------------------------------------------------------------------------
    def _listen(self) -> Recorder:
        if self.recorder is None:
            self.target.activate(self.console)
            folder = self.assignment.folder or Path(tempfile.mkdtemp(prefix="pi64-run-"))
            self.recorder = Recorder(self.console, folder)
            self.recorder.start()
        return self.recorder

    def _watch(self, recorder: Recorder, *, position: int, started: float | None) -> BootRecord:
        watch = BootWatch(recorder, self.assignment.deadlines, position=position, started=started)
        try:
            watch.run(progress=self.assignment.progress)
        except LabError:
            self.boots.append(watch.record)  # as far as it came before the line died
            raise
        self.boots.append(watch.record)
        self._prompt_at = watch.line_position
        self.status = Status.booted
        return self.boot

    def _believe_cold(self, recorder: Recorder, *, position: int, started: float) -> None:
        """Raise LabError when what came after power-on is no boot but the system from before; the record says so."""
        write = self.console.write
        found = proof_of_power(self.boot, recorder, position=position, started=started, write=write)
        if found is None:
            return
        findings = (*self.boot.findings, found)
        self.boots[-1] = attrs.evolve(self.boot, reached=False, reason=found.message, findings=findings)
        raise LabError(
            f"{self.target.name}: {found.message}",
            evidence=found.text,
            hint="a relay that sticks, a second supply (USB, HDMI, the adapter's 5 V), or another board's power port",
        )

    def _open_shell(self, *, position: int | None) -> None:
        recorder = self._listen()
        console = ConsoleExpect(recorder, self.console, position=position)
        shell = Shell(console, self.assignment.account, target=self.target.name)
        # A board that was attached to may have a boot log waiting in the adapter's buffer.
        with console.expecting(*(() if position is not None else ("restart",))):
            shell.open(timeout_s=LOGIN_TIMEOUT_S)
        self.shell = shell


def _lost(recorder: Recorder) -> bool:
    try:
        recorder.read(recorder.position, timeout=0)
    except LabError:
        return True
    return False


def _rung(status: Status | str) -> Status:
    try:
        return status if isinstance(status, Status) else Status[status]
    except KeyError:
        known = ", ".join(rung.name for rung in Status)
        raise UsageError(f"no state `{status}`; known: {known}") from None
