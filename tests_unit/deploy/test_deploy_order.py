"""What a deploy decides to do, from what lies on the card and what shall."""

from pathlib import Path

import attrs
import kernelpair
import pytest

from harness.bootfs import slots
from harness.deploy import listing
from harness.deploy.listing import NOTHING, Listing
from harness.deploy.order import after, order, settle
from harness.model import BootFiles

OLD, NEW = "6.12.1-old", "6.12.2-new"


@pytest.fixture
def old(tmp_path: Path) -> BootFiles:
    return kernelpair.files(tmp_path / "old", OLD)


@pytest.fixture
def new(tmp_path: Path) -> BootFiles:
    return kernelpair.files(tmp_path / "new", NEW)


def deployed(files: BootFiles, before: Listing = NOTHING, live: str = "") -> tuple[BootFiles, Listing]:
    """Return the files as they lie on the card after a deploy, and its listing."""
    files = settle(files, before, live)
    now = listing.of(files)
    return files, after(before, now, order(files, before, now))


def test_a_first_kernel_is_written_whole(old: BootFiles) -> None:
    files = settle(old, NOTHING, "")
    todo = order(files, NOTHING, listing.of(files))
    assert files.os_prefix == "pi64/"
    assert set(todo.boot) == {str(file.path) for file in old.files} - {"config.txt"}
    assert (todo.config, len(todo.modules)) == (True, kernelpair.MODULES + 2)
    assert (todo.clear, todo.stale_boot, todo.stale_modules) == ((), (), ())


def test_the_same_kernel_again_is_nothing_to_do(old: BootFiles) -> None:
    files, before = deployed(old)
    again = settle(old, before, files.os_prefix)
    assert order(again, before, listing.of(again)).empty


def test_another_kernel_goes_where_the_live_one_is_not(old: BootFiles, new: BootFiles) -> None:
    _, before = deployed(old)
    files = settle(new, before, "pi64/")
    todo = order(files, before, listing.of(files))
    assert files.os_prefix == "pi64-b/"
    assert all(name.startswith("pi64-b/") for name in todo.boot)
    assert todo.stale_modules == (f"lib/modules/{OLD}",)
    assert todo.stale_boot == ()


def test_the_kernel_before_the_last_is_switched_to_without_writing_it(old: BootFiles, new: BootFiles) -> None:
    _, before = deployed(old)
    _, before = deployed(new, before, "pi64/")
    files = settle(old, before, "pi64-b/")
    todo = order(files, before, listing.of(files))
    assert (files.os_prefix, todo.boot, todo.config) == ("pi64/", (), True)
    assert len(todo.modules) == kernelpair.MODULES + 2


def test_other_lines_of_config_txt_alone_are_one_switch_in_the_same_slot(old: BootFiles) -> None:
    _, before = deployed(old)
    changed = attrs.evolve(
        old,
        files=tuple(attrs.evolve(f, data=f.read() + b"#\n") if str(f.path) == "config.txt" else f for f in old.files),
    )
    files = settle(changed, before, "pi64/")
    assert (files.os_prefix, order(files, before, listing.of(files)).written) == ("pi64/", ("config.txt",))


def test_what_a_slot_has_too_much_is_cleared_before_it_is_used(old: BootFiles, new: BootFiles) -> None:
    _, before = deployed(old)
    before = Listing({**before.boot, "pi64-b/overlays/stale.dtbo": "0"}, before.modules)
    files = settle(new, before, "pi64/")
    assert order(files, before, listing.of(files)).clear == ("pi64-b/overlays/stale.dtbo",)


def test_a_boot_partition_need_not_have_room_for_three_kernels(old: BootFiles, new: BootFiles, tmp_path: Path) -> None:
    _, before = deployed(old)
    _, before = deployed(new, before, "pi64/")
    files = settle(kernelpair.files(tmp_path / "third", "6.12.3-third"), before, "pi64-b/")
    todo = order(files, before, listing.of(files))
    assert (files.os_prefix, set(todo.clear)) == ("pi64/", set(todo.boot))
    assert set(after(before, listing.of(files), todo).boot) == set(before.boot)


def test_changing_to_in_place_leaves_nothing_of_either_slot(old: BootFiles, tmp_path: Path) -> None:
    _, before = deployed(old)
    files = kernelpair.files(tmp_path / "in-place", NEW, layout="in-place")
    todo = order(settle(files, before, "pi64/"), before, listing.of(files))
    assert set(todo.stale_boot) == {name for name in before.boot if slots.holds("pi64/", name)}


def test_a_module_that_is_no_longer_built_goes_alone_and_an_old_release_as_a_folder() -> None:
    before = Listing({}, {"lib/modules/1/a.ko": "a", "lib/modules/1/b.ko": "b", "lib/modules/0/a.ko": "a"})
    assert listing.gone(before.modules, {"lib/modules/1/a.ko": "a"}) == {"lib/modules/1/b.ko", "lib/modules/0"}


def test_a_listing_survives_its_json(old: BootFiles) -> None:
    mine = listing.of(old)
    assert listing.from_json(listing.to_json(mine, base="x")) == (mine, {"base": "x"})


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"boot": [], "modules": {}}',
        b'{"boot": {"a": 1}, "modules": {}}',
        b'{"boot": {"../a": "x"}, "modules": {}}',
        b'{"boot": {"/a": "x"}, "modules": {}}',
        b'{"boot": {}, "modules": {"lib/modules/../../etc/passwd": "x"}}',
    ],
)
def test_a_list_that_is_none_or_leads_elsewhere_counts_as_no_list(text: bytes) -> None:
    assert listing.from_json(text) is None
