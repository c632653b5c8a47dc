"""A night's state is the same after a trip to the disk, and what is none is refused."""

import pytest

from harness.errors import UsageError
from harness.nightly.night import state

JOBS = (state.Job("rpi-6.12.y", "rpi4", "default", "done", run="a-run", verdict="PASS", usual_s=90.5),)
NIGHT = state.Night("2026-11-27", "2026-11-27T01:00:00Z", jobs=JOBS, boards_out={"rpi3": "no login"})


def test_what_is_written_is_what_is_read() -> None:
    assert state.from_json(state.to_json(NIGHT)) == NIGHT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        *(f'{{"name": "n", "started": "{when}"}}' for when in ("", "2026-13-01T00:00:00Z")),
        '{"name": 1}',
        '{"schema": "x"}',
        '{"schema": 99}',
    ],
)
def test_what_is_no_night_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"state of a night|schema 99"):
        state.from_json(text)
