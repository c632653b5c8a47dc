"""The work on a real card, at the computer that has it in its reader: what lies there, a kernel onto it, and off it.

A real card is not a copy that can be made anew: its board writes to it. So the list of what is ours lies on the card
itself, with the names of the disk and the root filesystem for which it was written, and counts only as far as the card
agrees with it.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import attrs

from harness.bootfs import compose, slots
from harness.card import device, layout
from harness.card import flash as images
from harness.card import prepare as preparing
from harness.card.bmap import Range
from harness.card.copy import settle
from harness.card.firstboot import Account
from harness.card.flashplan import Plan
from harness.deploy import listing
from harness.deploy.listing import NOTHING, Listing
from harness.deploy.oncard import Card, carry_out
from harness.deploy.order import Content, Order, after, order
from harness.errors import LabError, UsageError
from harness.host import Progress
from harness.model import BootFiles

LIST = PurePosixPath("pi64-card.json")
STOCK = PurePosixPath("pi64-stock")
"""Folder of the boot partition with the stock files that in-place files lie over."""
MODULES = PurePosixPath("/lib/modules")


def _names(names: object) -> tuple[str, ...]:
    """Return what came as JSON as the tuple of texts that it must be."""
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise TypeError(names)
    return tuple(names)


def _listing(given: Listing | Mapping[str, Mapping[str, str]]) -> Listing:
    """Return a listing that may have come as JSON."""
    return given if isinstance(given, Listing) else Listing(**given)


def _order(given: Order | Mapping[str, Any]) -> Order:
    """Return an order that may have come as JSON."""
    return given if isinstance(given, Order) else Order(**given)


@attrs.frozen
class Place:
    """Where a card is expected, and which."""

    device: Path = attrs.field(converter=Path)
    timeout_s: float
    """How long it may take to appear."""
    what: str
    """What is looked for, for the error."""
    boot_offset: int
    """Byte where the boot partition starts on a card made from the base image."""
    root_offset: int
    origin: str
    """The base image, for people."""


@attrs.frozen
class Found:
    """What lies on a card."""

    texts: Mapping[str, str] = attrs.field(converter=listing.names)
    """The text files that decide what boots, as latin-1."""
    live: str = attrs.field(converter=str)
    """The slot that boots now."""
    listed: Listing = attrs.field(converter=_listing)
    """What of ours is there for certain."""
    ours: tuple[str, ...] = attrs.field(converter=_names)
    """Boot files that we have written, whatever became of them."""
    releases: tuple[str, ...] = attrs.field(converter=_names)
    """Folders below /lib/modules that are ours, whole or not."""


@attrs.frozen
class Work:
    """What to do with a card, and what its list says meanwhile and afterwards."""

    order: Order = attrs.field(converter=_order)
    keep: tuple[str, ...] = attrs.field(converter=_names)
    """Boot files that may be the stock system's: to copy aside before they are written over."""
    meanwhile: Listing = attrs.field(converter=_listing)
    afterwards: Listing = attrs.field(converter=_listing)
    releases: tuple[str, ...] = attrs.field(converter=_names)
    """Folders below /lib/modules that are ours meanwhile; afterwards those of *afterwards*."""


def plan(files: BootFiles, found: Found, now: Listing) -> Work:
    """Return the work that makes a card as *found* one of *now*, the listing of *files*."""
    todo = order(files, found.listed, now)
    others = {f"lib/modules/{release}" for release in found.releases if release != files.release}
    todo = attrs.evolve(todo, stale_modules=sorted({*todo.stale_modules, *others}))
    touched = {*todo.boot, *todo.clear, *todo.stale_boot, slots.CONFIG}
    stale = set(todo.stale_modules)
    meanwhile = Listing(
        {name: digest for name, digest in found.listed.boot.items() if name not in touched},
        {
            name: digest
            for name, digest in found.listed.modules.items()
            if name not in {*todo.modules, *stale} and f"lib/modules/{listing.release(name)}" not in stale
        },
    )
    return Work(
        order=todo,
        keep=[name for name in todo.boot if name not in found.ours and not slots.holds(files.os_prefix, name)],
        meanwhile=meanwhile,
        afterwards=after(found.listed, now, todo),
        releases=sorted({*found.releases, files.release}),
    )


def look(place: Place, sizes: Mapping[str, int], *, progress: Progress) -> Found:
    """Return what lies on the card; *sizes* are those of the modules to come, in bytes, by name."""
    with _card(place, progress) as card:
        listed, releases = _list(card)
        return Found(
            texts={name: data.decode("latin-1") for name, data in card.texts().items()},
            live=card.live(),
            listed=_agreed(card, listed, sizes),
            ours=tuple(listed.boot),
            releases=releases,
        )


def write(
    place: Place, work: Work, boot: Mapping[str, Content], modules: Mapping[str, Content], *, progress: Progress
) -> None:
    """Do *work* with the contents it needs. LabError, and what boots is what booted before, or the new kernel."""
    with _card(place, progress) as card:
        _note(card, work.meanwhile, work.releases)
        _keep_stock(card, work.keep)
        carry_out(card, work.order, boot, modules, progress=progress)
        progress("deploy: noting what lies on the card")
        _note(card, work.afterwards, sorted({listing.release(name) for name in work.afterwards.modules}))


def restore(place: Place, *, progress: Progress) -> None:
    """Take all of ours off the card; stock files that ours lie over come back first, config.txt switches."""
    with _card(place, progress) as card:
        listed, releases = _list(card)
        fat, texts, live = card.fat, card.texts(), card.live()
        kept = {path: path.relative_to(STOCK) for path in fat.sizes() if STOCK in path.parents}
        progress("restore: putting the stock system back")
        contents = fat.read_many(kept)
        fat.write({name: contents[str(path).lower()] for path, name in kept.items()})
        settle(card.path)
        stock = compose.stock(texts).encode("latin-1")
        if any(name.lower() == slots.CONFIG and data != stock for name, data in texts.items()):
            fat.switch(PurePosixPath(slots.CONFIG), stock)
        back = {slots.CONFIG, *(str(name).lower() for name in kept.values())}
        ours = {PurePosixPath(name) for name in listed.boot if name.lower() not in back}
        folders = {PurePosixPath(prefix) for prefix in (live, slots.other(live)) if live.endswith("/")}
        fat.delete({*ours, *folders, *_folders(ours), STOCK})
        card.root.delete(MODULES / release for release in releases)
        fat.delete([LIST])
        settle(card.path)


def flash(
    place: Place, plan: Plan, read: Callable[[Range], Iterator[bytes]], *, forced: str, progress: Progress
) -> str:
    """Write the image of *plan*, whose bytes *read* gives, over the whole card; return the SHA-256 of what was written.

    *forced* is the serial number of a disk that may be written over although it is none that one takes out.
    """
    progress(f"waiting for the card: {place.what}")
    path = device.wait(lambda: place.device, timeout_s=place.timeout_s, what=f"{place.device}, {place.what}")
    images.refuse(path, size_bytes=plan.size_bytes, forced=forced)
    return images.write_from(path, plan.ranges, read, progress=progress)


def prepare(place: Place, who: Account, *, progress: Progress) -> tuple[str, ...]:
    """Make the card come to its login by itself; return what that took, for people."""
    with _card(place, progress) as card:
        found = preparing.needed(card.path, card.boot_offset, card.root_offset, who)
        if found.why:
            progress(f"preparing the card: {', '.join(found.why)}")
            preparing.apply(card.path, card.boot_offset, card.root_offset, found)
        return found.why


@contextmanager
def _card(place: Place, progress: Progress) -> Iterator[Card]:
    """Yield the card as soon as it is there, checked and claimed; LabError for another card than the one expected."""
    progress(f"waiting for the card: {place.what}")
    path = device.wait(lambda: place.device, timeout_s=place.timeout_s, what=f"{place.device}, {place.what}")
    device.refuse_used(path)
    device.refuse_read_only(path)
    settle(
        path
    )  # so that nothing is read that an earlier card, or this one before the board had it, has left in memory
    card = _expected(place, path)
    if card.root.repair():  # before it is claimed, for e2fsck claims it too
        progress("repaired the root filesystem: the board lost its power, as at the end of each run")
    with device.claimed(path):
        try:
            yield card
            settle(path)
        except OSError as error:
            raise LabError(f"{path}: the card cannot be read or written: {error.strerror or error}") from error
    device.leave(path)


def _expected(place: Place, path: Path) -> Card:
    try:
        found = layout.find(path)
    except UsageError as error:
        raise LabError(f"wrong card? {error.message}", evidence=error.evidence, hint=_FLASH) from error
    if (found.boot.start_bytes, found.root.start_bytes) != (place.boot_offset, place.root_offset):
        raise LabError(
            f"wrong card? the partitions on {path} lie elsewhere than those of {place.origin}: "
            f"{found.boot.start_bytes} and {found.root.start_bytes}, not {place.boot_offset} and {place.root_offset}",
            evidence=tuple(map(str, found.partitions)),
            hint=f"`image:` in lab.yaml names the image the card was made from; or {_FLASH}",
        )
    return Card(path, found.boot.start_bytes, found.root.start_bytes)


_FLASH = "`pi64 flash` writes the base image onto a card"


def _identity(card: Card) -> list[str]:
    """Name the disk (its MBR signature) and the root filesystem: a list copied to another card is none there."""
    with layout.reading(card.path) as read:
        disk, root = read(440, 4), read(card.root_offset + 1024 + 0x68, 16)
    return [disk[::-1].hex(), str(uuid.UUID(bytes=root))]


def _agreed(card: Card, listed: Listing, sizes: Mapping[str, int]) -> Listing:
    """Return what of *listed* is there: boot files by digest, modules that may stay by size.

    A FAT that was mounted when the power went may have lost a file; ext4 has a journal, so the size is enough there.
    """
    found = {str(path).lower(): digest for path, digest in card.fat.digests({n.lower() for n in listed.boot}).items()}
    boot = {name: digest for name, digest in listed.boot.items() if found.get(name.lower()) == digest}
    on_card = {
        str(path).lstrip("/"): node.size_bytes
        for release in sorted({listing.release(name) for name in {*sizes} & {*listed.modules}})
        for path, node in card.root.walk(MODULES / release).items()
    }
    modules = {
        name: digest for name, digest in listed.modules.items() if name not in sizes or on_card.get(name) == sizes[name]
    }
    return Listing(boot, modules)


def _list(card: Card) -> tuple[Listing, tuple[str, ...]]:
    """Return what the card's own list says: files, and releases; nothing when it was written for another card."""
    found = listing.from_json(card.fat.read(LIST)) if LIST in card.fat.sizes() else None
    if found is None or found[1].get("card") != _identity(card):
        return NOTHING, ()
    listed, rest = found
    given = rest.get("releases")
    named = {name for name in given if isinstance(name, str)} if isinstance(given, list) else set()
    good = {name for name in named if name not in {"", ".", ".."} and "/" not in name}  # they will be deleted
    return listed, tuple(sorted(good | {listing.release(name) for name in listed.modules}))


def _note(card: Card, listed: Listing, releases: tuple[str, ...] | list[str]) -> None:
    card.fat.switch(LIST, listing.to_json(listed, card=_identity(card), releases=list(releases)))


def _keep_stock(card: Card, keep: tuple[str, ...]) -> None:
    """Copy aside what of the stock system will be written over, unless that was done already."""
    there = {str(path).lower(): path for path in card.fat.sizes()}
    over = [there[name.lower()] for name in keep if name.lower() in there and str(STOCK / name).lower() not in there]
    contents = card.fat.read_many(over)
    card.fat.write({STOCK / path: contents[str(path).lower()] for path in over})


def _folders(names: set[PurePosixPath]) -> set[PurePosixPath]:
    """Return the folders that are ours as a whole: the slots."""
    return {PurePosixPath(name.parts[0]) for name in names if len(name.parts) > 1 and name.parts[0].startswith("pi64")}
