"""A deploy by network that is killed at any change it makes to the disk: the board boots wholly old or wholly new.

The change is found by Python's own audit events, so a step that is added later is killed too.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from netbootbench import Bench, make_base

CHANGES = frozenset({
    "ctypes.dlsym", "open", "os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink",
    "subprocess.Popen",
})  # fmt: skip
"""ctypes.dlsym: the call that swaps two folders is looked up right before it is made."""
OLD, NEW = "6.12.1-old", "6.12.2-new"
DIGEST, OTHER = "3c9361c4d7245566", "777788889999aaaa"


def changes(event: str, arguments: tuple[object, ...]) -> bool:
    """Tell whether an audit event announces a change to the disk."""
    return event in CHANGES and (event != "open" or bool(int(str(arguments[2] or 0)) & (os.O_WRONLY | os.O_RDWR)))


def killed(act: Callable[[], object], at: int) -> bool:
    """Do *act* in a child that gets SIGKILL right before its change number *at*; tell whether it came to that."""
    child = os.fork()
    if not child:
        left = at

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            if changes(event, arguments):
                left -= 1
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(hook)
            act()
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0, "the deploy failed instead of being killed"
    return os.WIFSIGNALED(status)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    return {digest: make_base(folder / f"{digest}.img", digest) for digest in (DIGEST, OTHER)}


@pytest.fixture
def bench(tmp_path, images, monkeypatch):
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    bench = Bench.make(tmp_path, images[DIGEST])
    with bench:
        bench.deploy(OLD)  # unpacks the base image; without the lock being held on
    return bench


def run(bench: Bench, act: Callable[[], object]) -> None:
    with bench:
        act()


def test_a_deploy_killed_at_any_step_leaves_the_old_system_or_the_new_one(bench) -> None:
    seen, number = set(), 1
    while killed(lambda: run(bench, lambda: bench.deploy(NEW)), number):
        seen.add(bench.boots())
        run(bench, lambda: bench.deploy(OLD))
        assert bench.boots() == OLD
        number += 1
    assert seen == {OLD, NEW}
    assert number > 30  # else the events are not what they were
    assert bench.boots() == NEW


def test_a_change_of_the_base_image_killed_at_any_step_keeps_kernel_and_root_together(bench, images) -> None:
    def change() -> None:
        bench.driver.use(images[OTHER])
        bench.deploy(NEW)

    def back() -> None:
        bench.driver.use(images[DIGEST])
        bench.deploy(OLD)

    run(bench, change)  # unpacks that image too: from here on each deploy takes the same steps
    run(bench, back)
    seen, number = set(), 1
    while killed(lambda: run(bench, change), number):
        seen.add((bench.boots(), bench.root.name[:12]))
        run(bench, back)
        number += 1
    assert seen == {(OLD, DIGEST[:12]), (NEW, OTHER[:12])}


def test_a_restore_killed_at_any_step_leaves_the_kernel_with_its_modules_or_the_stock_system(bench) -> None:
    seen, number = set(), 1
    while killed(lambda: run(bench, bench.driver.restore), number):
        seen.add(bench.boots())
        run(bench, lambda: bench.deploy(OLD))
        number += 1
    assert seen == {OLD, "stock"}


def test_a_first_deploy_killed_at_any_step_leaves_nothing_or_all(tmp_path, bench) -> None:
    seen, number, left = set(), 1, True
    while left:
        first = Bench.make(tmp_path / str(number), bench.base)
        left = killed(lambda first=first: run(first, lambda: first.deploy(NEW)), number)
        seen.add(first.boots())
        number += 1
    assert seen == {"nothing", NEW}
    assert number > 30


def test_a_base_image_whose_unpacking_was_killed_is_unpacked_again(tmp_path, images, monkeypatch) -> None:
    monkeypatch.setenv("PI64_CACHE", str(tmp_path / "cache"))
    bench = Bench.make(tmp_path, images[DIGEST])
    number = 1
    while killed(lambda: run(bench, lambda: bench.deploy(NEW)), number) and bench.boots() == "nothing":
        number += 9
    run(bench, lambda: bench.deploy(NEW))
    assert bench.boots() == NEW
    assert number > 60


def test_what_a_killed_deploy_left_beside_is_gone_after_the_next(bench) -> None:
    for number in range(1, 60, 7):
        killed(lambda: run(bench, lambda: bench.deploy(NEW)), number)
    run(bench, lambda: bench.deploy(NEW))
    assert not [path for path in Path(bench.folder / "tftp").iterdir() if path.name.endswith(".new")]
    assert not list((bench.root / "usr/lib/modules").glob(".*"))
