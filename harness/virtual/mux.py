"""The card mux of a served board: one image file that lies either in the host's hands or in the board's slot."""

import os
from pathlib import Path

from harness import host
from harness.card.copy import copy_sparse, grow_to_power_of_two
from harness.errors import LabError

HOST, DUT = "host", "dut"
MODES = (HOST, DUT)


class CardMux:
    """Moves the image *card* out of the host's reach and back; whoever calls sees to it that the board is off."""

    def __init__(self, card: Path) -> None:
        """*card* is where the host finds the image, and where a deploy puts it the first time."""
        self.card = card
        self.mode = HOST
        self.turns = 0
        """How often the card was handed to the board."""
        self._slot = card.with_name("slot") / card.name
        self._slot.parent.mkdir(mode=0o700)

    def put_in(self, image: Path) -> None:
        """Make the card a copy of *image*, and hand it to the board."""
        host.need_space(self.card.parent, 2 * image.stat().st_blocks * 512, "the card and the board's copy of it")
        copy_sparse(image, self.card)
        grow_to_power_of_two(self.card)
        self.switch(DUT)

    @property
    def slot(self) -> Path | None:
        """The image in the board's slot; None while the host has it."""
        return self._slot if self.mode == DUT else None

    def switch(self, mode: str) -> None:
        """Hand the card over; LabError, and nothing has moved, when there is none or when a process has it open."""
        if mode == self.mode:
            return
        there, here = (self.card, self._slot) if mode == DUT else (self._slot, self.card)
        if not there.exists():
            raise LabError(f"no card image {there}", hint="deploy first, or start the bench with --card IMAGE")
        if here.exists():
            raise LabError(f"another file lies at {here}, where the card is to go", hint="remove it")
        there.rename(here)
        if mode == DUT and (holders := open_in(here)):  # looked for when nobody can open it any more
            here.rename(there)
            raise LabError(f"the card {there} is still open on the host", evidence=holders, hint="let it be closed")
        self.mode = mode
        self.turns += mode == DUT


def open_in(path: Path) -> list[str]:
    """Return the processes that have *path* open, as far as this user may look into them: ``process 12: mcopy``."""
    wanted = path.stat()
    processes = sorted((folder for folder in Path("/proc").iterdir() if folder.name.isdecimal()), key=_number)
    return [f"process {process.name}: {_name(process)}" for process in processes if _has_open(process, wanted)]


def _has_open(process: Path, wanted: os.stat_result) -> bool:
    try:
        return any(os.path.samestat(wanted, link.stat()) for link in (process / "fd").iterdir() if link.exists())
    except OSError:  # it ended meanwhile, or is another user's
        return False


def _number(process: Path) -> int:
    return int(process.name)


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text(errors="replace").strip()
    except OSError:
        return "ended meanwhile"
