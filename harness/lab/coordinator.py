"""A connection to labgrid's coordinator, which lasts as long as a run: what is there, what is lost, and what is back.

It speaks through labgrid's own ClientSession, not through `labgrid-client`: one connection serves labgrid's resources
and us, owner and lost exporter come as values and not as text, and an interrupt finds a connection to release with.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import grpc  # type: ignore[import-untyped]  # labgrid brings it
from labgrid.remote.client import ClientSession, ServerError, UserError, ensure_event_loop
from labgrid.remote.common import Place
from labgrid.remote.generated import labgrid_coordinator_pb2 as messages
from labgrid.resource.remote import RemotePlaceManager
from labgrid.util.proxy import proxymanager

from harness import host
from harness.errors import LabError
from harness.lab import claim
from harness.report.redact import printable

PUMP_S = 0.2  # what the coordinator has said meanwhile is taken in so long
LISTEN_S = 0.05  # the news that a connection has ended takes some turns of the loop
ANSWER_S = 20.0  # for one question to the coordinator, the first connection included
RETURN_S = 60.0  # of an exporter that is back, labgrid's coordinator gives the place its resources within 15 s more


@attrs.frozen
class Asked:
    """What lab.yaml asks of a coordinator for one target."""

    target: str
    address: str
    """``HOST[:PORT]``."""
    name: str
    """Of the place, a part of it, or ``+``: the one that is reserved."""
    tags: Mapping[str, str]
    """What the place must have; empty where it is named."""
    environment: Any


Path = tuple[str, str, str]
"""Of a resource: exporter, group, name."""


class Session(ClientSession):  # type: ignore[misc]  # labgrid has no types
    """labgrid's session, which keeps what an exporter has offered when it goes: its drivers find it again later."""

    known: dict[Path, Any]
    """All that was ever offered; the same objects after a new connection, for labgrid's resources look into them."""
    lost: set[Path]

    async def on_resource_changed(self, exporter: str, group_name: str, resource_name: str, resource: Any) -> None:
        """Take note of a resource that came, changed or (without content) went."""
        path = exporter, group_name, resource_name
        if not resource:
            self.lost.add(path)
            return
        group = self.resources.setdefault(exporter, {}).setdefault(group_name, {})
        if path in self.known:
            group[resource_name] = self.known[path]
        await super().on_resource_changed(exporter, group_name, resource_name, resource)
        self.known[path] = group[resource_name]
        self.lost.discard(path)

    async def on_place_deleted(self, name: str) -> None:
        """Take note of a place that somebody has deleted."""
        self.places.pop(name, None)

    async def begin(self) -> None:
        """Connect, a second time too: what is offered then no longer is lost."""
        await self.channel.close()
        self.__attrs_post_init__()  # a new connection: the old one waits longer and longer between its attempts
        self.known = getattr(self, "known", {})
        self.lost = set(self.known)
        await self.start()


class Lab:
    """A coordinator, as one run of one target knows it."""

    def __init__(self, wanted: Asked, tell: host.Progress) -> None:
        self.asked, self.tell = wanted, tell
        self.loop = ensure_event_loop()
        self.session: Session
        self.me = ""
        """``host/user``, as the coordinator knows us."""
        self._watched: tuple[Path, ...] = ()
        self._place, self._owner = "", ""
        self._forgotten = False

    def ask(self, question: Any) -> Any:
        """Wait for the answer of the coordinator; LabError with its words, or when none comes."""
        try:
            return self.loop.run_until_complete(asyncio.wait_for(question, ANSWER_S))
        except grpc.aio.AioRpcError as error:
            raise self.fault(error.details() or str(error.code())) from error
        except (UserError, ServerError) as error:
            raise self.fault(" ".join(map(str, error.args))) from error
        except (TimeoutError, OSError) as error:
            raise self.fault(f"no answer within {ANSWER_S:.0f} s") from error

    def fault(self, words: str, *, hint: str = "", evidence: Sequence[str] = ()) -> LabError:
        """Return the error that says *words*, which may be the coordinator's."""
        hint = hint or "`labgrid-client places` shows the places; LG_COORDINATOR names the coordinator"
        words = printable(f"{self.asked.target}: coordinator {self.asked.address}: {words}")
        return LabError(words, hint=hint, evidence=tuple(map(printable, evidence)))

    def call(self, method: str, **words: Any) -> Any:
        """Call a *method* of the coordinator, by labgrid's name, and return its answer; as ``ask``."""

        async def answer() -> Any:
            return await getattr(self.session.stub, method)(getattr(messages, f"{method}Request")(**words))

        return self.ask(answer())

    def sync(self) -> None:
        """Take in all that the coordinator knows by now."""
        self.ask(self.session.sync_with_coordinator())

    def connect(self) -> None:
        """Join the coordinator; LabError when it does not answer."""
        address = proxymanager.get_grpc_address(self.asked.address, default_port=20408)
        self.session = Session(address, self.loop, env=self.asked.environment)
        self.me = f"{self.session.gethostname()}/{self.session.getuser()}"
        self.reconnect()

    def reconnect(self) -> None:
        """Connect, or connect again."""
        try:
            self.ask(self.session.begin())
        except LabError as error:
            hint = "is it running? --lg-coordinator, LG_COORDINATOR or `coordinator_address` in lab.yaml name it"
            raise LabError(error.message, hint=hint) from error

    def pump(self, seconds: float = PUMP_S) -> None:
        """Take in what the coordinator says."""
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def board(self, place: str) -> str:
        """Return what a lock on *place* is called."""
        return claim.place(place, self.asked.address)

    def place(self, name: str) -> Place:
        """Return the place *name*, as it is now; LabError when it is gone."""
        try:
            return self.session.places[name]
        except KeyError:
            raise self.fault(f"the place `{name}` is gone") from None

    def refusal(self, name: str) -> LabError | None:
        """Return why *name* cannot be acquired now; None when it can."""
        place = self.place(name)
        if place.acquired:
            hint = "wait for it: --board-wait SECONDS; its owner may `labgrid-client -p PLACE release` it"
            return self.fault(f"the place `{name}` is {whose(place)}", hint=hint)
        there = [
            (exporter, group, entry.cls, resource)
            for exporter, groups in self.session.resources.items()
            for group, entries in groups.items()
            for resource, entry in entries.items()
            if (exporter, group, resource) not in self.session.lost
        ]
        if missing := place.unmatched(there):
            words = f"no exporter offers `{missing}`, which the place `{name}` is made of"
            return self.fault(words, hint="is the exporter running? `labgrid-client resources` shows what is offered")
        return None

    # --- while the run has it -----------------------------------------------------------------------------------------
    def watch(self, place: str) -> None:
        """Look after the resources that *place* has."""
        self._place, self._owner = place, self.place(place).acquired
        self._watched = tuple((path[0], path[1], path[3]) for path in self.place(place).acquired_resources)

    def present(self, within_s: float = RETURN_S) -> None:
        """See that coordinator, exporters and place are there; wait for what is lost, LabError when it stays away."""
        self.pump(LISTEN_S)
        if not (lost := self._lost()):
            return
        began = time.monotonic()
        while lost and time.monotonic() - began < within_s:
            self.tell(f"waiting for {lost}: {within_s - (time.monotonic() - began):.0f} s at most")
            self.pump()
            with contextlib.suppress(LabError):
                self._mend()
            lost = self._lost()
        if lost:
            hint = "start it again; the next run needs nothing else"
            message = f"{self.asked.target}: lost on the way: {lost}; not back within {within_s:g} s"
            raise LabError(printable(message), hint=hint)
        self.tell(f"{self.asked.target}: all of {self._place} is back after {time.monotonic() - began:.0f} s")

    def _mend(self) -> None:
        """Connect again; a coordinator that was started anew has forgotten who has what, and is told again."""
        if self.session.stopping.is_set():
            self.reconnect()
            self._forgotten = True
        if self._forgotten and self.refusal(self._place) is None:
            self.call("AcquirePlace", placename=self._place)
            self.sync()
            self._owner, self._forgotten = self.me, False

    def _lost(self) -> str:
        if self.session.stopping.is_set():
            return f"the coordinator {self.asked.address}"
        place = self.session.places.get(self._place)
        if place is None or place.acquired != self._owner:
            return f"the place `{self._place}`, which is now {whose(place) if place else 'deleted'}"
        gone = [path for path in self._watched if path in self.session.lost or not self._ours(path)]
        exporters = ", ".join(sorted({path[0] for path in gone}))
        return f"the exporter `{exporters}` with {', '.join('/'.join(path[1:]) for path in gone)}" if gone else ""

    def _ours(self, path: Path) -> bool:
        return path in self.session.known and bool(self.session.known[path].acquired == self._place)


@contextlib.contextmanager
def joined(wanted: Asked, *, tell: host.Progress = host.silent) -> Iterator[Lab]:
    """Be connected to the coordinator, and let labgrid's resources use the same connection."""
    lab = Lab(wanted, tell)
    lab.connect()
    manager = RemotePlaceManager.get()
    manager.env, manager.url = wanted.environment, wanted.address
    manager.session, manager.loop = lab.session, lab.loop
    try:
        yield lab
    finally:
        manager.session = None  # the next target of this process connects anew
        with contextlib.suppress(LabError):
            lab.ask(_left(lab.session))


async def _left(session: Session) -> None:
    session.stopping.set()
    await session.stop()
    await session.close()


def whose(place: Any) -> str:
    """Return who has a place, for people."""
    if place.acquired:
        return f"acquired by {place.acquired}"
    return f"reserved ({place.reservation})" if place.reservation else "free"
