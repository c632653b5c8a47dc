"""Places of a real coordinator, real exporters before served virtual boards: as a run takes, keeps and loses them."""

import contextlib
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import tinycard
from labgrid import Environment
from processes import boards, until
from servedbench import bench as served_bench
from sharedlab import BOOTS, ENVIRONMENT, GATED, SharedLab, User, free_port

from harness.errors import ConfigError, LabError
from harness.lab import claim, sharing

ME = "desk/ann"


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return tinycard.make(tmp_path_factory.mktemp("image") / "raspios.img", None)


@pytest.fixture(scope="module")
def boards_served(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PI64_CACHE", str(tmp_path_factory.mktemp("bench")))
        with served_bench("b1", "b2", "b3", "b4") as bench:
            yield bench.addresses


@pytest.fixture(scope="module")
def lab(tmp_path_factory, boards_served):
    """Four places: b1 and b2 at one exporter, b3 and b4 at the other; b1 to b3 are tagged."""
    lab = SharedLab(tmp_path_factory.mktemp("lab"))
    try:
        lab.export("east", boards_served[:2])
        lab.export("west", boards_served[2:])
        for name, exporter in (("b1", "east"), ("b2", "east"), ("b3", "west"), ("b4", "west")):
            lab.place(name, exporter, *(["board=rpi3"] if name != "b4" else []))
        yield lab
    finally:
        lab.close()


@pytest.fixture(autouse=True)
def _free(lab):
    yield
    for name in ("b1", "b2", "b3", "b4"):
        if lab.owner(name):
            lab.client("-p", name, "release", "--kick")


@pytest.fixture
def ann(tmp_path, image, lab, boards_served, monkeypatch) -> User:
    """A user whose lab.yaml names each place, and one by its tag."""
    return user("ann", tmp_path, image, lab, boards_served, monkeypatch)


@pytest.fixture
def bob(tmp_path, image, lab, boards_served, monkeypatch) -> User:
    return user("bob", tmp_path, image, lab, boards_served, monkeypatch)


def user(name, folder, image, lab, addresses, monkeypatch) -> User:
    made = User(folder / name, image, name)
    targets = {each.name: made.target(each.name, each.card) for each in addresses}
    targets["any"] = made.target("+", folder / "any.img", reserve=["board=rpi3"])
    made.lab(targets, lab.address)
    for key, value in {
        **ENVIRONMENT,
        "LG_USERNAME": name,
        "LG_HOSTNAME": "desk",
        "PI64_CACHE": str(made.cache),
    }.items():
        monkeypatch.setenv(key, value)
    return made


def hold(user: User, target: str, **words):
    os.environ.update(LG_USERNAME=user.name, PI64_CACHE=str(user.cache))
    return sharing.hold(Environment(str(user.path / "lab.yaml")), target, **words)


# --- acquired before, released after ---------------------------------------------------------------------------------
def test_a_place_is_acquired_before_and_released_after(ann, lab) -> None:
    with hold(ann, "b1") as present:
        present()
        assert lab.owner("b1") == ME
    assert lab.owner("b1") == ""


def test_labgrid_makes_the_target_over_the_same_connection(ann) -> None:
    environment = Environment(str(ann.path / "lab.yaml"))
    with sharing.hold(environment, "b1"):
        assert environment.get_target("b1").get_resource("NetworkPowerPort").model == "rest"


@pytest.mark.parametrize("error", [KeyboardInterrupt, LabError("x"), SystemExit])
def test_a_place_is_released_after_an_error_too(ann, lab, error) -> None:
    with contextlib.suppress(BaseException), hold(ann, "b1"):
        raise error
    assert lab.owner("b1") == ""


def test_a_place_of_somebody_else_is_refused_and_the_owner_named(ann, lab) -> None:
    lab.client("-p", "b1", "acquire", user="eve")
    with pytest.raises(LabError, match=r"the place `b1` is acquired by \S+/eve"), hold(ann, "b1"):
        pass


def test_who_may_wait_gets_the_place_when_it_is_released(ann, lab) -> None:
    lab.client("-p", "b1", "acquire", user="eve")
    told = []
    with ThreadPoolExecutor() as pool:
        pool.submit(lambda: (until(lambda: told), lab.client("-p", "b1", "release", user="eve")))
        with hold(ann, "b1", wait_s=60, tell=told.append):
            assert lab.owner("b1") == ME
    assert "acquired by" in told[0]


def test_what_was_acquired_by_hand_stays_acquired(ann, lab, monkeypatch) -> None:
    lab.client("-p", "b1", "acquire")
    assert lab.owner("b1") == ME
    with hold(ann, "b1"):
        pass
    assert lab.owner("b1") == ME


def test_a_place_that_its_owner_allows_us_to_use_is_used_and_stays_the_owners(ann, lab) -> None:
    lab.client("-p", "b1", "acquire", user="eve")
    lab.client("-p", "b1", "allow", ME, user="eve")
    with hold(ann, "b1") as present:
        present(within_s=0)
    assert lab.owner("b1").endswith("/eve")


def test_two_runs_of_one_user_do_not_share_a_place(ann, lab) -> None:
    first = claim.take(f"b1@{lab.address}")
    with pytest.raises(LabError, match="in use by another run"):
        hold(ann, "b1").__enter__()
    first.close()
    assert lab.owner("b1") == ""


def test_what_a_killed_run_had_acquired_the_next_run_releases(ann, lab) -> None:
    lab.client("-p", "b1", "acquire")
    claim.lock_file(f"b1@{lab.address}").write_text("ann@desk, process 1: pytest")  # as SIGKILL leaves it
    with hold(ann, "b2"):
        assert lab.owner("b1") == ""


# --- by tag ----------------------------------------------------------------------------------------------------------
def test_a_tag_gives_a_place_that_is_free(ann, lab) -> None:
    lab.client("-p", "b1", "acquire", user="eve")
    lab.client("-p", "b2", "acquire", user="eve")
    environment = Environment(str(ann.path / "lab.yaml"))
    with sharing.hold(environment, "any", reserve=("board=rpi3",)):
        assert lab.owner("b3") == ME
        assert environment.get_target("any").get_resource("NetworkPowerPort").index == "3"
    assert lab.owner("b3") == ""
    assert "Reservation" not in lab.client("reservations")
    assert "LG_TOKEN" not in os.environ


def test_when_none_with_the_tag_is_free_all_owners_are_named_and_no_reservation_stays(ann, lab) -> None:
    for name in ("b1", "b2", "b3"):
        lab.client("-p", name, "acquire", user="eve")
    with pytest.raises(LabError, match="no place with the tags board=rpi3 is free") as caught:
        hold(ann, "any", reserve=("board=rpi3",)).__enter__()
    assert [line.partition(": ")[0] for line in sorted(caught.value.evidence)] == ["b1", "b2", "b3"]
    assert "Reservation" not in lab.client("reservations")


def test_who_gives_up_waiting_leaves_no_reservation(ann, lab) -> None:
    for name in ("b1", "b2", "b3"):
        lab.client("-p", name, "acquire", user="eve")

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hold(ann, "any", reserve=("board=rpi3",), wait_s=60, tell=interrupt).__enter__()
    assert "Reservation" not in lab.client("reservations")


def test_a_tag_that_no_place_has_is_told_at_once_even_to_who_may_wait(ann) -> None:
    with pytest.raises(LabError, match="no place has the tags board=rpi5") as caught:
        hold(ann, "any", reserve=("board=rpi5",), wait_s=600).__enter__()
    assert "set-tags board=rpi5" in caught.value.hint


# --- what is asked for wrongly ---------------------------------------------------------------------------------------
def test_a_tag_beside_a_named_place_is_a_mistake_in_lab_yaml(ann) -> None:
    with pytest.raises(ConfigError, match="`reserve:` is for a target whose place is the one that is reserved"):
        hold(ann, "b1", reserve=("board=rpi3",)).__enter__()


def test_a_tag_without_a_value_is_a_mistake_in_lab_yaml(ann) -> None:
    with pytest.raises(ConfigError, match="is no tag"):
        hold(ann, "any", reserve=("rpi3",)).__enter__()


def test_a_place_that_is_not_there_is_told(ann, lab) -> None:
    ann.lab({"b9": ann.target("b9", ann.path / "card.img")}, lab.address)
    with pytest.raises(LabError, match=r"b9.*matches nothing"):
        hold(ann, "b9").__enter__()


def test_a_coordinator_that_does_not_answer_is_told_with_its_address(ann) -> None:
    address = f"127.0.0.1:{free_port()}"
    ann.lab({"b1": ann.target("b1", ann.path / "card.img")}, address)
    with pytest.raises(LabError, match=f"coordinator {address}: Could not connect") as caught:
        hold(ann, "b1").__enter__()
    assert "--lg-coordinator" in caught.value.hint


# --- lost on the way -------------------------------------------------------------------------------------------------
def test_an_exporter_that_stays_away_is_named_with_what_is_lost(ann, lab, boards_served) -> None:
    try:
        with hold(ann, "b3") as present:
            lab.programs["west"].kill()
            until(lambda: "west/" not in lab.client("resources"))
            with pytest.raises(LabError) as caught:
                present(within_s=1)
        assert "lost on the way: the exporter `west` with b3/" in caught.value.message
        with pytest.raises(LabError, match="no exporter offers `west/b3"):
            hold(ann, "b3").__enter__()
    finally:
        lab.export("west", boards_served[2:])


def test_a_place_that_somebody_took_away_is_named(ann, lab) -> None:
    with hold(ann, "b1") as present:
        lab.client("-p", "b1", "release", "--kick", user="eve")
        lab.client("-p", "b1", "acquire", user="eve")
        with pytest.raises(LabError, match=r"lost on the way: the place `b1`, which is now acquired by \S+/eve"):
            present(within_s=1)
    assert lab.owner("b1").endswith("/eve")  # what is no longer ours is not released


@pytest.mark.slow
def test_a_run_goes_on_when_its_exporter_comes_back(ann, lab, boards_served) -> None:
    process = _gated(ann, "b3")
    lab.programs["west"].kill()
    (ann.path / "go").touch()
    until(lambda: "waiting for the exporter `west`" in process.stdout.readline(), 60)
    lab.export("west", boards_served[2:])
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert ann.records()[-1]["verdict"]["name"] == "PASS"
    assert lab.owner("b3") == ""


@pytest.mark.slow
def test_a_run_goes_on_when_the_coordinator_comes_back(ann, lab, boards_served) -> None:
    process = _gated(ann, "b1")
    time.sleep(16)  # what places there are, labgrid's coordinator writes down every 15 s
    for name in ("east", "west", "coordinator"):  # its exporters end with it
        lab.programs[name].kill()
    (ann.path / "go").touch()
    until(lambda: "waiting for the coordinator" in process.stdout.readline(), 60)
    lab.start_coordinator()
    lab.export("east", boards_served[:2])
    lab.export("west", boards_served[2:])
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert lab.owner("b1") == ""


@pytest.mark.slow
def test_an_exporter_that_stays_away_is_the_verdict_lab(ann, lab, boards_served) -> None:
    process = _gated(ann, "b3")
    lab.programs["west"].kill()
    (ann.path / "go").touch()
    try:
        output, _ = process.communicate(timeout=240)
    finally:
        lab.export("west", boards_served[2:])
    assert process.returncode == 1, output
    record = ann.records()[-1]
    assert record["verdict"]["name"] == "LAB"
    assert any("lost on the way: the exporter `west`" in line for line in record["verdict"]["evidence"]), record
    assert lab.owner("b3") == ""


# --- whole runs ------------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_of_two_users_who_want_one_board_the_second_is_told_and_may_wait(ann, bob, lab) -> None:
    process = _gated(ann, "b1")
    status, output = bob.run(BOOTS, "--board", "b1")
    assert status == 1
    assert "the place `b1` is acquired by desk/ann" in output
    assert bob.records()[-1]["verdict"]["name"] == "LAB"
    waiting = bob.start(BOOTS, "--board", "b1", "--board-wait", "120")
    until(lambda: "waiting for b1" in waiting.stdout.readline(), 60)
    (ann.path / "go").touch()
    assert process.wait(60) == 0
    output, _ = waiting.communicate(timeout=120)
    assert waiting.returncode == 0, output
    assert lab.owner("b1") == ""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_place_released_and_the_board_off(ann, lab, number) -> None:
    process = _gated(ann, "b1")
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert lab.owner("b1") == "", output
    assert ann.records()[-1]["finished"]
    assert not ann.records()[-1]["still_on"]


@pytest.mark.slow
def test_after_a_run_that_was_killed_the_next_one_needs_no_hands(ann, lab) -> None:
    process = _gated(ann, "b1")
    process.kill()
    process.communicate(timeout=60)
    assert lab.owner("b1") == ME
    status, output = ann.run(BOOTS, "--board", "b1")
    assert status == 0, output
    assert lab.owner("b1") == ""


@pytest.mark.slow
def test_four_boards_at_two_exporters_run_side_by_side_on_one_build(ann, lab) -> None:
    command = [sys.executable, "-m", "harness.cli", "run"]
    wanted = [word for name in ("b1", "b2", "b3", "b4") for word in ("--board", name)]
    status, output = ann.run(BOOTS, *wanted, "test_it.py", command=command)
    assert status == 0, output
    assert "pi64: 4 boards side by side" in output
    assert [record["verdict"]["name"] for record in ann.records()] == ["PASS"] * 4
    assert sum(record["build_seconds"] > 0 for record in ann.records()) == 1
    assert not boards(str(ann.path))


@pytest.mark.slow
def test_a_tag_and_a_number_run_on_as_many_places(ann, lab) -> None:
    ann.lab({"any": ann.target("+", ann.path / "none.img", reserve=["board=rpi3"])}, lab.address)
    test = """
import os, pathlib, time
def test_has_a_place_at_the_same_time_as_the_other(claim):
    pathlib.Path(f"had-{os.getpid()}").touch()
    deadline = time.monotonic() + 60
    while len(list(pathlib.Path().glob("had-*"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
"""
    status, output = ann.run(test, "--board", "any", "-n", "2")
    assert output.count("1 passed") == 2, output
    assert status == 1  # nothing was booted, so nothing is concluded
    assert "any#2: INCONCLUSIVE: no boot was seen" in output


def _gated(user: User, board: str):
    """Start a run that waits, its board up, for the file ``go``."""
    process = user.start(GATED, "--board", board)
    until(lambda: (user.path / "ready").exists() or process.poll() is not None, 120)
    assert process.poll() is None, process.stdout.read()
    return process
