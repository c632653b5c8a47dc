"""`pi64 bisect` from outside: real kernels of a few hundred bytes, built from git and booted in real QEMU."""

import json
import signal
import subprocess
import time
from pathlib import Path

import attrs
import pytest
from bisectbench import Bisected
from pluginbench import BOOTS

from harness import cli
from harness.errors import LabError
from harness.nightly.bisection import campaign
from harness.nightly.bisection.git import History
from harness.nightly.bisection.graph import Commit, Graph
from harness.nightly.bisection.places import Bench
from harness.nightly.bisection.state import Answer, Question, State

pytest_plugins = ["pluginfixtures"]

BROKEN_BENCH = f"""{BOOTS}
import pathlib
from harness.errors import LabError

def test_bench():
    if not pathlib.Path("mended").exists():
        raise LabError("the relay does not answer")
"""


@pytest.fixture
def bisected(tmp_path: Path, image: Path) -> Bisected:
    return Bisected(tmp_path, image)


def state(bisected: Bisected) -> dict:
    return json.loads((bisected.place / "bisect.json").read_text())


@pytest.mark.slow
def test_finds_the_commit_among_unbuildable_ones_and_faults_of_the_bench(bisected: Bisected) -> None:
    shas = bisected.repository.line(10, bad=6, unbuildable=(3, 4))
    bisected.test(faults=(1, 5))
    status, said = bisected.bisect(shas[0], "main")
    told = state(bisected)
    assert status == 0, said
    assert told["first_bad"] == [shas[6]]
    assert told["confirmed"] is True
    assert {"good", "bad", "skip", "again"} == {answer["vote"] for answer in told["answers"]}
    assert f"first bad commit: {shas[6]}" in said
    assert "VFS: Cannot open root device" in said
    assert "\x1b" not in said
    assert "<script>" not in (bisected.place / "report.html").read_text()
    assert "first bad commit" in bisected.repository.git("bisect", "replay", str(bisected.place / "bisect.log"))


def test_a_good_commit_that_fails_is_refused_with_its_evidence(bisected: Bisected) -> None:
    shas = bisected.repository.line(3, bad=0)
    status, said = bisected.bisect(shas[0], "main")
    assert status == 2
    assert "the commit given as good is bad" in said
    assert "VFS: " in said


@pytest.mark.slow
def test_a_broken_bench_stops_it_and_it_goes_on_when_that_was_seen_to(bisected: Bisected) -> None:
    shas = bisected.repository.line(4, bad=2)
    bisected.test(BROKEN_BENCH)
    status, said = bisected.bisect(shas[0], "main")
    assert status == 2
    assert "virtual-rpi3 is out" in said
    (bisected.path / "mended").touch()
    words = bisected.words(shas[0], "main")
    process = bisected.popen([*words[: words.index("bisect") + 1], "--resume"])
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert state(bisected)["first_bad"] == [shas[2]]


@pytest.mark.slow
def test_killed_at_any_point_nothing_is_lost_and_no_answer_is_asked_for_twice(bisected: Bisected) -> None:
    """In turn as soon as a run has begun, and as soon as its record is complete: before anybody has read it."""
    shas = bisected.repository.line(8, bad=5, unbuildable=(3,))
    words, kills = bisected.words(shas[0], "main"), 0
    process = bisected.popen(words)
    while killed(bisected, process, ended=kills % 2 == 1):
        kills += 1
        process = bisected.popen(words)
    assert process.returncode == 0
    assert kills > 8
    assert state(bisected)["first_bad"] == [shas[5]]
    answered = [run["commit"] for run in runs(bisected) if answers(run)]
    assert len(answered) == len(set(answered)) == len(state(bisected)["answers"])


def killed(bisected: Bisected, process: subprocess.Popen[str], *, ended: bool) -> bool:
    """Kill *process* when one more run has begun, or *ended*; False when it came to its own end before."""
    before = count(bisected, ended=ended)
    while process.poll() is None:
        if count(bisected, ended=ended) > before:
            process.kill()
            process.communicate()
            return True
        time.sleep(0.05)
    process.communicate()
    return False


def count(bisected: Bisected, *, ended: bool) -> int:
    """Return how many runs have begun, or *ended*: by themselves, for those that were killed say nothing."""
    return len([run for run in runs(bisected) if not ended or answers(run)])


def answers(run: dict) -> bool:
    return bool(run["verdict"]) and run["verdict"]["name"] != "INCONCLUSIVE"


def runs(bisected: Bisected) -> list[dict]:
    return [json.loads(path.read_text()) for path in bisected.path.glob("runs/bisect/2*/runs/2*/run.json")]


@pytest.mark.slow
def test_a_signal_ends_the_run_as_well_and_the_same_question_goes_on(bisected: Bisected) -> None:
    shas = bisected.repository.line(4, bad=2)
    bisected.test("import time\n\ndef test_waits(boot):\n    open('waiting', 'w')\n    time.sleep(60)\n")
    process = bisected.popen(bisected.words(shas[0], "main"))
    deadline = time.monotonic() + 60
    while not (bisected.path / "waiting").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "pi64 bisect --resume" in said
    run = json.loads(next((bisected.place / "runs").glob("[0-9]*/run.json")).read_text())
    assert run["finished"]
    assert not run["still_on"]
    bisected.test()
    status, said = bisected.bisect(shas[0], "main")
    assert status == 0, said
    assert "goes on" in said
    assert state(bisected)["first_bad"] == [shas[2]]


# --- going on ---------------------------------------------------------------------------------------------------------
QUESTION = Question("pi", ("0",), "3")
HISTORY = History(("0",), "3", (), Graph.of(Commit(str(number), (str(number - 1),)) for number in (1, 2, 3)), {})


def test_a_repository_out_of_reach_takes_the_proof_away_but_not_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise LabError("git cannot fetch from it")

    monkeypatch.setattr(campaign.git, "without", fail)
    votes = {"0": "good", "3": "bad", "1": "good", "2": "bad"}
    roles = {"0": "good", "3": "bad"}
    answers = tuple(
        Answer(number, sha, roles.get(sha, "try"), vote, "")
        for number, (sha, vote) in enumerate(votes.items(), start=1)
    )
    (tmp_path / "lab.yaml").write_text("imports: [harness.lab.drivers]" + LAB.replace("KERNEL", "{source: .}"))
    bench = Bench(tmp_path, tmp_path / "lab.yaml", tmp_path)
    voice = campaign._Voice(print, print, print)
    state = State("one", "now", QUESTION, answers=answers)
    done = campaign._Campaign(state, HISTORY, "", "", tmp_path, bench, voice, 0).run()
    assert done.state.first_bad == ("2",)
    assert "  not confirmed by a revert: git cannot fetch from it" in done.lines


def test_an_answer_of_several_commits_is_open_again_when_they_are_asked_again() -> None:
    several = State("one", "now", QUESTION, first_bad=("1", "2"), finished="now")
    assert (campaign._anew(several).first_bad, campaign._anew(several).finished) == ((), "")
    assert campaign._anew(attrs.evolve(several, first_bad=("1",))).first_bad == ("1",)


# --- what cannot be asked ---------------------------------------------------------------------------------------------
LAB = """
targets:
  pi:
    options: {model: rpi-3-b, kernel: KERNEL}
    drivers: {RaspberryPiStrategy: {}}
"""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--good", "a", "--bad", "b"], "needs --board"),
        (["--board", "pi"], "needs --good, --bad"),
        (["--board", "nobody", "--good", "a", "--bad", "b"], "no target `nobody`"),
        (["--board", "pi", "--good", "a", "--bad", "b"], "not a git repository"),
        (["--board", "pi", "--good", "a", "--bad", "b", "--boots", "0"], "at least once"),
        (["--board", "pi", "--good", "a", "--bad", "b", "--", "--ref", "c"], "the commits are chosen here"),
        (["--board", "pi", "--good", "a", "--bad", "b", "--kernel-source", "ext::sh"], "remote helpers"),
        (["--board", "pi", "--good", "a", "--bad", "b", "--check", ""], "need a word"),
        (["--board", "pi", "--good", "a", "--bad", "b", "--signature", " "], "need a word"),
        (["--resume"], "no bisection is left"),
        (["--resume", "../etc"], "no such bisection"),
    ],
)
def test_what_cannot_be_asked_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lab.yaml").write_text("imports: [harness.lab.drivers]" + LAB.replace("KERNEL", "{source: .}"))
    assert cli.main(["bisect", *words]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told


def test_a_kernel_that_is_built_already_has_no_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lab.yaml").write_text("imports: [harness.lab.drivers]" + LAB.replace("KERNEL", "{prebuilt: [here]}"))
    assert cli.main(["bisect", "--board", "pi", "--good", "a", "--bad", "b"]) == 2
    assert "built already" in capsys.readouterr().err
