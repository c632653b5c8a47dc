"""Deploy onto a card that is an image file, as the virtual boards have it: without root, without mounting."""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

import attr
from labgrid.driver.common import Driver
from labgrid.factory import target_factory
from labgrid.step import step

from harness import host
from harness.card.copy import copy_sparse, grow_to_power_of_two
from harness.card.ext4 import Ext4Partition
from harness.card.fat import FatPartition
from harness.card.slot import CardImage
from harness.deploy import DeployProtocol
from harness.errors import LabError
from harness.host import Progress
from harness.model import BaseImage, BootFiles, Manifest

TEXTS = ("config.txt", "cmdline.txt", "usercfg.txt", "distroconfig.txt", "extraconfig.txt")
"""What a stock config.txt is made of; larger files cannot change what the firmware decides."""


@target_factory.reg_driver
@attr.s(eq=False)
class CardImageDriver(Driver, DeployProtocol):
    """Writes kernel, boot files and modules into the target's ``CardImage``, a copy of the base image.

    Beside the card lies a list of what is on it. Only what differs from the list is written; while that goes on there
    is no list, and a card without a list is made anew from the base image, which is never written to.
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
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.seek(0)
            holder = self._lock.read().strip()
            raise LabError(
                f"{self.target.name}: its card {self.slot.path} is in use by another run ({holder})",
                hint="wait for it to end, or give this target a card of its own (`CardImage: {file: ...}`)",
            ) from None
        self._lock.truncate(0)
        self._lock.write(f"process {os.getpid()}")
        self._lock.flush()

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
        fat = FatPartition(self.base.path, self.base.boot_offset)
        found = {str(path): path for path in fat.sizes() if str(path).lower() in TEXTS}
        return {name: fat.read(path) for name, path in found.items()}

    @Driver.check_active
    @step(args=[])
    def deploy(self, files: BootFiles, *, progress: Progress = host.silent) -> Manifest:
        """Bring the card to *files*; returns what was written. LabError when the disk or the card is too small."""
        started = time.monotonic()
        boot = {str(file.path): hashlib.sha256(file.read()).hexdigest() for file in files.files}
        modules = _digests(files.modules_root)
        before = self._list()
        if before and self._hidden(set(before["boot"]) - set(boot)):
            before = None
        if before is None:
            progress("deploy: copying the base image")
            with self._anew() as card:
                self._write(card, files, boot, modules, {"boot": {}, "modules": {}}, progress)
            written = [*boot, *modules]
        else:
            written = [
                name for kind, now in (("boot", boot), ("modules", modules)) for name in _differ(before[kind], now)
            ]
            if written or set(before["boot"]) - set(boot) or set(before["modules"]) - set(modules):
                self._list_file.unlink()
                self._write(self.slot.path, files, boot, modules, before, progress)
        if before is None or not self._list_file.exists():
            self._note({"boot": boot, "modules": modules})
        return Manifest(boot, modules, tuple(written), time.monotonic() - started)

    def _write(
        self,
        card: Path,
        files: BootFiles,
        boot: Mapping[str, str],
        modules: Mapping[str, str],
        before: Mapping[str, Mapping[str, str]],
        progress: Progress,
    ) -> None:
        """Modules first: the boot files, config.txt last among them, are what makes the board use them."""
        root, fat = Ext4Partition(card, self.base.root_offset), FatPartition(card, self.base.boot_offset)
        stale = _gone(before["modules"], modules)
        progress(f"deploy: {len(_differ(before['modules'], modules))} module files to write")
        root.delete(PurePosixPath("/", name) for name in stale)
        changed = {PurePosixPath("/", name): files.modules_root / name for name in _differ(before["modules"], modules)}
        root.write(changed)
        progress(f"deploy: {len(_differ(before['boot'], boot))} boot files to write")
        contents = {str(file.path): file for file in files.files}
        fat.write({PurePosixPath(name): contents[name].read() for name in _differ(before["boot"], boot)})
        fat.delete(PurePosixPath(name) for name in set(before["boot"]) - set(boot))

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

    def _list(self) -> dict[str, Any] | None:
        """Return what lies on the card; None when that is not known, or the card is of another base image."""
        try:
            listed: dict[str, Any] = json.loads(self._list_file.read_text())
            known = listed["base"] == self.base.digest and listed["card"] == _identity(self.slot.path)
        except (OSError, ValueError, KeyError):
            return None
        return listed if known else None

    def _note(self, listed: dict[str, Any]) -> None:
        listed |= {"base": self.base.digest, "card": _identity(self.slot.path)}
        host.write_atomic(self._list_file, json.dumps(listed, indent=1).encode())


def _identity(card: Path) -> list[int]:
    """Size and time of the last change: a card that somebody else has written to is not the one that was listed."""
    status = card.stat()
    return [status.st_size, status.st_mtime_ns]


def _digests(root: Path) -> dict[str, str]:
    """Return the SHA-256 (of a link: where it points) of every file below *root*."""
    found = {}
    for path in sorted((root / "lib").rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(root))] = f"-> {path.readlink()}"
        elif path.is_file():
            found[str(path.relative_to(root))] = host.sha256(path)
    return found


def _differ(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [name for name, digest in now.items() if before.get(name) != digest]


def _gone(before: Mapping[str, str], now: Mapping[str, str]) -> set[str]:
    """Return what to delete: the folder of a release that is there no more, or its single files."""
    releases = {name.split("/")[2] for name in now}
    gone = {name for name in before if name not in now}
    return {"/".join(name.split("/")[:3]) if name.split("/")[2] not in releases else name for name in gone}
