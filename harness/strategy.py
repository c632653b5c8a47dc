"""The ladder of a Raspberry Pi under test: off, deployed, booted, shell."""

import enum
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import attr
import attrs
from labgrid.driver.exception import ExecutionError
from labgrid.exceptions import NoResourceFoundError
from labgrid.factory import target_factory
from labgrid.protocol import ConsoleProtocol, PowerProtocol
from labgrid.strategy import Strategy

from harness import host
from harness.console.expect import ConsoleExpect
from harness.console.recorder import Recorder
from harness.console.shell import Shell
from harness.console.watcher import BootWatch
from harness.deploy import DeployProtocol
from harness.errors import BootFailed, DeployError, LabError, UsageError
from harness.host import Progress
from harness.model import Account, BaseImage, BootFiles, BootRecord, Deadlines, Finding, Manifest
from harness.power.coldstart import heard_while_off, proof_of_power
from harness.power.switch import PowerSwitch
from harness.report.redact import printable

LOGIN_TIMEOUT_S = 60.0  # from the prompt to the shell; PAM and bash take 2 s in QEMU
REBOOT = "sudo systemctl reboot"
BENCH = (LabError, ExecutionError, NoResourceFoundError, OSError)
"""What a driver raises: labgrid's pass on what their libraries raise, for a port or a switch that does not answer."""


class Status(enum.IntEnum):
    """The rungs, lowest first."""

    off = 0
    deployed = 1
    booted = 2
    shell = 3


def _believed() -> None:
    """Find a board of this host present: what it hangs on, its drivers tell."""


@attrs.frozen
class Assignment:
    """What a run wants of the board."""

    folder: Path | None
    """Where the console's record goes; None: a new temporary folder."""
    account: Account = Account("pi", "raspberry")
    deadlines: Deadlines = Deadlines()
    progress: Progress = host.silent
    present: Callable[[], None] = _believed
    """Called before the board is asked for something: LabError when what it hangs on is lost, an exporter say."""


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
        self._switch = PowerSwitch(self.target.name)
        self._off_at: tuple[int, float] | None = None
        """Where the recording stood when the board was switched off, and when that was; None: it may be on."""
        self._touched = False
        self._attached = False
        """Whether the board runs because somebody said so (``force``): its card is not ours to take away."""
        self._beneath = False
        """Whether the system runs into which a live medium deploys, and not the kernel under test."""
        self.recorder: Recorder | None = None
        self.assignment = Assignment(None)
        self.base: BaseImage | None = None
        """The system that lies under the kernel; None until ``prepare``."""
        self.files: BootFiles | None = None  # None: boot what lies on the card
        self._deployed: BootFiles | None = None
        self._fault: LabError | None = None
        self.still_on = ""
        """Why the board could not be switched off, in the driver's words; empty when it could."""

    def prepare(self, assignment: Assignment, base: BaseImage) -> None:
        """Say what is wanted of the board, and which system lies under the kernel."""
        self.assignment, self.base = assignment, base
        if self.medium:
            with self._guarded():
                self.target.activate(self.medium)
            self.medium.use(base)

    def stock(self) -> Mapping[str, bytes]:
        """Return the text files of the stock boot partition; none where nothing is deployed.

        A live medium asks the board, which is booted for it; a card is read with the power off, and not at all when
        somebody else's board was only attached to.
        """
        if not self.medium or (self._attached and (self.medium.stock_on_card or self.medium.live)):
            return {}
        if not (self.medium.live or self.medium.stock_on_card):
            return dict(self.medium.stock())
        with self._guarded():
            if self.medium.live:
                self._boot_beneath()
            else:
                self._cut_power()
            stock: Mapping[str, bytes] = self.medium.stock()
            return stock

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
        self._attached = self.status > Status.deployed
        if self._attached:
            recorder = self._listen()
            self.boots.append(BootRecord(recorder.name, {}, True, "", (), recorder.log, 1))
        if self.status is Status.shell:
            self._open_shell(position=None)

    def reboot(self, command: str = REBOOT) -> BootRecord:
        """Restart from the shell with the power left on, by *command*, and watch it come back to its login."""
        assert self.shell is not None, "a reboot is asked for in a shell"
        with self._guarded():
            recorder = self._listen()
            position = recorder.position
            self._announce_boot()
            self.shell.send(command)
            self.shell, self.status = None, Status.booted
            self._watch(recorder, position=position, started=None)
            if self.boot.reached:  # else it may never have restarted
                self._note_fetched()
            return self.boot

    def cold_boot(self) -> BootRecord:
        """Off, on: what lies on the card boots from a cold start."""
        with self._guarded():
            self._cut_power()
        self.transition(Status.booted)  # what was deployed is not deployed again, unless only a restart would boot it
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

    def restore(self) -> None:
        """Put the stock system back; the board is off then. LabError."""
        with self._guarded():
            self._cut_power()
            if self.medium.live and self.medium.restores_live:
                self._boot_beneath()
                if not self.medium.clean:  # what runs cannot go yet: what config.txt starts then can do without it
                    self.medium.restore(progress=self.assignment.progress)
                    self._cut_power()
                    self._boot_beneath()
            self.medium.restore(progress=self.assignment.progress)
            self._deployed = None
            self._cut_power()

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
            self.logger.error("%s", printable(error.message))  # noqa: TRY400

    def close(self) -> None:
        """Power off, stop listening, let the drivers go."""
        self.power_off()
        if self.recorder:
            self.recorder.stop()
            self.recorder = self._off_at = None
        for driver in (self.console, self.power, self.medium):
            if driver:
                self.target.deactivate(driver)
        if not getattr(self.power, "detached", True):
            self.still_on = ""  # a virtual board ends with its driver

    def _cut_power(self) -> None:
        self.shell, self._beneath = None, False
        self.status, self._touched, self._attached = Status.off, True, False
        if self.medium:
            self.medium.disconnect()
        try:
            self.target.activate(self.power)
            self._switch.off(self.power)
        except BENCH as error:
            name, words = self.target.name, _said(error).partition("\n")[0] or type(error).__name__
            self.still_on = words.removeprefix(f"{name}: ")
            message = f"{name}: the power could not be switched off: {self.still_on}"
            hint, evidence = (error.hint, error.evidence) if isinstance(error, LabError) else ("", ())
            raise LabError(message, hint=hint, evidence=evidence) from error
        self.still_on = ""
        if self.recorder and self._off_at is None:
            self._off_at = self.recorder.position, self.recorder.now

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Keep the first LabError, switch off, and from then on raise it at once."""
        if self._fault:
            raise self._fault
        try:
            self.assignment.present()
            yield
        except BENCH as error:
            fault = error if isinstance(error, LabError) else LabError(f"{self.target.name}: {_said(error)}")
            self._fault = fault
            self.power_off()
            if fault is error:
                raise
            raise fault from error

    # --- the rungs ----------------------------------------------------------------------------------------------------
    def _climb(self, wanted: Status) -> list[str]:
        failed = self.status >= Status.booted and not (self.boots and self.boot.reached)
        lost = self.status is Status.shell and (self.shell is None or self.shell.dead)
        idle = self._beneath and wanted is Status.off
        if failed or lost or idle or wanted < self.status or not self._touched:
            self._cut_power()  # nobody knows either whether a board that was never touched is on
        passed = []
        steps = {Status.deployed: self._deploy, Status.booted: self._boot, Status.shell: self._log_in}
        for rung in [rung for rung in Status if self.status < rung <= wanted]:
            steps[rung]()
            self.status = rung
            passed.append(rung.name)
        return passed or [self.status.name]

    def _deploy(self) -> None:
        if self.medium and self.files and not (self._deployed is self.files and self.medium.committed):
            if self.medium.live:
                self._boot_beneath()
                if self.medium.step_back(self.files):
                    self._cut_power()
                    self._boot_beneath()
            self.manifest = self.medium.deploy(self.files, progress=self.assignment.progress)
            self._deployed = self.files

    def _boot(self) -> None:
        if self._beneath and self.medium.committed:
            self._cut_power()  # it is the kernel under test already: it shall show that it boots
        if self._beneath:
            self._try_live()
        else:
            self._power_on()
        self._note_fetched()

    def _power_on(self) -> None:
        recorder = self._listen()  # before the power comes: the first bytes are the firmware's
        self.target.activate(self.power)
        self._switch.drain(self.power)
        talk = self._talk(recorder)
        position = recorder.position
        self._announce_boot()
        started = recorder.now
        self._switch.on(self.power)
        recorder.revive()
        self._watch(recorder, position=position, started=started)
        self._believe_cold(recorder, talk, position=position, started=started)

    # --- a medium that deploys into the running system ----------------------------------------------------------------
    def _boot_beneath(self) -> None:
        """Boot what a start boots now, for a live medium to deploy into; its record tells about the bench alone."""
        if self._beneath:
            return
        self._cut_power()
        self.medium.recover()
        self._power_on()
        self.boots[-1] = attrs.evolve(self.boot, control=True, release="what was there already")
        self.status = Status.off
        if not self.boot.reached:
            raise LabError(
                f"{self.target.name}: the system that is there already does not boot: {self.boot.reason}",
                evidence=self.boot.tail[-4:],
                hint=self.medium.way_back,
            )
        release = self.medium.connect(self._console)
        self.boots[-1], self._beneath = attrs.evolve(self.boot, release=release), True

    def _try_live(self) -> None:
        """Restart into what a live medium has deployed; once it has booted, it is what every start boots."""
        recorder = self._listen()
        position = recorder.position
        self.medium.restart()
        self.shell, self._beneath = None, False
        self._watch(recorder, position=position, started=None)
        if self.boot.reached:
            try:
                self.medium.commit(self._console)
            except DeployError:
                self._cut_power()
                raise

    def _console(self) -> Shell:
        if self.shell is None or self.shell.dead:
            self._open_shell(position=self._prompt_at)
        assert self.shell is not None
        return self.shell

    def _announce_boot(self) -> None:
        if self.medium and self._deployed:
            self.medium.expect_boot()

    def _note_fetched(self) -> None:
        """Ask a medium that serves while the board boots what the board took: LabError when that was not our kernel."""
        if self.medium and self._deployed:
            self.manifest = self.medium.fetched() or self.manifest

    def _log_in(self) -> None:
        if not self.boot.reached:
            raise BootFailed(self.boot)
        self._console()

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

    def _talk(self, recorder: Recorder) -> Finding | None:
        """Return what a board that was switched off said all the same."""
        off_at, self._off_at = self._off_at, None
        return heard_while_off(recorder, position=off_at[0], since=off_at[1]) if off_at else None

    def _believe_cold(self, recorder: Recorder, talk: Finding | None, *, position: int, started: float) -> None:
        """Raise LabError when what came after power-on is no boot but the system from before; the record says so.

        Nor is it a cold one if there was *talk* while the power was off.
        """
        write = self.console.write
        found = talk or proof_of_power(self.boot, recorder, position=position, started=started, write=write)
        if found is None:
            return
        findings = (*self.boot.findings, found)
        self.boots[-1] = attrs.evolve(self.boot, reached=False, reason=found.message, findings=findings)
        raise LabError(
            f"{self.target.name}: {found.message}",
            evidence=found.text,
            hint="a relay that sticks, another board's power port, or a second supply: USB, HDMI, the serial adapter's"
            " 5 V, or its TX (pull that wire while the board is off: it falls silent)",
        )

    def _open_shell(self, *, position: int | None) -> None:
        recorder = self._listen()
        console = ConsoleExpect(recorder, self.console, position=position)
        shell = Shell(console, self.assignment.account, target=self.target.name)
        # A board that was attached to may have a boot log waiting in the adapter's buffer.
        with console.expecting(*(() if position is not None else ("restart",))):
            shell.open(timeout_s=LOGIN_TIMEOUT_S)
        self.shell = shell


def _said(error: BaseException) -> str:
    """Return what *error* says; of a resource that does not come labgrid tells all, we its name and how it is known."""
    if not (isinstance(error, NoResourceFoundError) and error.filter):
        return str(error)
    known = [f"{type(one).__name__} {dict(getattr(one, 'match', {})) or ''}".rstrip() for one in error.filter]
    return f"not plugged in, or not exported: {', '.join(sorted(known))}"


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
