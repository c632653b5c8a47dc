"""Fixtures of the tests that look at the plugin from outside; a plugin of its own, so that several files share them."""

from pathlib import Path

import pytest
import tinycard
from pluginbench import Bench


@pytest.fixture(scope="session")
def image(tmp_path_factory) -> Path:
    return tinycard.make(tmp_path_factory.mktemp("image") / "raspios.img", None)


@pytest.fixture
def bench(pytester, monkeypatch, image) -> Bench:
    """A bench of its own, on which pytester runs pytest."""
    bench = Bench(pytester.path, image)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    for key, value in bench.environment.items():
        monkeypatch.setenv(key, value)
    bench.run = lambda test, *args: pytester.run(*bench.command(test, *args), timeout=60)
    return bench
