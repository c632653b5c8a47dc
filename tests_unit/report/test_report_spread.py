"""How long boots took, as numbers and as lines."""

from pathlib import Path

import attrs
from report_samples import RECORD

from harness.model import BootRecord
from harness.report import spread, summary


def boot(login: float | None) -> BootRecord:
    stages = {"kernel": 1.0} if login is None else {"kernel": 1.0, "login": login}
    return BootRecord("desk", stages, login is not None, "" if login else "silent", (), Path("console.log"), 1)


def figures(*logins: float | None) -> dict[str, float]:
    measured = spread.measurements({"cold": [boot(login) for login in logins]}, "test_boots")
    return {each.name.removeprefix("boot.cold."): each.value for each in measured}


def test_median_ends_and_worst_of_each_stage() -> None:
    found = figures(*(10.0 + number for number in range(11)))
    login = {name.removeprefix("login."): value for name, value in found.items() if name.startswith("login")}
    assert login == {"median": 15.0, "p10": 11.0, "p90": 19.0, "max": 20.0}
    assert found["kernel.max"] == 1.0
    assert not [name for name in found if name.startswith("rootfs")]


def test_a_boot_that_failed_is_counted_and_does_not_count() -> None:
    measured = spread.measurements({"warm": [boot(10.0), boot(None)]})
    assert (measured[0].name, measured[0].value, measured[0].unit) == ("boot.warm.boots.reached", 1, "of 2")
    assert {each.value for each in measured if ".login." in each.name} == {10.0}


def test_of_no_boot_that_came_up_there_are_no_times() -> None:
    assert figures(None) == {"boots.reached": 0}


def test_the_summary_tells_them_in_a_line_a_stage() -> None:
    measured = spread.measurements({"cold": [boot(10.0), boot(20.0)]})
    lines = summary.lines(attrs.evolve(RECORD, measurements=tuple(measured)))
    assert "cold boots: 2 of 2 reached their login" in lines
    assert "  cold login: median 15.0 s, p10 11.0 s, p90 19.0 s, max 20.0 s" in lines
