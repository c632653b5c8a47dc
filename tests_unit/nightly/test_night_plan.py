"""The `nightly:` section of lab.yaml: what it may say, and where a mistake in it is."""

from pathlib import Path

import pytest

from harness.errors import ConfigError, UsageError
from harness.lab import config, plan
from harness.lab.plan import Plan

PATH = Path("lab.yaml")
LAB = """\
imports: [harness.lab.drivers]
targets:
  rpi3: &target
    options: {model: rpi-3-b}
    resources: {CardImage: {}}
    drivers: {VirtualPiDriver: {}, CardImageDriver: {}, RaspberryPiStrategy: {}}
  rpi4: *target
  any-rpi4:
    options: {model: rpi-4-b, reserve: [board=rpi4]}
    resources: {RemotePlace: {name: +}}
    drivers: {VirtualPiDriver: {port: 1, detached: true}, RaspberryPiStrategy: {}}
nightly:
  branches:
    stable: {source: "git+https://git.example/linux.git", ref: rpi-6.12.y, without: [kasan]}
    distribution: {source: package:linux-source-*, without: [rpi4]}
  boards: [rpi3, rpi4]
  configurations:
    plain: {}
    kasan: {config: defconfig, fragments: [KASAN=y], toolchain: llvm, without: [rpi3]}
  on_regression: bisect
  budget: 1h30m
  repeat: 0
  pytest: [-m, not slow]
"""


def parse(old: str = "", new: str = "") -> Plan:
    assert old in LAB
    found = config.parse(LAB.replace(old, new, 1), PATH).nightly
    assert found
    return found


def test_every_branch_meets_every_configuration_and_board_that_it_does_not_leave_out() -> None:
    assert [wanted.label for wanted in parse().jobs()] == [
        ("stable", "plain", "rpi3"),
        ("stable", "plain", "rpi4"),
        ("distribution", "plain", "rpi3"),
    ]


def test_what_it_says_is_what_is_read() -> None:
    found = parse()
    assert (found.budget_s, found.repeat, found.on_regression) == (5400, 0, "bisect")
    assert found.pytest == ("tests_hw", "-m", "not slow")
    assert found.configurations[1].toolchain == "llvm"


def test_boards_that_are_chosen_by_tags_may_be_several() -> None:
    found = parse("[rpi3, rpi4]", "{rpi3: {}, rpi4: , any-rpi4: {count: 3}}")
    assert [(board.name, board.count) for board in found.boards] == [("rpi3", 1), ("rpi4", 1), ("any-rpi4", 3)]


def test_the_plan_that_ships_runs_both_virtual_boards() -> None:
    found = config.load(Path(__file__).parents[2] / "lab.yaml").nightly
    assert found
    assert {wanted.board for wanted in found.jobs()} == {"virtual-rpi3", "virtual-rpi4"}


def test_a_lab_without_a_plan_is_one_all_the_same() -> None:
    assert config.parse(LAB.partition("nightly:")[0], PATH).nightly is None


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        ("branches:", "branchs:", "unknown key `branchs` in `nightly`", "`branches`"),
        ("boards: [rpi3, rpi4]", "boards: [rpi3, rpi5]", "no target `rpi5`", "`rpi"),
        ("[rpi3, rpi4]", "{rpi3: {cuont: 2}}", "unknown key `cuont`", "`count`"),
        ("[rpi3, rpi4]", "{rpi3: {count: 2}}", "`rpi3` is one board", "reserve"),
        ("[rpi3, rpi4]", "{any-rpi4: {count: 1.5}}", "whole number from 1 to 64", ""),
        ("without: [kasan]", "without: [kasn]", "leaves out `kasn`", "`kasan`"),
        ("without: [rpi3]", "without: [plain]", "leaves out `plain`", ""),
        ("ref: rpi-6.12.y", "reff: rpi-6.12.y", "unknown key `reff`", "`ref`"),
        ("ref: rpi-6.12.y", "ref: a..b", "branch `stable`: kernel ref 'a..b'", "a branch"),
        ("source: package:linux-source-*, ", "", "branch `distribution` has no source", "package:"),
        ("git+https://git.example/linux.git", "git+ext::sh -c x", "remote helpers", ""),
        ("distribution:", r'"d\e[1m":', "no name to show to people", ""),
        ("budget: 1h30m", "budget: 8 hours", "'8 hours' is no time", "`8h`"),
        ("budget: 1h30m", "budget: 8", "'8' is no time", "`8h`"),
        ("on_regression: bisect", "on_regression: pray", "must be one of report, bisect", ""),
        ("repeat: 0", "repeat: -1", "whole number from 0", ""),
        ("repeat: 0", "repeat: 1.0e+30", "whole number from 0", ""),
        ("[-m, not slow]", "[--board=rpi3]", "--board=rpi3: the night says that itself", ""),
        ("plain: {}", "plain: []", "configuration `plain` must be a mapping", ""),
    ],
)
def test_a_mistake_is_told_with_its_line(old: str, new: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(old, new)
    line = LAB[: LAB.index(old)].count("\n") + 1
    assert caught.value.message.startswith(f"lab.yaml:{line}: ")
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_plan_needs_boards() -> None:
    with pytest.raises(ConfigError, match="`nightly` has no boards"):
        parse("  boards: [rpi3, rpi4]\n")


def test_a_plan_that_leaves_everything_out_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="leaves nothing to be run"):
        parse(
            LAB.partition("nightly:")[2],
            """
  branches: {main: {source: ., without: [rpi3]}}
  boards: [rpi3]
""",
        )


def test_of_a_plan_some_branches_and_boards_may_be_chosen() -> None:
    chosen = parse().only(branches=("stable",), boards=("rpi4",))
    assert [wanted.label for wanted in chosen.jobs()] == [("stable", "plain", "rpi4")]
    with pytest.raises(UsageError, match="no branch `stabel`") as caught:
        parse().only(branches=("stabel",))
    assert "`stable`" in caught.value.hint


@pytest.mark.parametrize(("text", "seconds"), [("8h", 28_800), ("90m", 5_400), ("1d2h3m4s", 93_784), ("45s", 45)])
def test_times_are_written_as_people_do(text: str, seconds: float) -> None:
    assert plan.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "8", "8h8h", "-1h", "1.5h", "m30", "9" * 400 + "h"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no time"):
        plan.duration(text)
