"""The card where it is: in a reader of this computer, or of the one that exports it."""

import itertools
import subprocess
from collections.abc import Mapping
from typing import Self

from labgrid.driver.exception import ExecutionError
from labgrid.resource.common import NetworkResource

from harness.card.firstboot import Account
from harness.card.flashplan import Plan, pieces
from harness.deploy import cardwork
from harness.deploy.cardwork import Found, Place, Work
from harness.deploy.exporter import START, Far, entries, stream, value
from harness.deploy.order import boot_contents, module_contents
from harness.errors import LabError
from harness.host import Progress
from harness.model import BootFiles


class Reach:
    """The card at *place*: on this computer, or on the one that exports *resource*; ``with`` connects to that one."""

    def __init__(self, place: Place, resource: NetworkResource | None = None) -> None:
        self.place = place
        self._resource = resource
        self._far: Far | None = None

    def __enter__(self) -> Self:
        if self._resource:
            self._far = Far(self._resource.host, self._command(self._resource)).__enter__()
        return self

    def __exit__(self, *failure: object) -> None:
        if self._far:
            self._far.__exit__(*failure)
            self._far = None

    def look(self, sizes: Mapping[str, int], *, progress: Progress) -> Found:
        """See ``cardwork.look``."""
        if self._far is None:
            return cardwork.look(self.place, sizes, progress=progress)
        told = self._far.call("look", progress=progress, place=value(self.place), sizes=sizes)
        try:
            return Found(**told)
        except (TypeError, ValueError) as error:
            raise LabError(f"{self._far.host}: what it says of the card makes no sense: {error!r:.200}") from error

    def write(self, work: Work, files: BootFiles, *, progress: Progress) -> None:
        """See ``cardwork.write``."""
        boot, modules = boot_contents(files, work.order), module_contents(files, work.order)
        if self._far is None:
            cardwork.write(self.place, work, boot, modules, progress=progress)
            return
        progress(f"deploy: sending {len(boot) + len(modules)} files to {self._far.host}")
        self._far.call(
            "write",
            progress=progress,
            payload=itertools.chain(stream(boot), stream(modules)),
            place=value(self.place),
            work=value(work),
            boot=entries(boot),
            modules=entries(modules),
        )

    def restore(self, *, progress: Progress) -> None:
        """See ``cardwork.restore``."""
        if self._far is None:
            cardwork.restore(self.place, progress=progress)
        else:
            self._far.call("restore", progress=progress, place=value(self.place))

    def flash(self, plan: Plan, *, forced: str, progress: Progress) -> str:
        """See ``cardwork.flash``."""
        with plan.image.open("rb") as file:
            if self._far is None:
                return cardwork.flash(
                    self.place, plan, lambda part: pieces(file.fileno(), part), forced=forced, progress=progress
                )
            parts = (part for part in plan.ranges if not part.hole)
            told = self._far.call(
                "flash",
                progress=progress,
                payload=(piece for part in parts for piece in pieces(file.fileno(), part)),
                place=value(self.place),
                size_bytes=plan.size_bytes,
                ranges=[value(part) for part in plan.ranges],
                forced=forced,
            )
        return str(told)

    def prepare(self, who: Account, *, progress: Progress) -> tuple[str, ...]:
        """See ``cardwork.prepare``."""
        if self._far is None:
            return cardwork.prepare(self.place, who, progress=progress)
        told = self._far.call("prepare", progress=progress, place=value(self.place), who=value(who))
        return tuple(map(str, told))

    @staticmethod
    def _command(resource: NetworkResource) -> list[str]:
        """Return the command that runs Python there, over labgrid's own connection."""
        try:
            command: list[str] = resource.wrap_command(["python3", "-c", START])
        except (ExecutionError, OSError, subprocess.SubprocessError) as error:
            raise LabError(
                f"{resource.host}: no ssh connection to the exporter: {getattr(error, 'msg', error)}",
                hint=f"`ssh {resource.host}` must work without a password, its host key known",
            ) from error
        return command
