"""A card in reach: waited for, claimed, and left to those who use it."""

import fcntl
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.card import device
from harness.errors import LabError


@pytest.fixture
def card(tmp_path: Path) -> Path:
    path = tmp_path / "sdx"
    path.write_bytes(bytes(4096))
    return path


def appearing(*paths: Path | None) -> Iterator[Path | None]:
    yield from paths
    while True:
        yield paths[-1]


def test_a_disk_that_comes_late_is_returned_as_soon_as_it_is_there(card: Path, tmp_path: Path) -> None:
    found = appearing(None, tmp_path / "not-yet", card)
    assert device.wait(lambda: next(found), timeout_s=5, what="it") == card


@pytest.mark.parametrize(
    ("make", "fault"), [(None, "found no device"), ("missing", "No such file"), ("empty", "without a medium")]
)
def test_a_wait_ends_with_what_was_looked_for_and_what_was_found(tmp_path: Path, make: str | None, fault: str) -> None:
    path = tmp_path / "sdx"
    if make == "empty":
        path.touch()
    with pytest.raises(LabError, match=f"looked for the card of rpi4, .*{fault}"):
        device.wait(lambda: path if make else None, timeout_s=0.2, what="the card of rpi4")


def test_two_do_not_work_on_one_card(card: Path) -> None:
    with (
        device.claimed(card),
        pytest.raises(LabError, match="another program has it locked"),
        device.claimed(card, timeout_s=0.2),
    ):
        pass
    with device.claimed(card):
        pass


def test_a_lock_that_udev_holds_for_a_moment_is_waited_for(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with card.open("rb") as udev:
        fcntl.flock(udev, fcntl.LOCK_SH)
        monkeypatch.setattr(device.time, "sleep", lambda _: fcntl.flock(udev, fcntl.LOCK_UN))
        with device.claimed(card, timeout_s=30):
            pass
