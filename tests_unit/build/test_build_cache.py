"""What may go from the cache, in which order, and what stays whatever is asked."""

import os
import time
from pathlib import Path

import pytest
import stubbuild

from harness import host
from harness.build import cache, lease, store
from harness.errors import UsageError
from tests_unit import fakelinux

MIB = 2**20
DAY = 86_400


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return stubbuild.own_cache(monkeypatch, tmp_path / "cache")


def entry(name: str, *, days: float = 0, mib: int = 1) -> Path:
    """Put something into the cache that was used *days* ago."""
    folder = host.cache_dir() / name
    folder.mkdir(parents=True)
    (folder / "data").write_bytes(os.urandom(mib * MIB))
    lease.measure(folder)
    mark, used = folder.with_name(f"{folder.name}.used"), time.time() - days * DAY
    os.utime(mark, (used, used))
    return folder


def left() -> set[str]:
    return {found.key for found in cache.entries()}


# --- which goes ------------------------------------------------------------------------------------------------------
def test_the_one_used_longest_ago_goes_first_whatever_it_is() -> None:
    for name, days in [("kernels/aa", 1), ("objects/defconfig-bb", 3), ("sources/tar-cc", 2), ("sources/git-dd/ee", 4)]:
        entry(name, days=days)
    gone = cache.prune(limit_bytes=int(2.5 * MIB))
    assert [each.key for each in gone] == ["git-dd/ee", "defconfig-bb"]
    assert left() == {"aa", "tar-cc"}


def test_nothing_goes_while_all_of_it_fits() -> None:
    entry("kernels/aa", days=400)
    assert cache.prune(limit_bytes=2 * MIB) == []


def test_what_was_not_used_for_long_goes_even_if_it_fits() -> None:
    entry("kernels/aa", days=31)
    entry("kernels/bb", days=29)
    assert [each.key for each in cache.prune(limit_bytes=2**40, older_s=30 * DAY)] == ["aa"]


def test_what_a_process_uses_stays() -> None:
    used, ready = entry("kernels/aa", days=9), os.pipe()

    def use() -> None:
        lease.hold(used)
        os.write(ready[1], b"!")
        time.sleep(30)

    child = stubbuild.in_child(use)
    os.read(ready[0], 1)
    old = time.time() - 9 * DAY
    os.utime(used.with_name("aa.used"), (old, old))
    try:
        assert cache.prune(limit_bytes=0) == []
    finally:
        stubbuild.kill(child)
    assert [each.key for each in cache.prune(limit_bytes=0)] == ["aa"]


def test_what_is_being_made_stays() -> None:
    made = entry("objects/defconfig-aa", days=9)
    with host.locked(made.with_name("defconfig-aa.lock")):
        assert cache.prune(limit_bytes=0) == []


def test_a_kernel_counts_as_used_when_it_is_taken_from_the_cache(tmp_path: Path) -> None:
    tree = fakelinux.write(tmp_path / "linux")
    built = stubbuild.build(tree, tmp_path / "build.log")
    mark = built.image.parent.with_name(f"{built.key}.used")
    os.utime(mark, (1, 1))
    stubbuild.build(tree, tmp_path / "build.log")
    assert time.time() - mark.stat().st_mtime < 60


def test_mirrors_toolchains_and_images_are_told_and_left_alone() -> None:
    for name in ("mirrors/x.git", "toolchains/gcc", "images/y"):
        entry(name, days=999)
    assert cache.prune(limit_bytes=0, older_s=0) == []
    assert {name for name, size in cache.kept().items() if size >= MIB} == {"mirrors", "toolchains", "images"}


def test_a_work_tree_loses_its_mark_of_completeness_first(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = entry("sources/git-aa/bb", days=1)
    complete = tree.with_name("bb.complete")
    complete.touch()
    seen = []
    monkeypatch.setattr(store, "set_aside", lambda path: seen.append((path.name, complete.exists())))
    cache.prune(limit_bytes=0)
    assert seen == [("bb", False)]


def test_no_mark_outlives_what_it_stands_beside() -> None:
    entry("kernels/aa", days=1)
    cache.prune(limit_bytes=0)
    assert list(host.cache_dir("kernels").iterdir()) == []


# --- when ------------------------------------------------------------------------------------------------------------
def test_a_build_keeps_the_cache_to_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.LIMIT, "3M")
    entry("kernels/aa", days=2, mib=2)
    entry("kernels/bb", days=1, mib=2)
    built = stubbuild.build(fakelinux.write(tmp_path / "linux"), tmp_path / "build.log")
    assert left() == {"bb", built.key, next(host.cache_dir("objects").glob("*/")).name}


def test_a_kernel_taken_from_the_cache_costs_no_look_at_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = fakelinux.write(tmp_path / "linux")
    stubbuild.build(tree, tmp_path / "build.log")
    monkeypatch.setattr(cache, "prune", None)
    assert stubbuild.build(tree, tmp_path / "build.log").cached


def test_a_bound_that_is_no_size_is_refused_before_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.LIMIT, "much")
    with pytest.raises(UsageError, match="PI64_CACHE_SIZE: 'much' is no size"):
        stubbuild.build(fakelinux.write(tmp_path / "linux"), tmp_path / "build.log")


# --- words -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("500M", 500 * MIB), ("20G", 20 * 2**30), ("1.5 GiB", 3 * 2**29), ("7kb", 7 * 1024)]
)
def test_sizes(text: str, size: int) -> None:
    assert cache.parse_size(text) == size


@pytest.mark.parametrize(("text", "span"), [("30d", 30 * DAY), ("12h", 43_200), ("2w", 14 * DAY)])
def test_spans(text: str, span: float) -> None:
    assert cache.parse_span(text) == span


@pytest.mark.parametrize("text", ["", "-1", "d", "1e3", "3 days"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        cache.parse_span(text)
    with pytest.raises(UsageError):
        cache.parse_size(f"{text}x")
