"""The card can be read, and the board would boot from it."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.card import disks
from harness.errors import LabError
from harness.lab.doctor import cardread
from harness.lab.doctor.answer import Answer, absent
from harness.lab.doctor.bench import Bench
from harness.lab.doctor.handover import DUT, HOST, at_host, mux_of, side
from harness.lab.doctor.supply import Inapplicable

ORDER = 110
DISKS = ("USBMassStorage", "USBSDMuxDevice", "USBSDWireDevice", "USBSDWire3Device")
APPEAR_S = 10.0  # a card reader looks whether a card came every second or two
POLL_S = 0.25


def look(bench: Bench) -> Iterator[Answer]:
    """Read the card where nobody need be asked for it: an image file, or a card in a reader."""
    mux = mux_of(bench)
    try:
        there = HOST if mux is None else side(bench, mux)
    except LabError as error:
        raise Inapplicable("the mux does not answer", "see the part `mux`") from error
    if there == DUT:
        yield absent("card", "the board has it")
        return
    yield from _read(bench, wait=False)


def prove(bench: Bench) -> Iterator[Answer]:
    """Take the card from a board that is off, read it, and give it back."""
    if mux_of(bench) is None or bench.no_card:
        return
    with at_host(bench):
        yield from _read(bench, wait=True)


def _read(bench: Bench, *, wait: bool) -> Iterator[Answer]:
    images, disks = bench.resources("CardImage"), bench.resources(*DISKS)
    if images:
        yield from _image(bench, images[0].path)
    elif disks:
        yield from _disk(bench, disks[0], wait=wait)
    else:
        yield absent("card", "this target has none at this host")


def _image(bench: Bench, path: Path) -> Iterator[Answer]:
    if path.exists():
        yield from cardread.judge_image(f"card {path}", path, bench.profile)
    else:
        bench.no_card = "nothing deployed yet"
        yield absent(f"card {path}", bench.no_card, bench.deploy_remedy)


def _disk(bench: Bench, resource: Any, *, wait: bool) -> Iterator[Answer]:
    bench.target.update_resources()
    if not resource.path:
        yield absent("card", "its reader is not there: see the part `usb`")
        return
    node = bench.node(str(resource.path))
    deadline = time.monotonic() + (APPEAR_S if wait else 0)
    while not (disk := _look(bench, node.name)).size_bytes and time.monotonic() < deadline:
        time.sleep(POLL_S)
    mountinfo, swaps = (_text(bench.roots.proc / name) for name in ("self/mountinfo", "swaps"))
    uses = disks.uses(disk, mountinfo=mountinfo, swaps=swaps, sysfs=bench.roots.sys)
    yield from cardread.judge_disk(f"card {node}", disk, uses)
    if disk.size_bytes:
        yield from cardread.judge_image(f"card {node}", node, bench.profile)


def _look(bench: Bench, name: str) -> disks.Disk:
    """Return what the kernel says of the disk *name*; LabError when it is gone."""
    return disks.from_sysfs(bench.roots.sys, _text(bench.roots.sys / "class" / "block" / name / "dev").strip() or "?")


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
