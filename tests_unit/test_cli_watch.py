"""`pi64 watch`: what every board does now, from the records alone."""

import json
import os
import platform
import pty
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import attrs
import pytest
from nightrecords import KERNEL, case, night

from harness.cli import main
from harness.lab import leavings
from harness.nightly import db
from harness.nightly.doing import table
from harness.nightly.night.state import Job, Night, to_json
from harness.nightly.store import Paper, Store
from harness.nightly.watching import Watch, alive
from harness.report.record import RunRecord
from harness.report.record import to_json as record_json

NOW = 1_772_600_000.0  # 2026-03-04T04:53:20Z
HOSTILE = "\x1b[2J\x9b31m\u202eowned\x07"


def stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def made(runs: Path, board: str, *, ago_s: float = 100.0, now: float = NOW, console: bytes = b"", **facts) -> Path:
    """A run that began so many seconds ago and goes on, by this process."""
    name = f"{stamp(now - ago_s)[:-1].replace(':', '-')}-{board}"
    known = {"pid": os.getpid(), "host": platform.node(), "branch": "rpi-6.12.y", "tree": KERNEL["source"]}
    record = RunRecord(name, board, stamp(now - ago_s), **{**known, **facts})
    folder = runs / name
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(record_json(record))
    if console:
        (folder / "console.log").write_bytes(console)
        os.utime(folder / "console.log", (now - 5, now - 5))
    return folder


def look(runs: Path, **more):
    return Watch(runs, clock=lambda: NOW, **more).look()


@pytest.mark.parametrize(
    ("facts", "doing", "stage"),
    [
        ({}, None, "starting"),
        ({"source": "git"}, None, "building"),
        ({"source": "git", "release": "6.12"}, None, "booting"),
        ({"source": "git"}, "make: 120 of 3,000 objects", "make: 120 of 3,000 objects"),
        ({"release": "6.12", "tests": (case("a"), case("b", "failed"))}, "", "tests: 2 done, 1 bad"),
    ],
)
def test_how_far_a_run_is_its_own_words_say_or_what_it_has_left(tmp_path, facts, doing, stage: str) -> None:
    folder = made(tmp_path, "rpi4", console=b"[    1.0] hello\r\n" if "release" in facts else b"", **facts)
    if doing is not None:
        leavings.leave_doing(folder, leavings.Doing(doing.partition(":")[0], doing, NOW - 10, NOW))
    (found,) = look(tmp_path).doing
    assert (found.board, found.branch, found.stage, found.elapsed_s, found.gone) == (
        "rpi4",
        "rpi-6.12.y",
        stage,
        100,
        "",
    )


def test_the_last_line_of_the_console_is_fit_for_a_terminal(tmp_path, capsys) -> None:
    made(
        tmp_path,
        f"rpi4{HOSTILE}",
        console=b"[    1.0] one\r\n\x1b[31mtwo\x1b[0m \x9b31m\x07\xe2\x80\xae\r\n\r\n",
        branch=HOSTILE,
    )
    (found,) = look(tmp_path).doing
    assert (found.line[:3], found.silent_s) == ("two", 5.0)
    assert main(["watch", "--runs", str(tmp_path), "--once"]) == 0
    assert not set("\x1b\x9b\x07\u202e") & set(capsys.readouterr().out)


def test_a_run_whose_process_is_gone_is_told_as_such(tmp_path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    made(tmp_path, "rpi4", pid=ended.pid)
    assert look(tmp_path).doing[0].gone == f"process {ended.pid} ended without a verdict"


def test_of_another_host_only_silence_tells(tmp_path) -> None:
    folder = made(tmp_path, "rpi4", host="elsewhere")
    os.utime(folder / "run.json", (NOW - 60, NOW - 60))
    assert look(tmp_path).doing[0].gone == ""
    os.utime(folder / "run.json", (NOW - 7200, NOW - 7200))
    assert look(tmp_path).doing[0].gone == "nothing for 2 h 00 min, on elsewhere"


def test_a_process_that_only_got_the_number_of_one_that_ended_is_another() -> None:
    assert alive(platform.node(), os.getpid(), time.time())
    assert alive(platform.node(), os.getpid(), 1000.0) is False
    assert alive("elsewhere", os.getpid(), time.time()) is None


def test_what_became_of_a_dead_run_is_no_news_once_another_was_made(tmp_path) -> None:
    made(tmp_path, "rpi4", ago_s=500, pid=2**22 - 1)
    made(tmp_path, "rpi4", ago_s=50)
    assert [each.elapsed_s for each in look(tmp_path).doing] == [50]


def test_a_board_that_does_nothing_tells_of_its_last_run(tmp_path) -> None:
    record = night(0)
    made(tmp_path, "rpi4", verdict=record.verdict, finished=stamp(NOW - 60))
    made(tmp_path, "old", ago_s=30 * 86_400)
    now = look(tmp_path)
    assert now.doing == ()
    assert [(each.board, each.state) for each in now.idle] == [("rpi4", "idle, PASS 1 min 00 s ago")]


def test_elapsed_is_told_against_what_such_a_run_usually_takes(tmp_path) -> None:
    with db.writing(tmp_path / db.NAME) as opened, db.transaction(opened):
        record = attrs.evolve(night(0, target="rpi4"), started="2026-01-01T01:00:00Z", finished="2026-01-01T01:01:00Z")
        Store(opened).take(Paper(record, b"1", ""))
    made(tmp_path, "rpi4")
    (found,) = look(tmp_path).doing
    assert (found.usual_s, found.time, found.late) == (60.0, "1 min 40 s of 1 min 00 s", True)


def test_a_night_that_goes_on_is_told_with_what_waits_and_what_is_built(tmp_path) -> None:
    folder = made(tmp_path, "rpi4")
    jobs = (
        Job("rpi-6.12.y", "rpi4", "default", "running", run=folder.name),
        Job("next", "rpi3", "default", "building", build="k", started=stamp(NOW - 30)),
        Job("next", "rpi3", "kasan"),
    )
    going = Night("n", stamp(NOW - 3600), host=platform.node(), pid=os.getpid(), budget_s=7200.0, jobs=jobs)
    (tmp_path / "nightly" / "latest").mkdir(parents=True)
    (tmp_path / "nightly" / "latest" / "night.json").write_text(to_json(going))
    now = look(tmp_path)
    assert now.night == "night n, 1 h 00 min of 2 h 00 min: 3 jobs, 1 running, 1 building, 1 waiting"
    assert now.building == ("building next/default for rpi3: 30 s",)
    assert [(each.board, each.state) for each in now.idle] == [("rpi3", "idle, 1 waiting")]  # it has never run


def test_only_what_has_changed_is_read_again(tmp_path, monkeypatch) -> None:
    for number in range(50):
        made(tmp_path, f"rpi{number}", console=b"[    1.0] hello\r\n" * 100)
    watch = Watch(tmp_path, clock=lambda: NOW)
    assert len(watch.look().doing) == 50
    monkeypatch.setattr("harness.report.record.from_json", lambda *_, **__: pytest.fail("it is known"))
    assert len(watch.look().doing) == 50


def test_json_is_for_programs_and_a_missing_folder_a_mistake(tmp_path, capsys) -> None:
    made(tmp_path, "rpi4", now=time.time())
    assert main(["watch", "--runs", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["doing"][0]["board"] == "rpi4"
    assert main(["watch", "--runs", str(tmp_path / "nowhere")]) == 2
    assert "no such" in capsys.readouterr().err.lower()


def test_on_a_terminal_it_is_drawn_again_until_ctrl_c(tmp_path) -> None:
    folder = made(tmp_path, "rpi4", now=time.time())
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "harness.cli", "watch", "--runs", str(tmp_path), "--every", "0.1"]
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    said = bytearray()
    reader = threading.Thread(target=collect, args=(master, said), daemon=True)
    reader.start()
    until(lambda: b"starting" in said)
    leavings.leave_doing(folder, leavings.Doing("deploy", "deploy: 7 files", 0.0, 0.0))
    until(lambda: b"deploy: 7 files" in said)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    until(lambda: said.endswith(b"\x1b[?25h\r\n"))
    assert b"Traceback" not in said
    os.close(master)


def collect(master: int, said: bytearray) -> None:
    try:
        while data := os.read(master, 4096):
            said += data
    except OSError:
        return


def until(true) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_narrow_terminal_has_all_columns_and_a_wide_one_the_last_line(tmp_path, width: int) -> None:
    made(tmp_path, "rpi4-on-the-shelf-behind", branch="rpi-6.12.y-with-a-long-name", console=b"[ OK ] Reached target\n")
    board = table(look(tmp_path), width)[1]
    assert len(board) <= width
    assert [word in board for word in ("rpi4-on", "rpi-6.1", "startin", "1 min")] == [True] * 4
    assert ("[ OK ]" in board) == (width >= 80)


@pytest.mark.parametrize("every", ["nan", "inf", "0", "-1"])
def test_how_often_to_look_is_a_time(tmp_path, capsys, every: str) -> None:
    made(tmp_path, "rpi4")
    assert main(["watch", "--runs", str(tmp_path), f"--every={every}"]) == 2
    assert "from 0.1 to 3600 seconds" in capsys.readouterr().err
