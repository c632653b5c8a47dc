"""Far ends that the tests of several rooms share."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from scriptedpi import ScriptedPi

from harness import host
from harness.lab import claim

# What nohup and a shell's `&` have ignored is ignored by all that is started here too: tests are about those who obey.
for _number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture(scope="session")
def _claims(tmp_path_factory):
    return tmp_path_factory.mktemp("claims")


@pytest.fixture(autouse=True)
def _own_boards(_claims, monkeypatch) -> None:
    """Two tests that run at once may call their boards alike; one with a cache of its own has its own boards too."""
    before = os.environ.get("PI64_CACHE")

    def folder() -> Path:
        return _claims if os.environ.get("PI64_CACHE") == before else host.cache_dir("boards")

    monkeypatch.setattr(claim, "folder", folder)


@pytest.fixture(autouse=True)
def _no_worker(monkeypatch) -> None:
    """A pytest that a test starts is nobody's worker, whatever runs the tests."""
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def pi() -> Iterator[ScriptedPi]:
    """A scripted Pi, powered off."""
    pi = ScriptedPi()
    yield pi
    pi.close()
