"""Far ends that the tests of several rooms share."""

from collections.abc import Iterator

import pytest
from scriptedpi import ScriptedPi


@pytest.fixture
def pi() -> Iterator[ScriptedPi]:
    """A scripted Pi, powered off."""
    pi = ScriptedPi()
    yield pi
    pi.close()
