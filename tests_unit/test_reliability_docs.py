"""Each test that docs/reliability.md and docs/security.md name is there."""

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


@pytest.mark.parametrize("page", ["reliability.md", "security.md"])
def test_every_test_that_a_page_names_exists(page) -> None:
    named = NAMED.findall((HERE.parent / "docs" / page).read_text())
    assert len(named) > 20
    missing = [f"{file}::{name}" for file, name in named if f"def {name}(" not in (HERE / file).read_text()]
    assert missing == []


@pytest.mark.parametrize("page", ["reliability.md", "security.md"])
def test_every_row_has_a_test(page) -> None:
    table = (HERE.parent / "docs" / page).read_text().partition("| tests |\n|")[2].partition("\n\n")[0]
    rows = table.splitlines()[1:]
    assert len(rows) > 10
    assert [row for row in rows if not NAMED.search(row)] == []
