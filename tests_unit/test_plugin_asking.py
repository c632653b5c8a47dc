"""What the plugin asks of a kernel, from outside: inventories against the last good run, restarts, suites."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from pluginbench import Bench

from harness import options
from harness.nightly import db, importer

pytest_plugins = ["pytester", "pluginfixtures"]

INVENTORY = """
import pytest
from pathlib import Path
from types import SimpleNamespace
from harness import asking

asking.AGAIN_S = 0.1

@pytest.fixture
def shell(boot):
    left = Path("answer").read_text().split(",")
    answer = lambda command, timeout=30.0: left.pop(0) if left[1:] else left[0]
    return SimpleNamespace(target="virtual-rpi3", check=answer)

def test_there(inventory, ask):
    ask(inventory)
"""
AGAIN = """
import pytest

def test_boots(boot):
    assert boot.reached

@pytest.mark.usefixtures("up")
def test_again(restart, dut, restarted):
    boot = dut.cold_boot()
    restarted(restart, boot)
    assert boot.reached
"""
UNASKED = """
import pytest

def test_suites(selftest): pass
def test_ltp(ltp): pass
def test_again(restart): pass
def test_else(): pass

@pytest.mark.parametrize(argnames="own", argvalues=[None, 1])
def test_own(own): pass

@pytest.mark.parametrize(["ltp", "own"], [("mine", None)])
def test_own_words(ltp, own): pass
"""
UART, CARD = "./amba/drivers/uart-pl011/3f201000.serial\n", "./mmc/drivers/mmcblk/mmc0:4567\n"


def devices(bench: Bench, answer: str, *args: str) -> dict:
    """Run the inventory of devices on a board that answers *answer*; return the record."""
    Path(bench.path, "answer").write_text(answer)
    bench.run(INVENTORY, "-k", "devices", *args)
    return bench.record


def test_a_device_that_the_last_good_run_had_fails_a_run_until_it_is_back_or_given_up(bench: Bench) -> None:
    good = devices(bench, UART + CARD)
    assert good["compared"] == {"devices": "no history: `pi64 history` makes one"}
    assert good["inventory"] == {"devices": ["amba/3f201000.serial uart-pl011", "mmc/mmc*:* mmcblk"]}
    assert good["features"] == ["thermal", "userland32", "virtual"]  # of a real Pi 3's, what QEMU emulates
    runs = bench.path / "runs"
    importer.catch_up(runs / db.NAME, runs)

    lost = devices(bench, UART)
    assert [found["signature"] for found in lost["findings"]] == ["lost-devices: missing: mmc/mmc*:* mmcblk"]
    assert (lost["verdict"]["name"], lost["compared"]) == ("KERNEL", {"devices": good["run_id"]})

    late = devices(bench, f"{UART},{UART}{CARD}")
    assert (late["verdict"]["name"], late["inventory"]) == ("PASS", good["inventory"]), "a driver may come a bit later"

    accepted = devices(bench, UART, "--accept-changes")
    assert accepted["verdict"]["name"] == "PASS"
    assert accepted["compared"] == {"devices": f"{late['run_id']}; accepted: mmc/mmc*:* mmcblk"}

    assert devices(bench, UART)["compared"] == {"devices": accepted["run_id"]}


@pytest.mark.slow
def test_restarts_are_asked_for_by_number_and_measured(bench: Bench) -> None:
    result = bench.run(AGAIN, "--boots", "1", "-k", "boots or cold")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["cold boots: 1 of 1 reached their login", "  cold login: median * s, p10 * s, *"])
    names = {each["name"] for each in bench.record["measurements"]}
    assert {"boot.cold.boots.reached", "boot.cold.kernel.p90", "boot.cold.login.max"} <= names


def test_of_what_nobody_asked_for_there_is_no_test(bench: Bench) -> None:
    bench.run(UNASKED).assert_outcomes(passed=4)
    bench.run(UNASKED, "--kselftest", "size,arm64/abi", "--ltp", "syscalls:getpid01", "--boots", "1").assert_outcomes(
        passed=9
    )


@pytest.mark.parametrize(
    ("read", "word"),
    [
        (options.words, "../x"),
        (options.words, "/etc"),
        (options.words, ","),
        (options.words, "a b"),
        (options.suite, "a b"),
        (options.suite, "syscalls:"),
        (options.suite, "../x"),
        (options.count, "-1"),
        (options.count, "many"),
    ],
)
def test_a_word_that_is_none_is_refused(read: Callable[[str], object], word: str) -> None:
    with pytest.raises(ValueError, match=re.escape(word)):
        read(word)
