"""Deploy over SSH into a running system: a kernel in a slot of its own, tried for one boot, kept when it has booted."""

import shlex
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attr
from labgrid.driver.common import Driver
from labgrid.factory import target_factory
from labgrid.resource import NetworkService
from labgrid.step import step
from labgrid.util.proxy import proxymanager

from harness import host
from harness.bootfs import compose, slots, tryboot
from harness.bootfs.tryboot import TRYBOOT
from harness.deploy import DeployProtocol
from harness.deploy.live import GetConsole, LiveDeployProtocol
from harness.deploy.openssh import Address, Refused, Ssh, UnknownHost
from harness.deploy.remote import ANSWER_S, OTHER_KERNEL, OtherKernel, Remote, command
from harness.deploy.running import BEFORE, RunningSystem
from harness.deploy.trees import Wanted
from harness.deploy.trust import Trust
from harness.errors import DeployError, LabError
from harness.host import Progress
from harness.model import BaseImage, BootFiles, Manifest


def _absolute(_: object, field: Any, value: str) -> None:
    """Validate a folder of the board: it travels as one word."""
    if value and (not value.startswith("/") or value.endswith("/") or value.split() != [value]):
        raise ValueError(f"`{field.name}` must be an absolute path without blanks, not {value!r}")


@target_factory.reg_driver
@attr.s(eq=False)
class SshDeployDriver(Driver, LiveDeployProtocol):
    """Writes kernel, boot files and modules into the system that runs on the target's ``NetworkService``.

    Kernel and boot files go into a slot of the boot partition, modules below their own release; what runs, and what
    boots after a power cut, is never written over. Another deploy driver of the target, if there is one, is the way
    back from outside: a virtual board's card image, an SD mux.

    Args:
        host_key: the board's public host key, ``ssh-ed25519 AAAA...``; by default it is read over the serial console
        keyfile: a private key of your own; by default one that pi64 makes, and brings to the board over the console
        boot: folder where the boot partition is mounted; by default /boot/firmware or /boot, whichever is one
        root: folder of the root filesystem; empty on a board
        accept_hang: deploy also where there is neither tryboot nor a way back from outside: a kernel that hangs must
            then be taken off the card by hand
        connect_timeout: seconds to wait for sshd after the login prompt has come
    """

    bindings = {"service": NetworkService, "card": {DeployProtocol, None}}  # noqa: RUF012 - labgrid's own way to say it
    priorities = {DeployProtocol: 10}  # noqa: RUF012 - above the one that is its way back
    host_key: str = attr.ib(default="", validator=attr.validators.instance_of(str))
    keyfile: str = attr.ib(default="", validator=attr.validators.instance_of(str))
    boot: str = attr.ib(default="", validator=[attr.validators.instance_of(str), _absolute])
    root: str = attr.ib(default="", validator=[attr.validators.instance_of(str), _absolute])
    accept_hang: bool = attr.ib(default=False, validator=attr.validators.instance_of(bool))
    connect_timeout: float = attr.ib(default=90.0, converter=float)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.committed = False
        self.tryboot = tryboot.Answer(False, "the board was not asked yet")
        """Whether the board can try a kernel for one boot, and why not."""
        self._ssh: Ssh | None = None
        self._system: RunningSystem | None = None
        self._wanted: Wanted | None = None
        self._first: BootFiles | None = None
        self._switched = False
        self._session_keys: Path | None = None

    # --- the board ----------------------------------------------------------------------------------------------------
    def use(self, base: BaseImage) -> None:
        """Say which system lies under the kernel; what does, the board itself tells."""
        if self.card:
            self.card.use(base)

    def bare(self) -> Mapping[str, bytes] | None:
        """Return what the base image has on the boot partition of a virtual board, say."""
        texts: Mapping[str, bytes] | None = self.card.stock() if self.card else None
        return texts

    def provide(self, files: BootFiles) -> None:
        """Put *files* onto the card of a virtual board, say, as the system that is there already."""
        self._first = files
        self.card.deploy(files)

    @Driver.check_active
    @step(result=True)
    def connect(self, console: GetConsole) -> str:
        """Reach the running system, at first contact with the help of its *console*; return the kernel's release."""
        self.disconnect()
        self._ssh = self._reach(console)
        remote = Remote(self._ssh, root=self.root)
        try:
            survey = remote.survey(self.boot)
        except BaseException:
            remote.close()
            raise
        self._system = RunningSystem(remote, survey)
        self.tryboot = tryboot.judge(survey.facts)
        self.logger.info("tryboot: %s: %s", "yes" if self.tryboot.possible else "no", self.tryboot.reason)
        return survey.release

    def disconnect(self) -> None:
        """Let go of the board."""
        if self._system:
            self._system.remote.close()
        if self._ssh:
            self._ssh.close()
        self._system = self._ssh = None

    def on_deactivate(self) -> None:
        """Let go of the board, and forget the host keys of one whose card is ours."""
        self.disconnect()
        if self._session_keys:
            shutil.rmtree(self._session_keys, ignore_errors=True)
            self._session_keys = None

    def stock(self) -> Mapping[str, bytes]:
        """Return the text files of the board's boot partition; what is ours in config.txt is in a marked block."""
        return {name: text for name, text in self._running().texts.items() if name not in {TRYBOOT, BEFORE}}

    # --- deploying ----------------------------------------------------------------------------------------------------
    @Driver.check_active
    @step(args=[])
    def deploy(self, files: BootFiles, *, progress: Progress = host.silent) -> Manifest:
        """Write what differs into a slot that nobody needs; a restart into it is another step.

        LabError for the board and its card; DeployError when these modules would replace others of the same release.
        """
        started, system = time.monotonic(), self._running()
        self._refuse_danger()
        self._wanted, whole = system.choose(files)
        self.committed = whole and system.starts(self._wanted)
        written = [] if whole else system.fill(self._wanted, progress)
        if self.tryboot.possible and not self.committed and system.place(TRYBOOT, self._wanted.config):
            written.append(TRYBOOT)
        config = slots.CONFIG if self.committed else TRYBOOT
        return system.manifest(self._wanted, written, config=config, seconds=time.monotonic() - started)

    @Driver.check_active
    @step(result=True)
    def step_back(self, files: BootFiles) -> bool:
        """Let the stock system boot next where a mainline kernel was committed: that one cannot ask for tryboot."""
        system = self._running()
        if not (self.tryboot.by_kernel and system.slot) or self._complete(files):
            return False
        self.logger.info("back to the stock system: %s", self.tryboot.reason)
        system.place(slots.CONFIG, compose.stock(system.texts).encode("latin-1"))
        return True

    def _complete(self, files: BootFiles) -> bool:
        """Tell whether *files* are what runs, and what boots."""
        wanted, whole = self._running().choose(files)
        return whole and self._running().starts(wanted)

    def _refuse_danger(self) -> None:
        if not (self.tryboot.possible or self.card or self.accept_hang):
            raise LabError(
                f"{self.target.name}: a kernel cannot be tried for one boot here: {self.tryboot.reason}",
                hint="if it hangs, a power cycle boots it again, and somebody must mend config.txt on the card:"
                " `accept_hang: true` takes that risk; an SD mux beside SSH is a way back from outside",
            )

    # --- trying and keeping -------------------------------------------------------------------------------------------
    @Driver.check_active
    @step()
    def restart(self) -> None:
        """Restart into the slot, for one boot; without tryboot config.txt is switched, the old one kept beside it."""
        system = self._running()
        assert self._wanted is not None, "something was deployed"
        if not self.tryboot.possible:
            system.place(BEFORE, system.texts.get(slots.CONFIG, b""))
            system.place(slots.CONFIG, self._wanted.config)
            self._switched = True
        try:
            system.remote.restart(tryboot=self.tryboot.possible)
        except LabError as error:  # a board that is quick to go down does not answer any more; the console tells
            self.logger.info("restart: %s", error.message)
        self.disconnect()

    @Driver.check_active
    @step()
    def commit(self, console: GetConsole) -> None:
        """Let config.txt start what has just booted; over the *console* where the new kernel has no network."""
        assert self._wanted is not None, "something was deployed"
        wanted = self._wanted
        boot, _, slot = wanted.slot.rpartition("/")
        arguments = (f"/{boot}", wanted.release, slot)
        try:
            self._commit(console, arguments)
        except OtherKernel as error:
            self._put_back(console)
            why = "tryboot was not taken" if self.tryboot.possible else f"no tryboot: {self.tryboot.reason}"
            raise DeployError(
                f"{self.target.name}: another kernel answers than the one deployed: {error}",
                evidence=[f"{why}; wanted: {wanted.release} from /{wanted.slot}"],
                hint="the firmware passes over a slot in which kernel or DTB is missing, without a word",
            ) from error
        self.committed, self._switched = True, False
        self.disconnect()

    def _commit(self, console: GetConsole, arguments: tuple[str, ...]) -> None:
        try:
            self._ssh = self._reach(console)
            status, _, errors = self._ssh.run(self._command("commit", *arguments), timeout_s=ANSWER_S)
        except LabError as error:
            self.logger.warning("commit over the console, for the new kernel is not reached: %s", error.message)
            done = console().run(shlex.join(self._command("commit", *arguments)), timeout=ANSWER_S)
            status, errors = done.status, done.output.splitlines()[-6:]
        if status == OTHER_KERNEL:
            raise OtherKernel(" ".join(errors))
        if status:
            raise LabError(f"{self.target.name}: what has booted cannot be made what boots", evidence=errors)

    def _put_back(self, console: GetConsole) -> None:
        """Without tryboot: put the config.txt from before back, now that another kernel has booted all the same."""
        if self._switched:
            self.connect(console)
            system = self._running()
            system.place(slots.CONFIG, system.texts[BEFORE])
            self._switched = False

    # --- the way back -------------------------------------------------------------------------------------------------
    @property
    def way_back(self) -> str:
        """Say how the system from before comes back."""
        if self.card:
            return f"`pi64 restore --board {self.target.name}` writes its card anew"
        return "take its card out and look; in config.txt, what lies between `# pi64 begin` and `# pi64 end` is ours"

    @property
    def restores_live(self) -> bool:
        """Whether ``restore`` needs the board to run."""
        return not self.card

    @property
    def clean(self) -> bool:
        """Whether nothing of ours runs there."""
        return not self._running().slot

    def recover(self) -> None:
        """Write the card anew when a kernel that was tried without tryboot did not boot."""
        if self._switched and self.card:
            self.card.restore(progress=host.silent)
            if self._first:
                self.card.deploy(self._first)
            self._switched = False

    @Driver.check_active
    @step(args=[])
    def restore(self, *, progress: Progress = host.silent) -> None:
        """Take our part out of config.txt and, of what is not running, slots and modules; or write the card anew."""
        if self.card:
            self.card.restore(progress=progress)
            return
        progress("restore: taking out what pi64 has put there")
        self._running().clear()
        self.committed, self._wanted = False, None

    # --- the connection -----------------------------------------------------------------------------------------------
    def _reach(self, console: GetConsole) -> Ssh:
        """Return a connection; at first contact each end learns over the console who the other is."""
        trust = self._trust()
        ssh = Ssh(self.target.name, self._address(), trust.credentials())
        first = [UnknownHost, Refused]
        while True:
            try:
                ssh.connect(timeout_s=self.connect_timeout)
                return ssh
            except (UnknownHost, Refused) as error:
                ssh.close()
                if type(error) not in first:
                    raise
                first.remove(type(error))
                if isinstance(error, UnknownHost):
                    trust.learn(console())
                else:
                    trust.introduce(console(), self.service.username)
            except BaseException:
                ssh.close()
                raise

    def _trust(self) -> Trust:
        return Trust(self.target.name, self._keys(), host_key=self.host_key, keyfile=self._keyfile())

    def _address(self) -> Address:
        service = self.service
        name, _, interface = service.address.partition("%")
        proxy = proxymanager.get_command(service, name, service.port, interface or None)
        return Address(name, service.port, service.username, tuple(proxy or ()))

    def _keys(self) -> Path:
        """Return where the host keys are kept: of a board whose card the lab writes, for this session alone."""
        if not self.card:
            return host.cache_dir("ssh", self.target.name)
        if self._session_keys is None:
            self._session_keys = Path(tempfile.mkdtemp(prefix="pi64-keys-"))
        return self._session_keys

    def _keyfile(self) -> str:
        return (
            str(self.target.env.config.resolve_path(self.keyfile)) if self.keyfile and self.target.env else self.keyfile
        )

    def _command(self, function: str, *arguments: str) -> list[str]:
        return command(self.service.username, self.root, function, *arguments)

    def _running(self) -> RunningSystem:
        if self._system is None:
            raise LabError(f"{self.target.name}: not connected over SSH", hint="the board must run, and be reached")
        return self._system
