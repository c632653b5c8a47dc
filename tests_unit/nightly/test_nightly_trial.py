"""One run in a process of its own: its record comes back, and whoever ends it gets a board that is off."""

import json
import signal
import threading
from pathlib import Path

import pytest
from pluginbench import BOOTS, Bench

from harness.nightly import trial

pytest_plugins = ["pluginfixtures"]

ARGS = ("test_it.py", "-p", "no:cacheprovider", "-p", "no:hypothesispytest")
WAITS = "import time\n\ndef test_waits(boot):\n    print('waiting', flush=True)\n    time.sleep(60)\n"


@pytest.fixture
def there(tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench(tmp_path, image)
    for key, value in bench.environment.items():
        monkeypatch.setenv(key, value)
    return bench


def ask(bench: Bench, test: str, *args: str, **more: object) -> trial.Trial:
    (bench.path / "test_it.py").write_text(test)
    return trial.run_once("virtual-rpi3", [*ARGS, *args], folder=bench.path, tell=print, **more)  # type: ignore[arg-type]


def test_a_run_comes_back_with_its_record_and_says_where_it_lies(there: Bench, tmp_path: Path) -> None:
    told = tmp_path / "told"
    done = ask(there, BOOTS, told=told)
    assert done.complete
    assert done.record
    assert done.record.verdict
    assert done.record.verdict.name == "PASS"
    assert done.folder == Path(told.read_text())
    assert (done.status, done.ended, done.late) == (0, 0, False)


def test_what_pytest_refuses_has_no_record_but_its_words(there: Bench) -> None:
    done = ask(there, BOOTS, "--no-such-option")
    assert done.record is None
    assert not done.complete
    assert any("no-such-option" in line for line in done.said)


@pytest.mark.slow
def test_a_run_whose_time_is_over_is_ended_and_the_board_is_off(there: Bench) -> None:
    done = ask(there, WAITS, timeout_s=4)
    assert done.late
    assert not done.complete
    assert done.record
    assert done.record.finished
    assert not done.record.still_on


def test_from_another_thread_whoever_keeps_the_process_ends_it(there: Bench) -> None:
    """As a night does, which has a thread for each board."""
    kept, done = [], []
    thread = threading.Thread(target=lambda: done.append(ask(there, WAITS, begun=kept.append)))
    thread.start()
    while not (record := next((there.path / "runs").glob("[0-9]*/run.json"), None)):
        thread.join(0.05)
    thread.join(1.0)
    kept[0].end(signal.SIGINT)
    thread.join(60)
    assert done[0].ended == signal.SIGINT
    assert json.loads(record.read_text())["finished"]
