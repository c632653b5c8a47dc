from pathlib import Path

import pytest
from smallcard import BOOT_OFFSET, ROOT_OFFSET, make_card, tool


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A card nobody may write to."""
    return make_card(tmp_path_factory.mktemp("card") / "pristine.img")


@pytest.fixture
def card(pristine: Path, tmp_path: Path) -> Path:
    """A card of its own for each test."""
    copy = tmp_path / "card.img"
    tool(["cp", "--sparse=always", pristine, copy])
    return copy


@pytest.fixture
def boot_offset() -> int:
    return BOOT_OFFSET


@pytest.fixture
def root_offset() -> int:
    return ROOT_OFFSET
