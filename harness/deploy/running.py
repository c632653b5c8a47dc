"""A running system and the two slots of its boot partition: which one is free, and what comes into it.

Nothing is written over that runs, or that boots after a power cut: up to the switch the board boots what it did before.
"""

import hashlib

import attrs

from harness.bootfs import compose, marker, slots
from harness.bootfs.tryboot import TRYBOOT
from harness.deploy import trees
from harness.deploy.remote import Remote, Survey
from harness.deploy.trees import There, Wanted, Work
from harness.errors import DeployError, LabError
from harness.host import Progress
from harness.model import BootFiles, Manifest

BEFORE = "config.txt.pi64-before"
"""Where config.txt is kept while another one is tried without tryboot."""
SHOWN = 5  # names in the evidence of an error


class RunningSystem:
    """One running board; knows what its text files hold, for nobody else writes them meanwhile."""

    def __init__(self, remote: Remote, survey: Survey) -> None:
        self.target, self.remote, self.survey = remote.target, remote, survey
        self._texts = dict(survey.texts)

    @property
    def texts(self) -> dict[str, bytes]:
        """The text files of the boot partition."""
        return dict(self._texts)

    @property
    def slot(self) -> str:
        """The slot from which the kernel came that runs; empty for any other system."""
        return marker.started_from(self.survey.cmdline)

    @property
    def next_slot(self) -> str:
        """The slot that config.txt starts; empty when it starts any other system."""
        return slots.live(self._texts.get(slots.CONFIG, b""))

    # --- choosing a slot ----------------------------------------------------------------------------------------------
    def choose(self, files: BootFiles) -> tuple[Wanted, bool]:
        """Return what *files* want in the slot where they go, and whether all of it lies there already.

        That may be the slot that runs and boots; else it is one that does neither. LabError when there is none,
        DeployError for a layout without slots.
        """
        if not files.os_prefix:
            raise DeployError(
                f"{self.target}: layout {files.layout} would write over the system that runs",
                hint="a kernel that is deployed over SSH needs `layout: side-by-side`",
            )
        both = (files.os_prefix, slots.other(files.os_prefix))
        if self.slot in both and self.slot == self.next_slot:
            wanted, whole = self._look(files, self.slot)
            if whole:
                return wanted, True
        free = [slot for slot in both if slot not in {self.slot, self.next_slot}]
        if not free:
            raise LabError(
                f"{self.target}: {self.slot} runs and config.txt starts {self.next_slot}: no slot is free",
                hint="restart the board, so that it runs what it boots",
            )
        return self._look(files, min(free, key=lambda slot: self.survey.slots.get(slot) != files.release))

    def _look(self, files: BootFiles, slot: str) -> tuple[Wanted, bool]:
        wanted = trees.gather(marker.marked(slots.moved(files, slot)), self.survey.boot)
        return wanted, self.remote.look(wanted.slot, wanted.release).key == wanted.key

    def starts(self, wanted: Wanted) -> bool:
        """Tell whether *wanted* is what runs, and what config.txt starts in just this way."""
        return self.slot == _slot(wanted) and self._texts.get(slots.CONFIG) == wanted.config

    # --- writing ------------------------------------------------------------------------------------------------------
    def fill(self, wanted: Wanted, progress: Progress) -> list[str]:
        """Bring the slot and its modules to what is wanted; return the names of what was written.

        DeployError, before anything is touched, when these modules would replace others of the same release; LabError
        when there is no room for them, or the board does not keep what it is sent.
        """
        progress("deploy: looking at what the board has")
        there = self.remote.detail(wanted.slot, wanted.release)
        work = trees.compare(wanted, there, self.remote.sums(trees.unsure(wanted, there)))
        own = self._own_modules(wanted)
        self._refuse_overwriting(wanted, work, own=own)
        gone = [name for name in work.gone if own or not wanted.is_module(name)] + self._outdated(wanted)
        if slots.live(self._texts.get(TRYBOOT, b"")) == _slot(wanted):
            gone.append(self._place_of(TRYBOOT))
            del self._texts[TRYBOOT]
        free = self.remote.begin(wanted.slot, wanted.release, gone, own=own)
        self._need_space(wanted, there, work, free)
        total = sum(wanted.files[name].size_bytes for name in work.write)
        progress(f"deploy: {len(work.write)} files, {total / 2**20:.1f} MiB over SSH")
        self.remote.receive(wanted.slot, wanted.release, lambda stream: trees.pack(wanted, work.write, stream))
        return list(work.write)

    def place(self, name: str, text: bytes) -> bool:
        """Write file *name* of the boot partition, unless it is so already; return whether it was written."""
        if self._texts.get(name) == text:
            return False
        self.remote.place(self._place_of(name), text)
        self._texts[name] = text
        return True

    def _place_of(self, name: str) -> str:
        return f"{self.survey.boot[1:]}/{name}"

    def _own_modules(self, wanted: Wanted) -> bool:
        """Tell whether the modules of this release are ours to write: neither another's nor needed by what boots."""
        needed = {self.survey.release, self.survey.slots.get(self.next_slot, "")}
        return wanted.release not in needed and not self.remote.look(wanted.slot, wanted.release).foreign

    def _refuse_overwriting(self, wanted: Wanted, work: Work, *, own: bool) -> None:
        there = self.remote.sums([name for name in work.write if not wanted.within(name)])
        others = [name for name in work.write if name in there or (wanted.is_module(name) and not own)]
        if others:
            raise DeployError(
                f"{self.target}: {wanted.release}: {len(others)} files would replace others that the board needs",
                evidence=[f"/{name}" for name in others[:SHOWN]],
                hint="they belong to the system that runs, or boots: give this kernel another release (LOCALVERSION)",
            )

    def _outdated(self, wanted: Wanted) -> list[str]:
        """Return the folders of modules that came over SSH and that no kernel of the board needs any more."""
        others = {release for slot, release in self.survey.slots.items() if slot != _slot(wanted)}
        kept = {wanted.release, self.survey.release, *others}
        return [f"{trees.MODULES}/{release}/" for release in self.survey.modules if release not in kept]

    def _need_space(self, wanted: Wanted, there: There, work: Work, free: list[tuple[str, int]]) -> None:
        """Raise LabError with the numbers when the board's card is too small, before anything is sent."""
        needs: dict[str, int] = {}
        modules = [name for name in work.write if wanted.is_module(name)]
        others = [name for name in work.write if not wanted.is_module(name)]
        for (mount, _), names in zip(free, (others, modules), strict=False):
            needs[mount] = needs.get(mount, 0) + trees.need_bytes(wanted, there, names)
        for mount, size in free:
            if needs.get(mount, 0) > size:
                raise LabError(
                    f"{self.target}: {mount}: {size / 2**20:.1f} MiB free on the board, this kernel needs"
                    f" {needs[mount] / 2**20:.1f} MiB",
                    hint="remove what is not needed there: other kernels, overlays, packages",
                )

    def manifest(self, wanted: Wanted, written: list[str], *, config: str, seconds: float) -> Manifest:
        """Return what lies there now; *config* is the name of the file that starts it."""
        folder = self._place_of("")
        boot = {
            name.removeprefix(folder): piece.digest for name, piece in wanted.files.items() if name.startswith(folder)
        }
        boot[config] = hashlib.sha256(wanted.config).hexdigest()
        modules = {name: piece.digest for name, piece in wanted.files.items() if wanted.is_module(name)}
        return Manifest(boot, modules, tuple(name.removeprefix(folder) for name in written), seconds)

    # --- the way back -------------------------------------------------------------------------------------------------
    def clear(self) -> None:
        """Take our part out of config.txt, and away what does not run of that which came over SSH."""
        self.place(slots.CONFIG, compose.stock(self._texts).encode("latin-1"))
        gone = [self._place_of(name) for name in (TRYBOOT, BEFORE)]
        gone += [self._place_of(slot) for slot in self.survey.slots if slot != self.slot]
        gone += [f"{trees.MODULES}/{release}/" for release in self.survey.modules if release != self.survey.release]
        self.remote.remove(gone)
        self._texts.pop(TRYBOOT, None)
        self.survey = attrs.evolve(
            self.survey, slots={slot: it for slot, it in self.survey.slots.items() if slot == self.slot}, modules=()
        )


def _slot(wanted: Wanted) -> str:
    return f"{wanted.slot.rpartition('/')[2]}/"
