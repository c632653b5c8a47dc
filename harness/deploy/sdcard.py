"""Deploy onto a card that is an image file, as the virtual boards have it: without root, without mounting."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import attr
from labgrid.driver.common import Driver
from labgrid.factory import target_factory
from labgrid.step import step

from harness import host
from harness.card.copy import copy_sparse, grow_to_power_of_two
from harness.card.fat import FatPartition
from harness.card.slot import CardImage
from harness.deploy import DeployProtocol, listing
from harness.deploy.listing import Listing
from harness.deploy.oncard import Card, carry_out
from harness.deploy.order import Order, after, boot_contents, module_contents, order, settle
from harness.errors import LabError
from harness.host import Progress
from harness.model import BaseImage, BootFiles, Manifest


@target_factory.reg_driver
@attr.s(eq=False)
class CardImageDriver(Driver, DeployProtocol):
    """Writes kernel, boot files and modules into the target's ``CardImage``, a copy of the base image.

    Beside the card lies a list of what is on it. Only what differs from the list is written; while that goes on there
    is no list, and a card without a list is made anew from the base image, which is never written to. Between two
    deploys, whatever became of the first, what is on the card boots: see ``oncard``.
    """

    bindings = {"slot": CardImage}  # noqa: RUF012 - labgrid's own way to say it

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self._base: BaseImage | None = None
        self._lock: IO[str]

    def on_activate(self) -> None:
        """Take the card for this process; LabError naming the one that has it."""
        lock = self.slot.path.with_suffix(".lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
        self._lock = lock.open("a+")
        host.take(
            self._lock,
            f"{self.target.name}: its card {self.slot.path}",
            hint="wait for it to end, or give this target a card of its own (`CardImage: {file: ...}`)",
        )

    def on_deactivate(self) -> None:
        """Let the card go."""
        self._lock.close()

    def use(self, base: BaseImage) -> None:
        """Say which base image lies under the kernel."""
        self._base = base

    @property
    def base(self) -> BaseImage:
        """The base image in use."""
        if self._base is None:
            raise LabError(f"{self.target.name}: no base image was chosen for its card")
        return self._base

    def stock(self) -> Mapping[str, bytes]:
        """Return the text files of the base image's boot partition."""
        return self._card(self.base.path).texts()

    @Driver.check_active
    @step(args=[])
    def deploy(self, files: BootFiles, *, progress: Progress = host.silent) -> Manifest:
        """Bring the card to *files*; returns what was written. LabError when the disk or the card is too small."""
        started = time.monotonic()
        before = self._list()
        if before and self._hidden(set(before.boot) - set(listing.boot(files))):
            before = None
        if before is None:
            progress("deploy: copying the base image")
            with self._anew() as path:
                now, done = self._write(self._card(path), files, listing.NOTHING, progress)
            self._note(now)
        else:
            now, done = self._write(self._card(self.slot.path), files, before, progress)
            if not done.empty:
                self._note(after(before, now, done))
        return Manifest(now.boot, now.modules, done.written, time.monotonic() - started)

    @Driver.check_active
    @step(args=[])
    def restore(self, *, progress: Progress = host.silent) -> None:
        """Make the card a fresh copy of the base image. LabError when the disk is too small."""
        progress("restore: copying the base image")
        with self._anew():
            pass
        self._note(listing.NOTHING)

    def _write(self, card: Card, files: BootFiles, before: Listing, progress: Progress) -> tuple[Listing, Order]:
        files = settle(files, before, card.live() if before.boot else "")
        now = listing.of(files)
        todo = order(files, before, now)
        if not todo.empty:
            self._list_file.unlink(missing_ok=True)
            carry_out(card, todo, boot_contents(files, todo), module_contents(files, todo), progress=progress)
        return now, todo

    def _card(self, path: Path) -> Card:
        return Card(path, self.base.boot_offset, self.base.root_offset)

    @contextmanager
    def _anew(self) -> Iterator[Path]:
        """Yield a fresh copy of the base image; it becomes the card on success and is removed on failure."""
        card: Path = self.slot.path
        card.parent.mkdir(parents=True, exist_ok=True)
        host.need_space(card.parent, 2 * self.base.path.stat().st_blocks * 512, "the card and a run's copy of it")
        self._list_file.unlink(missing_ok=True)
        beside = card.with_name(f".{card.name}.new")
        beside.unlink(missing_ok=True)
        try:
            copy_sparse(self.base.path, beside)
            grow_to_power_of_two(beside)
            yield beside
            beside.replace(card)
        finally:
            beside.unlink(missing_ok=True)

    def _hidden(self, names: set[str]) -> bool:
        """Tell whether one of *names*, which go now, lies over a file of the stock system, which must come back."""
        return bool(names) and any(
            str(path).lower() in {name.lower() for name in names}
            for path in FatPartition(self.base.path, self.base.boot_offset).sizes()
        )

    @property
    def _list_file(self) -> Path:
        path: Path = self.slot.path
        return path.with_name(f"{path.name}.json")

    def _list(self) -> Listing | None:
        """Return what lies on the card; None when that is not known, or the card is of another base image."""
        try:
            listed = listing.from_json(self._list_file.read_text())
            identity = _identity(self.slot.path)
        except (OSError, ValueError):
            return None
        known = listed is not None and listed[1] == {"base": self.base.digest, "card": identity}
        return listed[0] if listed and known else None

    def _note(self, now: Listing) -> None:
        listed = listing.to_json(now, base=self.base.digest, card=_identity(self.slot.path))
        host.write_atomic(self._list_file, listed)


def _identity(card: Path) -> list[int]:
    """Size and time of the last change: a card that somebody else has written to is not the one that was listed."""
    status = card.stat()
    return [status.st_size, status.st_mtime_ns]
