"""What a deploy has to do with a card, decided before anything is touched: from what lies there, and what shall."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import attrs

from harness.bootfs import slots
from harness.deploy import listing
from harness.deploy.listing import Listing
from harness.model import BootFiles

Content = bytes | Path


def _names(names: Iterable[str]) -> tuple[str, ...]:
    """JSON has lists; values have tuples."""
    return tuple(names)


@attrs.frozen
class Order:
    """The steps in the order in which they are taken. Up to *config* the card boots what it booted before."""

    modules: tuple[str, ...] = attrs.field(converter=_names)
    """To write, relative to the root filesystem."""
    clear: tuple[str, ...] = attrs.field(converter=_names)
    """Boot files to delete first: what the folder that is written to has of older kernels."""
    boot: tuple[str, ...] = attrs.field(converter=_names)
    """To write, relative to the boot partition, but for config.txt."""
    config: bool = attrs.field(converter=bool)
    """Whether config.txt changes; with it the card boots the new kernel."""
    stale_boot: tuple[str, ...] = attrs.field(converter=_names)
    """To delete when that is done."""
    stale_modules: tuple[str, ...] = attrs.field(converter=_names)

    @property
    def written(self) -> tuple[str, ...]:
        """Names of all that is written."""
        return (*self.boot, *([slots.CONFIG] if self.config else []), *self.modules)

    @property
    def empty(self) -> bool:
        """Whether the card is already as it shall be."""
        return not (self.written or self.clear or self.stale_boot or self.stale_modules)


def settle(files: BootFiles, before: Listing, live: str) -> BootFiles:
    """Return *files* in the slot where they lie already, or else in the one that does not boot now.

    *live* is the slot that boots now, empty where none of ours does.
    """
    choices = [files, slots.moved(files, slots.other(files.os_prefix))] if files.os_prefix else [files]
    same = [
        choice
        for choice in choices
        if choice.os_prefix == live
        and not set(listing.differ(before.boot, listing.boot(choice))) - {slots.CONFIG}  # that file alone may change
    ]
    free = [choice for choice in choices if choice.os_prefix != live]
    return (same or free or choices)[0]


def order(files: BootFiles, before: Listing, now: Listing) -> Order:
    """Return what makes a card of *before* one of *now*, the listing of *files*.

    The other slot stays as it is, for the deploy after this one: most of its files will be the same then.
    """
    spare = slots.other(files.os_prefix) if files.os_prefix else ""
    differ = listing.differ(before.boot, now.boot)
    left = [name for name in before.boot if name not in now.boot and not slots.holds(spare, name)]
    fresh = [name for name in differ if name != slots.CONFIG]
    # If anything in it changes, the slot does not boot now: there need be no room for its old files and the new ones.
    clear = [name for name in (*left, *fresh) if name in before.boot and slots.holds(files.os_prefix, name)]
    return Order(
        modules=tuple(listing.differ(before.modules, now.modules)),
        clear=tuple(clear),
        boot=tuple(fresh),
        config=slots.CONFIG in differ,
        stale_boot=tuple(name for name in left if name not in clear),
        stale_modules=tuple(sorted(listing.gone(before.modules, now.modules))),
    )


def after(before: Listing, now: Listing, order: Order) -> Listing:
    """Return what of ours lies on the card when *order* is done: that of the other slot as well."""
    kept = {name: digest for name, digest in before.boot.items() if name not in {*order.clear, *order.stale_boot}}
    return Listing({**kept, **now.boot}, now.modules)


def boot_contents(files: BootFiles, order: Order) -> dict[str, Content]:
    """Return what *order* writes to the boot partition, by name."""
    wanted = {*order.boot, *([slots.CONFIG] if order.config else [])}
    found = {str(file.path): file for file in files.files if str(file.path) in wanted}
    return {name: file.source or file.read() for name, file in found.items()}


def module_contents(files: BootFiles, order: Order) -> dict[str, Content]:
    """Return what *order* writes to the root filesystem, by name."""
    return {name: files.modules_root / name for name in order.modules}


def paths(names: tuple[str, ...]) -> list[PurePosixPath]:
    """Return *names* of the root filesystem as absolute paths."""
    return [PurePosixPath("/", name) for name in names]
