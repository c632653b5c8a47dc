"""A card that is an image file: what is written, what boots when a deploy is cut short, and the way back."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import kernelpair
import pytest
from cutshort import Killed, Steps
from labgrid import Target
from smallcard import BOOT_OFFSET, ROOT_OFFSET, make_card, tool

from harness.card.ext4 import Ext4Partition
from harness.card.fat import FatPartition
from harness.card.slot import CardImage
from harness.deploy.sdcard import CardImageDriver
from harness.errors import LabError
from harness.model import BaseImage

OLD, NEW = "6.12.1-old", "6.12.2-new"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseImage:
    path = make_card(tmp_path_factory.mktemp("base") / "base.img")
    kernelpair.stock(path, BOOT_OFFSET)
    return BaseImage(path, BOOT_OFFSET, 1, ROOT_OFFSET, 2, 32, "base", "a test")


@pytest.fixture
def driver(tmp_path: Path, base: BaseImage) -> Iterator[CardImageDriver]:
    yield from made(tmp_path / "card.img", base)


def made(card: Path, base: BaseImage) -> Iterator[CardImageDriver]:
    target = Target("tiny")
    CardImage(target, name=None, file=str(card))
    driver = CardImageDriver(target, name=None)
    target.activate(driver)
    driver.use(base)
    yield driver
    target.deactivate(driver)


def booting(card: Path) -> str:
    return kernelpair.booting(card, BOOT_OFFSET, ROOT_OFFSET)


def test_what_is_deployed_boots_and_the_next_one_replaces_it(driver: CardImageDriver, tmp_path: Path) -> None:
    for number, release in enumerate((OLD, NEW, OLD)):
        driver.deploy(kernelpair.files(tmp_path / str(number), release))
        assert booting(driver.slot.path) == release
    assert list(Ext4Partition(driver.slot.path, ROOT_OFFSET).nodes("/lib/modules")) == [OLD]


def test_the_same_again_writes_nothing(driver: CardImageDriver, tmp_path: Path) -> None:
    files = kernelpair.files(tmp_path / "a", OLD)
    first = driver.deploy(files)
    before = driver.slot.path.stat().st_mtime_ns
    again = driver.deploy(files)
    assert (again.written, again.boot, again.modules) == ((), first.boot, first.modules)
    assert driver.slot.path.stat().st_mtime_ns == before


def test_a_kernel_of_the_same_release_replaces_its_modules(driver: CardImageDriver, tmp_path: Path) -> None:
    driver.deploy(kernelpair.files(tmp_path / "a", OLD))
    driver.deploy(kernelpair.files(tmp_path / "b", OLD, tag="again"))
    assert booting(driver.slot.path) == f"{OLD} again"


def test_restoring_brings_the_stock_system_back(driver: CardImageDriver, tmp_path: Path, base: BaseImage) -> None:
    driver.deploy(kernelpair.files(tmp_path / "a", OLD, layout="in-place"))
    assert booting(driver.slot.path) == OLD
    driver.restore()
    assert booting(driver.slot.path) == "stock"
    assert FatPartition(driver.slot.path, BOOT_OFFSET).digests() == FatPartition(base.path, BOOT_OFFSET).digests()
    assert driver.deploy(kernelpair.files(tmp_path / "b", NEW)).written
    assert booting(driver.slot.path) == NEW


def test_a_card_that_somebody_else_wrote_to_is_made_anew(driver: CardImageDriver, tmp_path: Path) -> None:
    files = kernelpair.files(tmp_path / "a", OLD)
    driver.deploy(files)
    FatPartition(driver.slot.path, BOOT_OFFSET).write({PurePosixPath("config.txt"): b"kernel=nothing\n"})
    assert driver.deploy(files).written
    assert booting(driver.slot.path) == OLD


def test_a_full_root_filesystem_is_told_and_the_old_kernel_boots(driver: CardImageDriver, tmp_path: Path) -> None:
    driver.deploy(kernelpair.files(tmp_path / "a", OLD))
    files = kernelpair.files(tmp_path / "b", NEW)
    (files.modules_root / "lib/modules" / NEW / "huge.ko").write_bytes(bytes(64 << 20))
    with pytest.raises(LabError, match=r"root filesystem has \d+\.\d MiB"):
        driver.deploy(files)
    assert booting(driver.slot.path) == OLD


@pytest.mark.parametrize("points", [6, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_deploy_cut_short_at_any_step_leaves_one_whole_kernel(
    driver: CardImageDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, points: int
) -> None:
    card, before = driver.slot.path, tmp_path / "before.img"
    driver.deploy(kernelpair.files(tmp_path / "a", OLD))
    new = kernelpair.files(tmp_path / "b", NEW)
    tool(["cp", "--sparse=always", card, before])
    listed = card.with_name("card.img.json").read_text()
    steps, booted = Steps(monkeypatch), []
    driver.deploy(new)
    count = steps.done
    for limit in sorted({count * point // points for point in range(points)}):
        tool(["cp", "--sparse=always", before, card])
        card.with_name("card.img.json").write_text(with_identity(listed, card))
        steps.end_at(limit)
        with pytest.raises(Killed):
            driver.deploy(new)
        steps.end_at(None)
        booted.append(booting(card))
    assert set(booted) == {OLD, NEW}
    assert booted == sorted(booted)  # once it is the new one, it stays the new one


def with_identity(listed: str, card: Path) -> str:
    """The list of a card, for a copy of that card."""
    status = card.stat()
    return json.dumps(json.loads(listed) | {"card": [status.st_size, status.st_mtime_ns]})


CHILD = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
import kernelpair
import test_deploy_sdcard as here
from harness.deploy.oncard import Card, carry_out
from harness.deploy import listing
from harness.deploy.order import boot_contents, module_contents, order, settle
old = kernelpair.files(Path({folder!r}) / "a", here.OLD)
new = kernelpair.files(Path({folder!r}) / "b", here.NEW)
card = Card(Path({card!r}), here.BOOT_OFFSET, here.ROOT_OFFSET)
before = listing.of(settle(old, listing.NOTHING, ""))
files = settle(new, before, card.live())
todo = order(files, before, listing.of(files))
print("ready", flush=True)
sys.stdin.readline()
carry_out(card, todo, boot_contents(files, todo), module_contents(files, todo), progress=lambda _: None)
"""


@pytest.mark.slow
def test_a_deploy_killed_at_sixty_points_of_time_leaves_one_whole_kernel(
    driver: CardImageDriver, tmp_path: Path
) -> None:
    """The kernel's own SIGKILL, to the writer and the program that it has started, in the midst of whatever they do."""
    driver.deploy(kernelpair.files(tmp_path / "a", OLD))
    kernelpair.files(tmp_path / "b", NEW)
    before, card = tmp_path / "before.img", tmp_path / "killed.img"
    tool(["cp", "--sparse=always", driver.slot.path, before])
    code = CHILD.format(path=sys.path, folder=str(tmp_path), card=str(card))
    whole_s = killed_after(code, before, card, None)
    assert booting(card) == NEW
    booted = []
    for point in range(60):
        killed_after(code, before, card, whole_s * (point + 0.5) / 55)
        booted.append(booting(card))
    assert set(booted) == {OLD, NEW}


def killed_after(code: str, before: Path, card: Path, seconds: float | None) -> float:
    """Run the writer on a fresh copy, and kill it and its children after so many seconds; return what it took."""
    tool(["cp", "--sparse=always", before, card])
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        started = time.monotonic()
        child.stdin.write(b"go\n")
        child.stdin.flush()
        if seconds is not None:
            time.sleep(seconds)
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        return time.monotonic() - started
