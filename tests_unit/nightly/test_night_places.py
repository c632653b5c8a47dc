"""A night at a coordinator of labgrid's: places are waited for, used and given back, as many at once as there are."""

import sys

import pytest
import tinycard
import yaml
from processes import until
from servedbench import bench as served_bench
from sharedlab import BOOTS, SharedLab, User

pytestmark = pytest.mark.slow

MEET = """
import os, pathlib, time
def test_meets_the_other(claim):
    pathlib.Path(f"here-{os.getpid()}").touch()
    deadline = time.monotonic() + 60
    while len(list(pathlib.Path().glob("here-*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(list(pathlib.Path().glob("here-*"))) == 2
"""
NIGHT = (sys.executable, "-m", "harness.cli", "nightly")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PI64_CACHE", str(tmp_path_factory.mktemp("bench")))
        with served_bench("b1", "b2") as bench:
            yield bench.addresses


@pytest.fixture(scope="module")
def lab(tmp_path_factory, served):
    lab = SharedLab(tmp_path_factory.mktemp("lab"))
    try:
        lab.export("east", served)
        for name in ("b1", "b2"):
            lab.place(name, "east", "board=rpi3")
        yield lab
    finally:
        lab.close()


@pytest.fixture
def ann(tmp_path, lab, served) -> User:
    image = tinycard.make(tmp_path / "raspios.img", None)
    return User(tmp_path / "ann", image, "ann")


def plan(user: User, lab: SharedLab, targets: dict, nightly: dict) -> None:
    """Have the user's lab.yaml be of *targets*, with the plan *nightly*."""
    user.lab(targets, lab.address)
    path = user.path / "lab.yaml"
    content = {**yaml.safe_load(path.read_text()), "nightly": {**nightly, "pytest": ["test_it.py"], "repeat": 0}}
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def test_a_place_that_is_in_use_is_waited_for_and_all_are_given_back(ann, lab, served) -> None:
    targets = {each.name: ann.target(each.name, each.card) for each in served}
    branches = {name: {"source": "linux"} for name in ("one", "two")}
    plan(ann, lab, targets, {"branches": branches, "boards": ["b1", "b2"], "board_wait": "2m"})
    lab.client("-p", "b1", "acquire", user="eve")
    process = ann.start(BOOTS, command=NIGHT)
    log = ann.path / "runs/nightly/latest/000.log"
    until(lambda: log.exists() and "waiting for b1" in log.read_text(), 120)
    lab.client("-p", "b1", "release", user="eve")
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 0, said
    assert said.count("PASS, ") == 4
    assert [lab.owner(name) for name in ("b1", "b2")] == ["", ""]


def test_boards_that_are_chosen_by_tags_run_as_many_at_once_as_the_plan_counts(ann, lab) -> None:
    (ann.path / "linux2").symlink_to("linux")
    targets = {"any": ann.target("+", ann.path / "none.img", reserve=["board=rpi3"])}
    branches = {"one": {"source": str(ann.path / "linux")}, "two": {"source": str(ann.path / "linux2")}}
    plan(ann, lab, targets, {"branches": branches, "boards": {"any": {"count": 2}}})
    _, said = ann.run(MEET, command=NIGHT)
    assert len([record for record in ann.records() if record["tests"][0]["outcome"] == "passed"]) == 2, said
    assert [lab.owner(name) for name in ("b1", "b2")] == ["", ""]
