"""Who has a device open, or has locked it: of two that read one serial line each gets half of the bytes."""

from collections.abc import Iterator
from pathlib import Path

import attrs

LOCK_FOLDERS = ("lock", "lock/lockdev")
"""Below /run, of which /var/lock is a link: where minicom, cu and pppd leave ``LCK..ttyUSB0``."""

REMEDIES = {
    "ModemManager": "it asks every new tty whether it is a modem: `systemctl disable --now ModemManager`, or an udev "
    "rule with ENV{ID_MM_DEVICE_IGNORE}=1",
    "agetty": "a login runs on the line: `systemctl disable --now serial-getty@NAME`",
    "brltty": "it takes adapters for Braille displays: `apt-get remove brltty`",
    "ser2net": "reach the line over the network (`NetworkSerialPort`), or stop ser2net",
}
"""Programs that nobody has started by hand."""


@attrs.frozen
class Holder:
    """A process that has a device open or locked."""

    pid: int
    program: str
    """Empty when only its lock file is known."""
    locked: bool = False
    """Known by its lock file alone."""

    def __str__(self) -> str:
        return f"{self.program or 'a program'} (pid {self.pid})"

    @property
    def remedy(self) -> str:
        """What to do about it."""
        known = next((text for name, text in REMEDIES.items() if self.program.startswith(name[:15])), "")
        return known or f"end it, e.g. `kill {self.pid}`, if it is not somebody else's run"


@attrs.frozen
class Holders:
    """What could be found out."""

    found: tuple[Holder, ...]
    hidden: int
    """Processes of other users, into which only root can look."""
    stale: tuple[str, ...] = ()
    """Lock files of processes that are gone; nobody but the programs that write such files minds them."""


def of(device: Path, *, proc: Path, run: Path, besides: frozenset[int] = frozenset()) -> Holders:
    """Return who holds *device*, without the processes *besides*; *proc* and *run* are /proc and /run."""
    real = str(device.resolve())
    found: list[Holder] = []
    hidden = 0
    for folder in sorted(proc.glob("[0-9]*"), key=lambda path: int(path.name)):
        pid = int(folder.name)
        if pid in besides:
            continue
        try:
            has = real in _open_files(folder)
        except PermissionError:
            hidden += 1
            continue
        if has:
            found.append(Holder(pid, _program(folder)))
    locks = list(_locks(device.name, run))
    known = {holder.pid for holder in found} | besides
    alive = [Holder(pid, _program(proc / str(pid)), locked=True) for pid, _ in locks if (proc / str(pid)).exists()]
    stale = tuple(str(path) for pid, path in locks if not (proc / str(pid)).exists())
    return Holders((*found, *(holder for holder in alive if holder.pid not in known)), hidden, stale)


def _open_files(process: Path) -> set[str]:
    """Return what a process has open; nothing if it ends meanwhile. PermissionError for another user's."""
    names = set()
    try:
        for link in (process / "fd").iterdir():
            try:
                names.add(str(link.readlink()))
            except FileNotFoundError:
                continue  # closed in this moment
    except (FileNotFoundError, ProcessLookupError):
        pass
    return names


def _program(process: Path) -> str:
    try:
        return (process / "comm").read_text(errors="replace").strip()
    except OSError:
        return ""


def _locks(name: str, run: Path) -> Iterator[tuple[int, Path]]:
    """Yield pid and lock file of each lock on the tty *name*; the file holds the pid in ten characters, or binary."""
    for folder in LOCK_FOLDERS:
        path = run / folder / f"LCK..{name}"
        try:
            data = path.read_bytes()[:64]
        except OSError:
            continue
        text = data.split()[0] if data.split() else b""
        if text.isdigit():
            yield int(text), path
        elif len(data) == 4:
            yield int.from_bytes(data, "little"), path
