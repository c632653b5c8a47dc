"""A run that a signal ends says so in its record, also when nobody reads what it says any more."""

import signal
import time

from processes import until

pytest_plugins = ["pytester", "pluginfixtures"]

HELD = """
import pathlib, time
def test_waits(boot):
    pathlib.Path("held").touch()
    time.sleep(60)
"""


def test_a_run_whose_parent_was_killed_is_no_pass(bench) -> None:
    process = bench.start(HELD)
    until(lambda: (bench.path / "held").exists() or process.poll() is not None)
    process.stdout.close()
    process.stderr.close()
    for _ in range(20):  # each thread of the parent sends one as it dies
        process.send_signal(signal.SIGTERM)
        time.sleep(0.01)
    process.wait(30)
    assert bench.record["finished"]
    assert bench.record["interrupted"]
    assert bench.record["verdict"]["name"] == "INCONCLUSIVE"
