"""A card behind a mux that is switched over HTTP, as `pi64 bench` has one: a file while the host holds it."""

import http.client
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager

import attr
from labgrid.driver.common import Driver
from labgrid.factory import target_factory
from labgrid.resource.common import Resource
from labgrid.step import step

from harness import host
from harness.card.slot import CardImage
from harness.deploy.sdcard import CardImageDriver
from harness.errors import LabError
from harness.host import Progress
from harness.model import BootFiles, Manifest

ANSWER_TIMEOUT_S = 60.0  # the mux waits while the board is being switched on or off
MODES = ("host", "dut")
REFUSED = "its words tell why; the card changes sides only while the power is off and no program has it open"


@target_factory.reg_resource
@attr.s(eq=False)
class NetworkCardMux(Resource):
    """A card mux that tells and takes its mode over HTTP: GET, and PUT with ``host`` or ``dut``.

    Args:
        host: URL, ``http://127.0.0.1:8080/card/{index}/mode``, say
        index: number of the mux, put into the URL
    """

    host: str = attr.ib(validator=attr.validators.matches_re(r"http://[^/]+/.*"))
    index: int = attr.ib(validator=attr.validators.instance_of(int), converter=int)

    @property
    def url(self) -> str:
        """Where this mux answers."""
        return self.host.replace("{index}", str(self.index))


@target_factory.reg_driver
@attr.s(eq=False)
class NetworkCardMuxDriver(Driver):
    """Switches a ``NetworkCardMux``; with the words of labgrid's USBSDMuxDriver."""

    bindings = {"mux": NetworkCardMux}  # noqa: RUF012 - labgrid's own way to say it

    @Driver.check_active
    @step(args=["mode"])
    def set_mode(self, mode: str) -> None:
        """Hand the card to the ``host`` or to the board, ``dut``; LabError when the mux does not."""
        if mode not in MODES:
            raise LabError(f"{self.target.name}: no mode `{mode}` of a card mux", hint=" or ".join(MODES))
        self._ask("PUT", mode)
        if (found := self.get_mode()) != mode:
            raise LabError(
                f"{self.target.name}: the card mux was switched to {mode} and stays at {found}",
                hint=f"`pi64 doctor --board {self.target.name}` tries it alone; pull its plug and put it back",
            )

    @Driver.check_active
    @step(result=True)
    def get_mode(self) -> str:
        """Return the side that has the card, ``host`` or ``dut``; LabError when the mux does not answer."""
        mode = self._ask("GET", None)
        if mode not in MODES:
            raise LabError(f"{self.target.name}: {self.mux.url} is no card mux: it answers {mode[:80]!r}")
        return mode

    def _ask(self, method: str, body: str | None) -> str:
        address = urllib.parse.urlsplit(self.mux.url)
        try:
            # Not urllib.request: it would send this through the proxy that the environment names for the world outside.
            connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=ANSWER_TIMEOUT_S)
            connection.request(method, address.path, body)
            answer = connection.getresponse()
            text = answer.read(4096).decode(errors="replace")
            connection.close()
        except (OSError, ValueError, http.client.HTTPException) as error:
            words = getattr(error, "strerror", None) or error
            raise LabError(
                f"{self.target.name}: the card mux {self.mux.url} does not answer: {words}",
                hint="does `pi64 bench` run still? What it printed for lab.yaml is good for as long as it does",
            ) from error
        if answer.status != http.HTTPStatus.OK:
            raise LabError(f"{self.target.name}: the card mux refuses", evidence=text.splitlines()[:8], hint=REFUSED)
        return text


@target_factory.reg_driver
@attr.s(eq=False)
class MuxedCardImageDriver(CardImageDriver):
    """Deploys as CardImageDriver does, while the mux has the card at the host's side; then the board gets it.

    After a failure the host keeps the card: a board without one is better than one with half of a system.
    """

    bindings = {"slot": CardImage, "mux": NetworkCardMuxDriver}  # type: ignore[dict-item]  # noqa: RUF012 - labgrid's way

    def on_activate(self) -> None:
        """See that the mux answers, and take the card for this process."""
        self.mux.get_mode()
        super().on_activate()

    @Driver.check_active
    @step(args=[])
    def deploy(self, files: BootFiles, *, progress: Progress = host.silent) -> Manifest:
        """Bring the card to *files*, and hand it to the board; as ``CardImageDriver.deploy``."""
        with self._held():
            manifest: Manifest = super().deploy(files, progress=progress)
        return manifest

    @Driver.check_active
    @step(args=[])
    def restore(self, *, progress: Progress = host.silent) -> None:
        """Make the card a fresh copy of the base image, and hand it to the board."""
        with self._held():
            super().restore(progress=progress)

    @contextmanager
    def _held(self) -> Iterator[None]:
        self.mux.set_mode("host")
        yield
        self.mux.set_mode("dut")
